//! A place in a host stream's work: [`HostEvent`].

use std::sync::{Arc, Mutex};

use gpu_stream_core::{
    ContractError, Device, Event, EventOptions, EventStatus, KeepAlive, RawEvent,
};

use crate::executor::queue::Queue;
use crate::executor::record::Record;
use crate::executor::{driver, process_state, task};
use crate::raw_event::Shared;
use crate::sync::lock;
use crate::{Host, HostError};

/// An event of the host backend.
///
/// It holds a *record*: a stream and how far that must come. Recording and waiting allocate
/// nothing, and an event that keeps time stamps it when the stream comes to it, with the system's
/// monotonic clock.
///
/// The handle that [`raw`](Event::raw) gives is good until the event is dropped:
/// [`event_from_raw`](gpu_stream_core::Backend::event_from_raw) wraps it, and then both are one event.
pub struct HostEvent {
    device: Device,
    options: EventOptions,
    place: Mutex<RecordStorage>,
    /// The owner of an event that another library made; `None` for an event of ours.
    foreign: Option<KeepAlive>,
}

/// Where the last record is kept.
enum RecordStorage {
    /// In the event, whose handle nothing else has.
    Own(Last),
    /// Under a handle.
    Shared(Arc<Shared>),
}

/// A record, and what keeps its stream alive.
#[derive(Default)]
pub(crate) struct Last {
    record: Option<Record>,
    /// The owner of the stream that was recorded.
    owner: KeepAlive,
}

impl HostEvent {
    pub(crate) fn new(device: Device, options: EventOptions) -> Self {
        Self::of(device, options, Last::default())
    }

    fn of(device: Device, options: EventOptions, last: Last) -> Self {
        HostEvent { device, options, place: Mutex::new(RecordStorage::Own(last)), foreign: None }
    }

    /// Wraps an event that another library made.
    pub(crate) fn wrap(shared: Arc<Shared>, owner: KeepAlive) -> Self {
        let (device, options) = (shared.device, shared.options);
        HostEvent {
            device,
            options,
            place: Mutex::new(RecordStorage::Shared(shared)),
            foreign: Some(owner),
        }
    }

    /// Calls `call` with the last record, which no other thread changes meanwhile. `call` runs no code
    /// of a user.
    fn with<T>(&self, call: impl FnOnce(&mut Last) -> T) -> T {
        match &mut *lock(&self.place) {
            RecordStorage::Own(last) => call(last),
            RecordStorage::Shared(shared) => call(&mut lock(&shared.last)),
        }
    }

    /// Replaces the record by what `make` makes, which no other record of this event comes in
    /// between; if it fails, the event stays as it is.
    pub(crate) fn record_with(
        &self,
        owner: KeepAlive,
        make: impl FnOnce() -> Result<Record, HostError>,
    ) -> Result<(), HostError> {
        let replaced = self.with(|last| match make() {
            Ok(record) => Ok(std::mem::replace(last, Last { record: Some(record), owner })),
            Err(error) => Err((error, owner)),
        });
        // Dropping an owner runs code of a user, which may ask this event: no lock is held here.
        replaced.map(drop).map_err(|(error, _owner)| error)
    }

    /// An event that nobody else has yet, with a record.
    pub(crate) fn recorded(
        device: Device,
        options: EventOptions,
        record: Record,
        owner: KeepAlive,
    ) -> Self {
        Self::of(device, options, Last { record: Some(record), owner })
    }

    /// The record at this moment, if `queue` has to wait for it: if there is one, of another queue,
    /// and it is not complete.
    pub(crate) fn to_wait_for(&self, queue: &Queue) -> Option<Record> {
        self.with(|last| {
            let record = last.record.as_ref()?;
            // A stream is in order with itself, and what is over needs no wait.
            let nothing_to_do =
                std::ptr::eq(&**record.queue(), queue) || matches!(record.is_complete(), Ok(true));
            (!nothing_to_do).then(|| record.clone())
        })
    }

    /// The record at this moment.
    pub(crate) fn current(&self) -> Option<Record> {
        self.with(|last| last.record.clone())
    }
}

// SAFETY: `status` and `synchronize` go by the number in the record: the queue reaches it after all
// items in front of the record have ended and were dropped, with release and acquire between the
// two threads. A fault is an error in both. A wait holds the record and not the event, so dropping
// the event changes nothing for it.
unsafe impl Event for HostEvent {
    type Backend = Host;

    /// A number that no other event of the process has or will have.
    fn raw(&self) -> RawEvent<Host> {
        let place = &mut *lock(&self.place);
        let shared = match place {
            RecordStorage::Shared(shared) => shared,
            RecordStorage::Own(last) => {
                let shared = Shared::new(self.device, self.options, std::mem::take(last));
                *place = RecordStorage::Shared(Arc::clone(&shared));
                return shared.handle();
            }
        };
        shared.handle()
    }

    fn is_foreign(&self) -> bool {
        self.foreign.is_some()
    }

    fn device(&self) -> Device {
        self.device
    }

    fn options(&self) -> EventOptions {
        self.options
    }

    fn status(&self) -> Result<EventStatus, HostError> {
        process_state::ensure_not_forked()?;
        let Some(record) = self.current() else { return Ok(EventStatus::Unrecorded) };
        match record.is_complete() {
            Ok(true) => Ok(EventStatus::Complete),
            Ok(false) => Ok(EventStatus::Pending),
            Err(fault) => Err(HostError::fault("Event::status", fault)),
        }
    }

    fn synchronize(&self) -> Result<(), HostError> {
        const OPERATION: &str = "Event::synchronize";
        ensure_outside_task(OPERATION)?;
        process_state::ensure_not_forked()?;
        let Some(record) = self.current() else { return Ok(()) };
        record.wait(driver()?.help).map_err(|reason| HostError::no_wait(OPERATION, reason))
    }

    fn elapsed_unchecked(&self, start: &Self) -> Result<f32, HostError> {
        process_state::ensure_not_forked()?;
        let passed_at = |event: &Self, which| {
            let passed = event.current().and_then(|record| record.passed_at());
            passed.ok_or(ContractError::EventPending { which })
        };
        let (start, end) = (passed_at(start, "start")?, passed_at(self, "end")?);
        // One of the two differences is zero.
        let after = end.saturating_duration_since(start).as_secs_f64();
        let before = start.saturating_duration_since(end).as_secs_f64();
        Ok(((after - before) * 1e3) as f32)
    }
}

/// Blocking inside a task would hold a thread of the pool, and for ever if it is the task's own
/// stream.
pub(crate) fn ensure_outside_task(operation: &'static str) -> Result<(), HostError> {
    if !task::is_running() {
        return Ok(());
    }
    let reason = "it would block a task of a stream; let another stream wait for an event instead";
    Err(ContractError::NotPermitted { operation, reason }.into())
}

impl Drop for HostEvent {
    fn drop(&mut self) {
        let place = self.place.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let (RecordStorage::Shared(shared), None) = (place, &self.foreign) {
            shared.forget();
        }
    }
}

impl std::fmt::Debug for HostEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if process_state::is_forked() {
            return f.write_str("HostEvent(of the process that this one was forked from)");
        }
        // The lock is not held while the caller's formatter is written to.
        let owner = self.with(|last| last.owner.clone());
        let mut text = f.debug_struct("HostEvent");
        text.field("device", &self.device).field("options", &self.options);
        text.field("status", &self.status()).field("owner", &owner).finish()
    }
}
