//! The event of the mutants.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use gpu_stream_core::{
    ContractError, Device, Event, EventOptions, EventStatus, RawEvent, RawHandle, Stream,
};
use gpu_stream_host::{Gate, HostError, HostEvent, HostStream, raw};

use crate::backend::Mutant;
use crate::capture::{self, CapturedRecord};
use crate::error::MutantError;
use crate::family::Family;
use crate::mutation::{Mutation, current, on};
use crate::vendor;

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A host event, or that of a gate, with the state that the mutants need.
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
    /// The number of records.
    pub records: usize,
    /// The wrappers of the stream of the last record.
    pub family: Option<Weak<Family>>,
    /// The last record, if it was made in a capture.
    pub captured: Option<CapturedRecord>,
    /// `true` if a mutant's stream has recorded the event.
    pub is_recorded: bool,
    /// The context that the event was made in, if that is known.
    pub context: Option<usize>,
    /// The number of resets of the device when the event was made.
    born: u64,
    /// The number of waits.
    pub waits: usize,
    /// The gates of the waiters, for the mutant that opens them when the event is dropped.
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
        let event = MutantEvent(Arc::new(Inner { event, notes: Mutex::default() }));
        event.notes().born = vendor::resets_of(event.host().device());
        event
    }

    fn check_alive(&self) -> Result<(), MutantError> {
        let is_stale = self.notes().born != vendor::resets_of(self.host().device());
        if is_stale && !on(Mutation::ResetIsHidden) {
            return Err(MutantError::Reset("a call of an event"));
        }
        Ok(())
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

    /// Polls until the event is done, whatever its record is by then, or until `is_enough` returns
    /// `true`.
    fn poll(&self, is_enough: impl Fn() -> bool) -> Result<(), MutantError> {
        while !self.host().query()? && !is_enough() {
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Records the event again, for the mutant whose records include later work.
    pub fn record_again(&self) -> Result<(), MutantError> {
        self.check_alive()?;
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
        if let (Kind::Own(event), true) = (&self.event, on(Mutation::ForeignEventDestroyed))
            && event.is_foreign()
        {
            let _ = raw::destroy_event(event.raw());
        }
    }
}

fn unrecorded() -> MutantError {
    ContractError::EventNotRecorded { which: "start" }.into()
}

// SAFETY: the answers are the host backend's, except for the current mutation's fault. No case
// frees memory because of them.
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

    fn is_foreign(&self) -> bool {
        self.host().is_foreign() && !on(Mutation::ForeignEventLooksOwn)
    }

    fn status(&self) -> Result<EventStatus, MutantError> {
        self.record_again()?;
        let recording = vendor::recording();
        let _held = vendor::held(&recording);
        let (captured, is_recorded) = {
            let notes = self.notes();
            (notes.captured, notes.is_recorded)
        };
        if let Some(record) = captured {
            let (done, unrecorded) = (EventStatus::Complete, EventStatus::Unrecorded);
            return capture::query_captured("Event::status", record, done, unrecorded);
        }
        if on(Mutation::ForeignRecordIgnored) && !is_recorded {
            return Ok(EventStatus::Unrecorded);
        }
        let status = self.host().status().map_err(MutantError::from);
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

    fn synchronize(&self) -> Result<(), MutantError> {
        self.record_again()?;
        let captured = self.notes().captured;
        if let Some(record) = captured {
            return capture::query_captured("Event::synchronize", record, (), ());
        }
        let unrecorded_event = || matches!(self.host().status(), Ok(EventStatus::Unrecorded));
        match current() {
            Some(Mutation::EventSynchronizeReturns) => Ok(()),
            Some(Mutation::UnrecordedSynchronizeRefused) if unrecorded_event() => Err(unrecorded()),
            Some(Mutation::EventHidesFaults) => self.host().synchronize().or(Ok(())),
            Some(Mutation::SynchronizeFollowsRecords) => loop {
                let before = self.notes().records;
                self.poll(|| false)?;
                // Otherwise an earlier record may have been done.
                if self.notes().records == before {
                    return Ok(());
                }
            },
            Some(Mutation::SynchronizeEndsWithARecord) => {
                let before = self.notes().records;
                self.poll(|| self.notes().records != before)
            }
            _ => Ok(self.host().synchronize()?),
        }
    }

    fn elapsed_since(&self, start: &Self) -> Result<f32, MutantError> {
        self.check_alive()?;
        let right = self.host().elapsed_since(start.host()).map_err(MutantError::from);
        let is_recorded = self.notes().is_recorded && start.notes().is_recorded;
        let states = [start.host().status()?, self.host().status()?];
        let any = |state| states.contains(&state);
        let untimed = !start.options().is_timed() || !self.options().is_timed();
        match current() {
            Some(Mutation::ForeignRecordIgnored) if !is_recorded => Err(unrecorded()),
            Some(Mutation::ElapsedUntimed) if untimed => Ok(0.0),
            Some(Mutation::ElapsedPending) if any(EventStatus::Pending) => Ok(0.0),
            Some(Mutation::ElapsedUnrecorded) if any(EventStatus::Unrecorded) => Ok(0.0),
            Some(Mutation::ElapsedRecordsFirst) if any(EventStatus::Unrecorded) => {
                Err(unrecorded())
            }
            Some(Mutation::ElapsedNamesTheOther) => match right {
                Err(MutantError::Host(HostError::Contract(ContractError::EventPending {
                    which,
                }))) => {
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

    fn elapsed_unchecked(&self, start: &Self) -> Result<f32, MutantError> {
        Ok(self.host().elapsed_unchecked(start.host())?)
    }
}
