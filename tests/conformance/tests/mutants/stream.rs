//! The stream of the mutants. One file, because the mutations change the methods of one trait.

use std::any::Any;
use std::hash::{Hash, Hasher};
use std::mem::take;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};

use gpu_stream_core::{
    Backend, CaptureStatus, ContractError, Device, Error, ErrorKind, Event, EventOptions,
    EventStatus, HostFunc, KeepAlive, RawStream, Stream, StreamOptions,
};
use gpu_stream_host::{Gate, Host, HostStream};

use crate::backend::{LAST_ERROR, Mutant, never};
use crate::error::MutantError;
use crate::event::{MutantEvent, lock};
use crate::family::{Deferred, Family};
use crate::mutation::{Mutation, bypass, current, on};
use crate::tasks::{self, is_starved};
use crate::{capture, vendor};

/// A host stream, with the state that the mutants need.
#[derive(Debug)]
pub struct MutantStream {
    pub host: HostStream,
    pub raw: RawStream<Mutant>,
    pub device: Device,
    pub family: Arc<Family>,
    owner: KeepAlive,
    /// The number of resets of the device when the wrapper was made.
    born: u64,
}

/// The fault that all streams have, for the mutant whose faults spread.
pub static SPREAD: Mutex<Option<MutantError>> = Mutex::new(None);

impl MutantStream {
    /// Creates a stream that its wrappers own.
    pub fn owned(host: HostStream) -> Self {
        Self::of(host, KeepAlive::none(), |family| family.is_owned = true)
    }

    /// Creates a wrapper of a default stream.
    pub fn wrapper(host: HostStream) -> Self {
        Self::of(host, KeepAlive::none(), |_| ())
    }

    /// Creates a wrapper of a foreign stream.
    pub fn foreign(host: HostStream, owner: KeepAlive) -> Self {
        let foreign = Some(host.raw());
        Self::of(host, owner, |family| family.foreign = foreign)
    }

    fn of(host: HostStream, owner: KeepAlive, kind: impl FnOnce(&mut Family)) -> Self {
        let mut family = Family::default();
        family.bits = host.raw().to_bits();
        kind(&mut family);
        let raw = RawStream::from_bits(host.raw().to_bits());
        let (device, born) = (host.device(), vendor::resets_of(host.device()));
        MutantStream { host, raw, device, family: Arc::new(family), owner, born }
    }

    /// Makes the waits, and submits the tasks, that a mutant has deferred.
    pub fn flush(&self) -> Result<(), MutantError> {
        self.flush_waits()?;
        Ok(self.family.tasks.flush(&self.host)?)
    }

    /// Returns the stream's handle.
    pub fn bits(&self) -> usize {
        self.raw.to_bits()
    }

    fn check_alive(&self, operation: &'static str) -> Result<(), MutantError> {
        let is_stale = self.born != vendor::resets_of(self.host.device());
        if is_stale && !on(Mutation::ResetIsHidden) {
            return Err(MutantError::Reset(operation));
        }
        Ok(())
    }

    /// Returns an error if the stream is captured.
    fn check_not_captured(&self, operation: &'static str) -> Result<(), MutantError> {
        if on(Mutation::QueryBreaksCaptures) {
            capture::break_global();
        }
        let Some(capture) = capture::of(self.bits()) else { return Ok(()) };
        match current() {
            Some(Mutation::CapturedQueryAnswered) => return Ok(()),
            Some(Mutation::QueryEndsCapture) => capture::break_one(capture),
            _ => {}
        }
        Err(MutantError::Captured(operation))
    }

    fn flush_waits(&self) -> Result<(), MutantError> {
        self.check_alive("a call")?;
        for wait in take(&mut *lock(&self.family.deferred)) {
            match wait {
                Deferred::Event(event) => self.host.wait_event(event.host())?,
                Deferred::Stream(other) => self.host.wait_stream(&other)?,
                Deferred::Func(func) => self.host.launch_host_func(func)?,
            }
        }
        Ok(())
    }

    fn defer(&self, wait: Deferred) {
        lock(&self.family.deferred).push(wait);
    }

    /// Makes the deferred calls, unless the current mutation is `misses`, which omits them.
    fn flush_unless(&self, misses: Mutation) -> Result<(), MutantError> {
        if on(misses) { Ok(()) } else { self.flush() }
    }

    /// Returns `true` if this thread's submission is deferred, because another thread submitted
    /// before it.
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

    /// Returns the result of a query of the stream, with the mutants' faults in errors.
    fn answer<T>(&self, result: Result<T, MutantError>, instead: T) -> Result<T, MutantError> {
        let is_fault = |error: &MutantError| error.kind() == ErrorKind::StreamFault;
        match (current(), result) {
            (Some(Mutation::FaultIsForgotten), Err(error)) if is_fault(&error) => {
                if self.family.fault_seen.swap(true, Ordering::SeqCst) {
                    return Ok(instead);
                }
                Err(error)
            }
            (Some(Mutation::FaultReachesEarlierRecords), Err(error)) if is_fault(&error) => {
                self.family.fault_seen.store(true, Ordering::SeqCst);
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

    fn launch_in_a_capture(&self, func: HostFunc) -> Result<(), MutantError> {
        let (operation, bits) = ("Stream::launch_host_func", self.bits());
        match current() {
            Some(Mutation::HostFunctionIsCaptured) => {
                capture::add(bits, Box::new(move |stream| Ok(stream.launch_host_func(func)?)));
                Ok(())
            }
            Some(Mutation::HostFunctionMisleads) => Err(MutantError::Captured(operation)),
            _ => Err(ContractError::CaptureHostFunc { operation, bits }.into()),
        }
    }

    /// Waits for the event in a way that dropping the event releases the waiter.
    fn wait_while_the_event_lives(&self, event: &MutantEvent) -> Result<(), MutantError> {
        let gate = Arc::new(Gate::new(self.device())?);
        let scratch = Host::new_stream(event.device(), StreamOptions::new())?;
        scratch.wait_event(event.host())?;
        let opens = Arc::clone(&gate);
        scratch.launch(move || opens.open())?;
        self.host.wait_event(gate.event())?;
        event.notes().releases.push(gate);
        Ok(())
    }
}

impl Drop for MutantStream {
    fn drop(&mut self) {
        // Its owner is dropped later, or never, where a mutant defers that.
        if tasks::is_inside() {
            tasks::defer_drop(self.host.clone());
        }
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
            born: self.born,
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

fn refused(operation: &'static str) -> MutantError {
    ContractError::NotPermitted { operation, reason: "this mutant refuses it" }.into()
}

// SAFETY: the answers are the host backend's, except for the current mutation's fault. No case
// frees memory because of them.
unsafe impl Stream for MutantStream {
    type Backend = Mutant;

    fn raw(&self) -> RawStream<Mutant> {
        self.raw
    }

    fn device(&self) -> Device {
        self.device
    }

    fn query(&self) -> Result<bool, MutantError> {
        self.check_not_captured("Stream::query")?;
        self.flush_unless(Mutation::QueryMissesLateSubmissions)?;
        self.family.tasks.run_due();
        let right = self.host.query().map_err(MutantError::from);
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
                self.family.tasks.mark_done();
                right
            }
            _ => right,
        }
    }

    fn synchronize(&self) -> Result<(), MutantError> {
        self.check_not_captured("Stream::synchronize")?;
        self.flush_unless(Mutation::SynchronizeMissesLateSubmissions)?;
        self.family.tasks.run_due();
        let right = match current() {
            Some(Mutation::SynchronizeOfDoneRefused) if matches!(self.host.query(), Ok(true)) => {
                Err(refused("Stream::synchronize"))
            }
            Some(Mutation::SynchronizeReturns) => Ok(self.host.query().map(drop)?),
            _ => self.host.synchronize().map_err(MutantError::from),
        };
        self.family.tasks.mark_done();
        match current() {
            Some(Mutation::PayloadDropStopsTheStream) if self.family.tasks.is_broken() => {
                Ok(never()?.event().synchronize()?)
            }
            Some(Mutation::SynchronizeHidesFaults) => Ok(()),
            _ => self.answer(right, ()),
        }
    }

    fn record(&self, event: &MutantEvent) -> Result<(), MutantError> {
        self.flush_unless(Mutation::RecordMissesLateSubmissions)?;
        event.check_alive()?;
        let is_recorded = || !matches!(event.host().status(), Ok(EventStatus::Unrecorded));
        if event.notes().context.is_some_and(|context| context != vendor::context_of(self.bits())) {
            let reason = "is an event of another context of the device; use `Stream::new_event`";
            let (operation, bits) = ("Stream::record", event.raw().to_bits());
            return Err(ContractError::InvalidHandle { operation, bits, reason }.into());
        }
        if let Some(capture) = capture::of(self.bits()) {
            let stream = self.bits();
            event.notes().captured = Some(capture::CapturedRecord { capture, stream });
            return Ok(());
        }
        vendor::apply_implicit_sync(&self.host)?;
        match current() {
            Some(Mutation::RecordDoesNotReplace) if is_recorded() => return Ok(()),
            Some(Mutation::RecordOnAnyDevice) if event.device() != self.device => return Ok(()),
            Some(Mutation::RecordIgnoresWork) => {
                self.host.record(event.host())?;
                let idle = Host::new_stream(self.device, StreamOptions::new())?;
                return Ok(idle.record(event.host())?);
            }
            Some(Mutation::RecordPassesThroughDone) if is_recorded() => {
                let idle = Host::new_stream(self.device, StreamOptions::new())?;
                idle.record(event.host())?;
                (0..50).for_each(|_| std::thread::yield_now());
            }
            _ => {}
        }
        let recording = vendor::recording();
        let held = vendor::held(&recording);
        self.answer(self.host.record(event.host()).map_err(MutantError::from), ())?;
        drop(held);
        let mut notes = event.notes();
        (notes.captured, notes.is_recorded) = (None, true);
        notes.family = Some(Arc::downgrade(&self.family));
        notes.records += 1;
        let keeps = on(Mutation::RecordTakesLaterWork) || on(Mutation::OwnerKeptByDroppedEvent);
        notes.stream = keeps.then(|| self.host.clone());
        if on(Mutation::EventKeepsEveryOwner) {
            notes.streams.push(self.host.clone());
        }
        Ok(())
    }

    fn record_event(&self) -> Result<MutantEvent, MutantError> {
        let options = match current() {
            Some(Mutation::RecordEventIsTimed) => EventOptions::timed(),
            _ => EventOptions::new(),
        };
        let event = self.new_event(options)?;
        self.record(&event)?;
        Ok(event)
    }

    fn new_event(&self, options: EventOptions) -> Result<MutantEvent, MutantError> {
        let event = Mutant::new_event(self.device, options)?;
        if !on(Mutation::NewObjectOfTheFirstContext) {
            event.notes().context = Some(vendor::context_of(self.bits()));
        }
        Ok(event)
    }

    fn new_stream(&self, options: StreamOptions) -> Result<MutantStream, MutantError> {
        let first = on(Mutation::NewObjectOfTheFirstDevice);
        let device = if first { Host::device(0)? } else { self.device };
        let stream = Mutant::new_stream(device, options)?;
        let context = vendor::context_of(self.bits());
        if context != 0 && !on(Mutation::NewObjectOfTheFirstContext) {
            vendor::put_into_context(stream.bits(), context);
        }
        Ok(stream)
    }

    fn wait_event(&self, event: &MutantEvent) -> Result<(), MutantError> {
        self.flush()?;
        event.record_again()?;
        let (bits, captured) = (event.raw().to_bits(), event.notes().captured);
        if capture::wait_event(self.bits(), bits, captured)? {
            return Ok(());
        }
        let is_unrecorded = || matches!(event.host().status(), Ok(EventStatus::Unrecorded));
        let right =
            || self.answer(self.host.wait_event(event.host()).map_err(MutantError::from), ());
        match current() {
            Some(Mutation::WaitIsNothing) => Ok(()),
            Some(Mutation::FaultReachesEarlierRecords) => {
                let source = event.notes().family.as_ref().and_then(Weak::upgrade);
                if source.is_some_and(|source| source.fault_seen.load(Ordering::SeqCst)) {
                    return Err(refused("Stream::wait_event"));
                }
                right()
            }
            Some(Mutation::OnlyFirstWaiterWaits) => {
                event.notes().waits += 1;
                if event.notes().waits == 1 { right() } else { Ok(()) }
            }
            Some(Mutation::WaitBlocksHost) => Ok(event.host().synchronize()?),
            Some(Mutation::WaitAcrossDevicesRefused) if event.device() != self.device => {
                Err(refused("Stream::wait_event"))
            }
            Some(Mutation::UnrecordedWaitNeverEnds) if is_unrecorded() => {
                Ok(self.host.wait_event(never()?.event())?)
            }
            Some(Mutation::UnrecordedWaitRefused) if is_unrecorded() => {
                Err(refused("Stream::wait_event"))
            }
            Some(Mutation::BlockingWaitIsNothing) if event.options().is_blocking() => Ok(()),
            Some(Mutation::DroppedEventReleases) => self.wait_while_the_event_lives(event),
            Some(Mutation::WaitBindsToEvent) => {
                self.defer(Deferred::Event(event.clone()));
                Ok(())
            }
            _ if self.is_late() => {
                self.defer(Deferred::Event(event.clone()));
                Ok(())
            }
            _ => right(),
        }
    }

    fn wait_stream<O: Stream<Backend = Mutant>>(&self, other: &O) -> Result<(), MutantError> {
        let claim = vendor::claim();
        let _held = vendor::held(&claim);
        if on(Mutation::DestructorsUnderALock) {
            tasks::drop_deferred();
        }
        capture::ensure_can_wait_stream("Stream::wait_stream", self.bits(), other.raw().to_bits())?;
        if on(Mutation::PoolOutlivesReset) && vendor::resets_of(self.device) > 0 {
            return Err(MutantError::Reset("Stream::wait_stream"));
        }
        let other_native = (other as &dyn Any).downcast_ref::<MutantStream>();
        match (current(), other_native) {
            (Some(Mutation::WaitForItselfRefused), _) if self.is_same(other) => {
                return Err(refused("Stream::wait_stream"));
            }
            (Some(Mutation::WaitForItselfNeverEnds), _) if self.is_same(other) => {
                return Ok(self.host.wait_event(never()?.event())?);
            }
            _ if self.is_same(other) => return Ok(()),
            (Some(Mutation::WaitStreamIsNothing), _) => return Ok(()),
            (Some(Mutation::WaitStreamBackwards), _) => {
                return other.wait_event(&self.record_event()?);
            }
            (Some(Mutation::WaitStreamTakesLaterWork), Some(other)) => {
                self.defer(Deferred::Stream(other.host.clone()));
                return Ok(());
            }
            // This mutant's fault concerns events that a program drops.
            (Some(Mutation::DroppedEventReleases), _) => {
                let event = other.record_event()?;
                return bypass(|| self.wait_event(&event));
            }
            _ => {}
        }
        self.wait_event(&other.record_event()?)
    }

    fn fork<'a, I, O>(&self, branches: I) -> Result<(), MutantError>
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
                Some(Mutation::ForkRefusesItself) if branch.is_same(self) => {
                    return Err(refused("Stream::fork"));
                }
                _ if branch.is_same(self) => continue,
                _ => {}
            }
            let waiter = branch.raw().to_bits();
            outcome =
                outcome.and(capture::ensure_can_wait_stream("Stream::fork", waiter, self.bits()));
            if outcome.is_err() && capture::of(waiter).is_some() {
                continue;
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

    fn join<'a, I, O>(&self, branches: I) -> Result<(), MutantError>
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
        if on(Mutation::SameByHandle) {
            return self.raw == other.raw();
        }
        let one_device = on(Mutation::EqualAcrossDevices) || self.device == other.device();
        one_device && (on(Mutation::AllAreEqual) || self.raw == other.raw())
    }

    fn priority(&self) -> Result<i32, MutantError> {
        match current() {
            Some(Mutation::PriorityForgotten) => Ok(0),
            _ => Ok(self.host.priority()?),
        }
    }

    fn id(&self) -> Result<u64, MutantError> {
        match current() {
            Some(Mutation::IdsAreShared) => Ok(7),
            Some(Mutation::IdOfTheWrapper) => Ok(Arc::as_ptr(&self.family).addr() as u64),
            _ => Ok(self.host.id()?),
        }
    }

    fn capture_status(&self) -> Result<CaptureStatus, MutantError> {
        match current() {
            Some(Mutation::ReportsCapture) => Ok(CaptureStatus::Active),
            _ if capture::is_alive(self.bits()) => Ok(CaptureStatus::Active),
            _ if capture::of(self.bits()).is_some() => Ok(CaptureStatus::Invalidated),
            _ => Ok(self.host.capture_status()?),
        }
    }

    fn is_blocking(&self) -> Result<bool, MutantError> {
        match current() {
            Some(Mutation::BlockingFlagForgotten) => Ok(false),
            _ => Ok(vendor::is_blocking(self.bits())),
        }
    }

    fn launch_host_func(&self, func: HostFunc) -> Result<(), MutantError> {
        self.flush_waits()?;
        if capture::of(self.bits()).is_some() {
            return self.launch_in_a_capture(func);
        }
        vendor::apply_implicit_sync(&self.host)?;
        if let (Err(error), true) = (self.host.query(), on(Mutation::RefusedFunctionIsKept)) {
            std::mem::forget(func);
            return Err(error.into());
        }
        if self.is_late() || is_starved(&self.host)? {
            self.defer(Deferred::Func(func));
            return Ok(());
        }
        let launched = self.family.tasks.launch(&self.host, func);
        self.answer(launched.map_err(MutantError::from), ())
    }
}
