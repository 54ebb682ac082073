//! The event of the mutants.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use gpu_stream_core::{
    ContractError, Device, Event, EventOptions, EventStatus, RawEvent, RawHandle, Stream,
};
use gpu_stream_host::{Gate, HostError, HostEvent, HostStream};

use crate::backend::Mutant;
use crate::mutation::{Mutation, current, on};
use crate::stream::Family;

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A host event, or that of a gate, and what the mutants need to know of it.
#[derive(Clone, Debug)]
pub struct MutantEvent(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    event: Kind,
    notes: Mutex<Notes>,
}

#[derive(Debug)]
enum Kind {
    Own(HostEvent),
    Gate(Arc<Gate>),
}

#[derive(Default, Debug)]
pub struct Notes {
    /// The stream of the last record, for the mutants that need it.
    pub stream: Option<HostStream>,
    /// The streams of all records, for the mutant that keeps them.
    pub streams: Vec<HostStream>,
    /// How many records there were.
    pub records: usize,
    /// The wrappers of the stream of the last record.
    pub family: Option<Weak<Family>>,
    /// How many waits there were.
    pub waits: usize,
    /// What lets the waiters go, for the mutant that does so when the event is dropped.
    pub releases: Vec<Arc<Gate>>,
}

impl MutantEvent {
    pub fn new(event: HostEvent) -> Self {
        Self::of(Kind::Own(event))
    }

    pub fn of_gate(gate: &Arc<Gate>) -> Self {
        Self::of(Kind::Gate(Arc::clone(gate)))
    }

    fn of(event: Kind) -> Self {
        MutantEvent(Arc::new(Inner { event, notes: Mutex::default() }))
    }

    pub fn host(&self) -> &HostEvent {
        match &self.0.event {
            Kind::Own(event) => event,
            Kind::Gate(gate) => gate.event(),
        }
    }

    pub fn notes(&self) -> MutexGuard<'_, Notes> {
        lock(&self.0.notes)
    }

    /// Asks until the event is done, whatever its record is by then, or until `is_enough`.
    fn poll(&self, is_enough: impl Fn() -> bool) -> Result<(), HostError> {
        while !self.host().query()? && !is_enough() {
            std::thread::yield_now();
        }
        Ok(())
    }

    /// The mutant whose records move on takes them anew before it answers.
    pub fn move_on(&self) -> Result<(), HostError> {
        if on(Mutation::RecordTakesLaterWork)
            && let Some(stream) = &self.notes().stream
        {
            stream.record(self.host())?;
        }
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let notes = self.notes.get_mut().unwrap_or_else(PoisonError::into_inner);
        if on(Mutation::OwnerKeptByDroppedEvent)
            && notes.family.as_ref().is_some_and(|family| family.strong_count() == 0)
        {
            std::mem::forget(notes.stream.take());
        }
        notes.releases.iter().for_each(|gate| gate.open());
    }
}

fn unrecorded() -> HostError {
    ContractError::EventNotRecorded { which: "start" }.into()
}

// SAFETY: the answers are the host backend's, but for what the current mutation does wrong; no case
// frees memory by them.
unsafe impl Event for MutantEvent {
    type Backend = Mutant;

    fn raw(&self) -> RawEvent<Mutant> {
        match current() {
            Some(Mutation::EventsShareAHandle) => RawEvent::from_bits(1),
            _ => RawEvent::from_bits(RawHandle::to_bits(self.host().raw())),
        }
    }

    fn device(&self) -> Device {
        self.host().device()
    }

    fn options(&self) -> EventOptions {
        self.host().options()
    }

    fn status(&self) -> Result<EventStatus, HostError> {
        self.move_on()?;
        let status = self.host().status();
        let stream_is_gone =
            || self.notes().family.as_ref().is_some_and(|family| family.strong_count() == 0);
        match (current(), &status) {
            (Some(Mutation::UnrecordedIsPending), Ok(EventStatus::Unrecorded)) => {
                Ok(EventStatus::Pending)
            }
            (Some(Mutation::UnrecordedIsComplete), Ok(EventStatus::Unrecorded)) => {
                Ok(EventStatus::Complete)
            }
            (Some(Mutation::EventHidesFaults), Err(_)) => Ok(EventStatus::Complete),
            (Some(Mutation::EventDiesWithStream), _) if stream_is_gone() => Err(unrecorded()),
            _ => status,
        }
    }

    fn synchronize(&self) -> Result<(), HostError> {
        self.move_on()?;
        let unrecorded_event = || matches!(self.host().status(), Ok(EventStatus::Unrecorded));
        match current() {
            Some(Mutation::EventSynchronizeReturns) => Ok(()),
            Some(Mutation::UnrecordedSynchronizeRefused) if unrecorded_event() => Err(unrecorded()),
            Some(Mutation::EventHidesFaults) => self.host().synchronize().or(Ok(())),
            Some(Mutation::SynchronizeFollowsRecords) => loop {
                let before = self.notes().records;
                self.poll(|| false)?;
                // Otherwise it may have been an earlier record that was done.
                if self.notes().records == before {
                    return Ok(());
                }
            },
            Some(Mutation::SynchronizeEndsWithARecord) => {
                let before = self.notes().records;
                self.poll(|| self.notes().records != before)
            }
            _ => self.host().synchronize(),
        }
    }

    fn elapsed_since(&self, start: &Self) -> Result<f32, HostError> {
        let right = self.host().elapsed_since(start.host());
        let states = [start.host().status()?, self.host().status()?];
        let any = |state| states.contains(&state);
        let untimed = !start.options().is_timed() || !self.options().is_timed();
        match current() {
            Some(Mutation::ElapsedUntimed) if untimed => Ok(0.0),
            Some(Mutation::ElapsedPending) if any(EventStatus::Pending) => Ok(0.0),
            Some(Mutation::ElapsedUnrecorded) if any(EventStatus::Unrecorded) => Ok(0.0),
            Some(Mutation::ElapsedRecordsFirst) if any(EventStatus::Unrecorded) => {
                Err(unrecorded())
            }
            Some(Mutation::ElapsedNamesTheOther) => match right {
                Err(HostError::Contract(ContractError::EventPending { which })) => {
                    let which = if which == "start" { "end" } else { "start" };
                    Err(ContractError::EventPending { which }.into())
                }
                right => right,
            },
            Some(Mutation::ElapsedWithoutSign) => right.map(f32::abs),
            Some(Mutation::ElapsedInSeconds) => right.map(|milliseconds| milliseconds / 1e3),
            Some(Mutation::ElapsedToItselfIsOne) if Arc::ptr_eq(&self.0, &start.0) => {
                right.map(|_| 1.0)
            }
            Some(Mutation::ElapsedAcrossDevices) if self.device() != start.device() => Ok(0.0),
            _ => right,
        }
    }

    fn elapsed_unchecked(&self, start: &Self) -> Result<f32, HostError> {
        self.host().elapsed_unchecked(start.host())
    }
}
