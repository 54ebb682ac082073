//! The stream of the mutants.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::take;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use gpu_stream_core::{
    Backend, CaptureStatus, ContractError, Device, Error, ErrorKind, Event, EventOptions,
    EventStatus, HostFunc, KeepAlive, RawStream, Stream, StreamOptions,
};
use gpu_stream_host::{Gate, Host, HostError, HostStream, raw};

use crate::backend::{LAST_ERROR, Mutant, never};
use crate::event::{MutantEvent, lock};
use crate::mutation::{Mutation, bypass, current, on};
use crate::tasks::{Tasks, is_starved};

/// A host stream, and what the mutants need to know of it.
#[derive(Debug)]
pub struct MutantStream {
    pub host: HostStream,
    pub raw: RawStream<Mutant>,
    pub device: Device,
    pub family: Arc<Family>,
    owner: KeepAlive,
}

/// What a wrapper and its clones share.
#[derive(Default)]
pub struct Family {
    /// Waits that are made late.
    owed: Mutex<Vec<Owed>>,
    pub tasks: Tasks,
    /// The thread that submitted last, for the mutants whose submissions come late.
    last: Mutex<Option<ThreadId>>,
    fault_seen: AtomicBool,
    is_owned: bool,
    /// The stream that somebody else made.
    foreign: Option<RawStream<Host>>,
}

enum Owed {
    Event(MutantEvent),
    Stream(HostStream),
    Func(HostFunc),
}

/// The fault that all streams have, for the mutant whose faults spread.
pub static SPREAD: Mutex<Option<HostError>> = Mutex::new(None);

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Family")
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        if self.is_owned && on(Mutation::OwnedDropAbandons) {
            self.tasks.abandon();
        }
        if let (Some(raw), true) = (self.foreign, on(Mutation::DestroyOnDrop)) {
            let _ = raw::destroy(raw);
        }
    }
}

impl MutantStream {
    /// A stream that belongs to its wrappers.
    pub fn owned(host: HostStream) -> Self {
        Self::of(host, KeepAlive::nothing(), |family| family.is_owned = true)
    }

    /// A default stream.
    pub fn wrapper(host: HostStream) -> Self {
        Self::of(host, KeepAlive::nothing(), |_| ())
    }

    /// A stream that somebody else made.
    pub fn foreign(host: HostStream, owner: KeepAlive) -> Self {
        let foreign = Some(host.raw());
        Self::of(host, owner, |family| family.foreign = foreign)
    }

    fn of(host: HostStream, owner: KeepAlive, kind: impl FnOnce(&mut Family)) -> Self {
        let mut family = Family::default();
        kind(&mut family);
        let raw = RawStream::from_bits(host.raw().to_bits());
        let device = host.device();
        MutantStream { host, raw, device, family: Arc::new(family), owner }
    }

    /// Makes the waits, and submits the tasks, that a mutant has put off.
    pub fn pay(&self) -> Result<(), HostError> {
        self.pay_waits()?;
        self.family.tasks.pay(&self.host)
    }

    fn pay_waits(&self) -> Result<(), HostError> {
        for wait in take(&mut *lock(&self.family.owed)) {
            match wait {
                Owed::Event(event) => self.host.wait_event(event.host())?,
                Owed::Stream(other) => self.host.wait_stream(&other)?,
                Owed::Func(func) => self.host.launch_host_func(func)?,
            }
        }
        Ok(())
    }

    fn owe(&self, wait: Owed) {
        lock(&self.family.owed).push(wait);
    }

    /// Makes what was put off, unless the current mutation is `misses`: then it is left out.
    fn pay_unless(&self, misses: Mutation) -> Result<(), HostError> {
        if on(misses) { Ok(()) } else { self.pay() }
    }

    /// Whether what this thread submits is put off, since another thread submitted before it.
    fn is_late(&self) -> bool {
        let me = std::thread::current().id();
        let mutations = [
            Mutation::QueryMissesLateSubmissions,
            Mutation::RecordMissesLateSubmissions,
            Mutation::SynchronizeMissesLateSubmissions,
        ];
        current().is_some_and(|mutation| mutations.contains(&mutation))
            && lock(&self.family.last).replace(me).is_some_and(|before| before != me)
    }

    /// The answer to a question about the stream, with what the mutants make of errors.
    fn answer<T>(&self, result: Result<T, HostError>, instead: T) -> Result<T, HostError> {
        let is_fault = |error: &HostError| error.kind() == ErrorKind::StreamFault;
        match (current(), result) {
            (Some(Mutation::FaultIsForgotten), Err(error)) if is_fault(&error) => {
                if self.family.fault_seen.swap(true, Ordering::SeqCst) {
                    return Ok(instead);
                }
                Err(error)
            }
            (Some(Mutation::FaultSpreads), result) => {
                let mut spread = lock(&SPREAD);
                if let Err(error) = &result
                    && is_fault(error)
                {
                    *spread = Some(error.clone());
                }
                spread.clone().map_or(result, Err)
            }
            (_, result) => result,
        }
    }

    /// Lets the event's end let the waiter go.
    fn wait_while_the_event_lives(&self, event: &MutantEvent) -> Result<(), HostError> {
        let gate = Arc::new(Gate::new(self.device())?);
        let relay = Host::new_stream(event.device(), StreamOptions::new())?;
        relay.wait_event(event.host())?;
        let opens = Arc::clone(&gate);
        relay.launch(move || opens.open())?;
        self.host.wait_event(gate.event())?;
        event.notes().releases.push(gate);
        Ok(())
    }
}

impl Clone for MutantStream {
    fn clone(&self) -> Self {
        if on(Mutation::CloneIsAnotherStream)
            && let Ok(other) = Host::new_stream(self.device, StreamOptions::new())
        {
            return MutantStream::owned(other);
        }
        MutantStream {
            host: self.host.clone(),
            raw: self.raw,
            device: self.device,
            family: Arc::clone(&self.family),
            owner: self.owner.clone(),
        }
    }
}

impl PartialEq for MutantStream {
    fn eq(&self, other: &Self) -> bool {
        match current() {
            Some(Mutation::EqualByIdentity) => Arc::ptr_eq(&self.family, &other.family),
            Some(Mutation::EqualAcrossDevices) => self.raw == other.raw,
            Some(Mutation::AllAreEqual) => self.device == other.device,
            _ => self.device == other.device && self.raw == other.raw,
        }
    }
}

impl Eq for MutantStream {}

impl Hash for MutantStream {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if on(Mutation::HashByIdentity) {
            return Arc::as_ptr(&self.family).hash(state);
        }
        (self.device, self.raw).hash(state);
    }
}

fn refused(operation: &'static str) -> HostError {
    ContractError::NotPermitted { operation, reason: "this mutant does not like it" }.into()
}

// SAFETY: the answers are the host backend's, but for what the current mutation does wrong; no case
// frees memory by them.
unsafe impl Stream for MutantStream {
    type Backend = Mutant;

    fn raw(&self) -> RawStream<Mutant> {
        self.raw
    }

    fn device(&self) -> Device {
        self.device
    }

    fn query(&self) -> Result<bool, HostError> {
        self.pay_unless(Mutation::QueryMissesLateSubmissions)?;
        self.family.tasks.run_due();
        let right = self.host.query();
        let right = self.answer(right, true);
        match (current(), &right) {
            (Some(Mutation::QueryIsTrue), _) => Ok(true),
            (Some(Mutation::QueryIsFalse), Ok(_)) => Ok(false),
            (Some(Mutation::QueryPendingIsError), Ok(false)) => Err(refused("Stream::query")),
            (Some(Mutation::QueryHidesErrors), Err(_)) => Ok(false),
            (Some(Mutation::LeavesLastError), Ok(false)) => {
                LAST_ERROR.set("not ready".into());
                right
            }
            (_, Ok(true)) => {
                self.family.tasks.said_done();
                right
            }
            _ => right,
        }
    }

    fn synchronize(&self) -> Result<(), HostError> {
        self.pay_unless(Mutation::SynchronizeMissesLateSubmissions)?;
        self.family.tasks.run_due();
        let right = match current() {
            Some(Mutation::SynchronizeOfDoneRefused) if matches!(self.host.query(), Ok(true)) => {
                Err(refused("Stream::synchronize"))
            }
            Some(Mutation::SynchronizeReturns) => self.host.query().map(drop),
            _ => self.host.synchronize(),
        };
        self.family.tasks.said_done();
        match current() {
            Some(Mutation::PayloadDropStopsTheStream) if self.family.tasks.is_broken() => {
                never()?.event().synchronize()
            }
            Some(Mutation::SynchronizeHidesFaults) => Ok(()),
            _ => self.answer(right, ()),
        }
    }

    fn record(&self, event: &MutantEvent) -> Result<(), HostError> {
        self.pay_unless(Mutation::RecordMissesLateSubmissions)?;
        let is_recorded = || !matches!(event.host().status(), Ok(EventStatus::Unrecorded));
        match current() {
            Some(Mutation::RecordDoesNotReplace) if is_recorded() => return Ok(()),
            Some(Mutation::RecordOnAnyDevice) if event.device() != self.device => return Ok(()),
            Some(Mutation::RecordIgnoresWork) => {
                self.host.record(event.host())?;
                let idle = Host::new_stream(self.device, StreamOptions::new())?;
                return idle.record(event.host());
            }
            Some(Mutation::RecordPassesThroughDone) if is_recorded() => {
                let idle = Host::new_stream(self.device, StreamOptions::new())?;
                idle.record(event.host())?;
                (0..50).for_each(|_| std::thread::yield_now());
            }
            _ => {}
        }
        self.answer(self.host.record(event.host()), ())?;
        let mut notes = event.notes();
        notes.family = Some(Arc::downgrade(&self.family));
        notes.records += 1;
        let keeps = on(Mutation::RecordTakesLaterWork) || on(Mutation::OwnerKeptByDroppedEvent);
        notes.stream = keeps.then(|| self.host.clone());
        if on(Mutation::EventKeepsEveryOwner) {
            notes.streams.push(self.host.clone());
        }
        Ok(())
    }

    fn record_event(&self) -> Result<MutantEvent, HostError> {
        let options = match current() {
            Some(Mutation::RecordEventIsTimed) => EventOptions::timed(),
            _ => EventOptions::new(),
        };
        let event = Mutant::new_event(self.device, options)?;
        self.record(&event)?;
        Ok(event)
    }

    fn wait_event(&self, event: &MutantEvent) -> Result<(), HostError> {
        self.pay()?;
        event.move_on()?;
        let is_unrecorded = || matches!(event.host().status(), Ok(EventStatus::Unrecorded));
        let right = || self.answer(self.host.wait_event(event.host()), ());
        match current() {
            Some(Mutation::WaitIsNothing) => Ok(()),
            Some(Mutation::OnlyFirstWaiterWaits) => {
                event.notes().waits += 1;
                if event.notes().waits == 1 { right() } else { Ok(()) }
            }
            Some(Mutation::WaitBlocksHost) => event.host().synchronize(),
            Some(Mutation::WaitAcrossDevicesRefused) if event.device() != self.device => {
                Err(refused("Stream::wait_event"))
            }
            Some(Mutation::UnrecordedWaitNeverEnds) if is_unrecorded() => {
                self.host.wait_event(never()?.event())
            }
            Some(Mutation::UnrecordedWaitRefused) if is_unrecorded() => {
                Err(refused("Stream::wait_event"))
            }
            Some(Mutation::BlockingWaitIsNothing) if event.options().is_blocking() => Ok(()),
            Some(Mutation::DroppedEventReleases) => self.wait_while_the_event_lives(event),
            Some(Mutation::WaitBindsToEvent) => {
                self.owe(Owed::Event(event.clone()));
                Ok(())
            }
            _ if self.is_late() => {
                self.owe(Owed::Event(event.clone()));
                Ok(())
            }
            _ => right(),
        }
    }

    fn wait_stream<O: Stream<Backend = Mutant>>(&self, other: &O) -> Result<(), HostError> {
        let other_native = (other as &dyn Any).downcast_ref::<MutantStream>();
        match (current(), other_native) {
            (Some(Mutation::WaitForOneselfRefused), _) if self.is_same(other) => {
                return Err(refused("Stream::wait_stream"));
            }
            (Some(Mutation::WaitForOneselfNeverEnds), _) if self.is_same(other) => {
                return self.host.wait_event(never()?.event());
            }
            _ if self.is_same(other) => return Ok(()),
            (Some(Mutation::WaitStreamIsNothing), _) => return Ok(()),
            (Some(Mutation::WaitStreamBackwards), _) => {
                return other.wait_event(&self.record_event()?);
            }
            (Some(Mutation::WaitStreamTakesLaterWork), Some(other)) => {
                self.owe(Owed::Stream(other.host.clone()));
                return Ok(());
            }
            // Its mistake is about events that a program drops.
            (Some(Mutation::DroppedEventReleases), _) => {
                let event = other.record_event()?;
                return bypass(|| self.wait_event(&event));
            }
            _ => {}
        }
        self.wait_event(&other.record_event()?)
    }

    fn fork<'a, I, O>(&self, branches: I) -> Result<(), HostError>
    where
        I: IntoIterator<Item = &'a O>,
        O: Stream<Backend = Mutant>,
    {
        let (mut event, mut outcome) = (None, Ok(()));
        let mut branches = branches.into_iter().peekable();
        while let Some(branch) = branches.next() {
            match current() {
                Some(Mutation::ForkForgetsTheLast) if branches.peek().is_none() => continue,
                Some(Mutation::ForkRecordsForEach) => {
                    branch.wait_stream(self)?;
                    continue;
                }
                Some(Mutation::ForkRefusesOneself) if branch.is_same(self) => {
                    return Err(refused("Stream::fork"));
                }
                _ if branch.is_same(self) => continue,
                _ => {}
            }
            let event = match &event {
                Some(event) => event,
                None => event.insert(self.record_event()?),
            };
            let waits = match current() {
                Some(Mutation::DroppedEventReleases) => bypass(|| branch.wait_event(event)),
                _ => branch.wait_event(event),
            };
            if waits.is_err() && on(Mutation::ForkStopsAtABadBranch) {
                return waits;
            }
            outcome = outcome.and(waits);
        }
        outcome
    }

    fn join<'a, I, O>(&self, branches: I) -> Result<(), HostError>
    where
        I: IntoIterator<Item = &'a O>,
        O: Stream<Backend = Mutant>,
    {
        let branches: Vec<_> = branches.into_iter().collect();
        let kept = match (current(), &branches[..]) {
            (Some(Mutation::JoinForgetsTheLast), [kept @ .., _]) => kept,
            (Some(Mutation::JoinForgetsTheFirst), [_, kept @ ..]) => kept,
            (_, all) => all,
        };
        let mut outcome = Ok(());
        for branch in kept {
            let waits = self.wait_stream(*branch);
            if waits.is_err() && on(Mutation::JoinStopsAtABadBranch) {
                return waits;
            }
            outcome = outcome.and(waits);
        }
        outcome
    }

    fn is_same<O: Stream<Backend = Mutant>>(&self, other: &O) -> bool {
        let one_device = on(Mutation::EqualAcrossDevices) || self.device == other.device();
        one_device && (on(Mutation::AllAreEqual) || self.raw == other.raw())
    }

    fn priority(&self) -> Result<i32, HostError> {
        match current() {
            Some(Mutation::PriorityForgotten) => Ok(0),
            _ => self.host.priority(),
        }
    }

    fn id(&self) -> Result<u64, HostError> {
        match current() {
            Some(Mutation::IdsAreShared) => Ok(7),
            Some(Mutation::IdOfTheWrapper) => Ok(Arc::as_ptr(&self.family).addr() as u64),
            _ => self.host.id(),
        }
    }

    fn capture_status(&self) -> Result<CaptureStatus, HostError> {
        match current() {
            Some(Mutation::LooksCaptured) => Ok(CaptureStatus::Active),
            _ => self.host.capture_status(),
        }
    }

    fn launch_host_func(&self, func: HostFunc) -> Result<(), HostError> {
        self.pay_waits()?;
        if self.is_late() || is_starved(&self.host)? {
            self.owe(Owed::Func(func));
            return Ok(());
        }
        self.answer(self.family.tasks.launch(&self.host, func), ())
    }
}
