//! Events of the host backend: [`HostEvent`].

use std::sync::{Arc, Mutex};

use gpu_stream_core::{
    ContractError, Device, Event, EventOptions, EventStatus, KeepAlive, RawEvent,
};

use crate::executor::queue::Queue;
use crate::executor::record::Record;
use crate::executor::{executor, process_state, task};
use crate::shared_event::{LastRecord, SharedEvent};
use crate::sync::lock;
use crate::{Host, HostError, device};

/// An event of the host backend.
///
/// It holds a *record*: a stream, and the number of the last item that was submitted before. So
/// recording and waiting allocate nothing. For a timed event, the stream sets a timestamp of the
/// system's monotonic clock when it reaches the record.
///
/// The handle that [`raw`](Event::raw) returns is valid until the event is dropped.
/// [`event_from_raw`](gpu_stream_core::Backend::event_from_raw) wraps it; the wrapper and this value
/// are then the same event.
pub struct HostEvent {
    device: Device,
    options: EventOptions,
    storage: Mutex<RecordStorage>,
    /// The owner of a foreign event. `None` for an event that this backend created.
    foreign: Option<KeepAlive>,
}

/// The storage of the last record.
enum RecordStorage {
    /// In the event itself, which has no handle yet.
    Own(LastRecord),
    /// In an event with a handle.
    Shared(Arc<SharedEvent>),
}

impl HostEvent {
    /// Creates an event that is not recorded.
    pub(crate) fn new(device: Device, options: EventOptions) -> Self {
        Self::with_last_record(device, options, LastRecord::default())
    }

    /// Creates an event that is recorded already.
    pub(crate) fn new_recorded(
        device: Device,
        options: EventOptions,
        record: Record,
        owner: KeepAlive,
    ) -> Self {
        Self::with_last_record(device, options, LastRecord { record: Some(record), owner })
    }

    fn with_last_record(device: Device, options: EventOptions, last: LastRecord) -> Self {
        HostEvent { device, options, storage: Mutex::new(RecordStorage::Own(last)), foreign: None }
    }

    /// Calls `call` with the last record, under the event's lock. `call` must not run code of the
    /// user.
    fn lock_last<T>(&self, call: impl FnOnce(&mut LastRecord) -> T) -> T {
        match &mut *lock(&self.storage) {
            RecordStorage::Own(last) => call(last),
            RecordStorage::Shared(shared) => call(&mut lock(&shared.last)),
        }
    }

    /// Replaces the record by the result of `make`. Leaves the event unchanged if `make` fails.
    ///
    /// `make` runs under the event's lock, so concurrent records of this event do not interleave.
    pub(crate) fn record_with(
        &self,
        owner: KeepAlive,
        make: impl FnOnce() -> Result<Record, HostError>,
    ) -> Result<(), HostError> {
        let replaced = self.lock_last(|last| match make() {
            Ok(record) => Ok(std::mem::replace(last, LastRecord { record: Some(record), owner })),
            Err(error) => Err((error, owner)),
        });
        // Dropped outside the lock: dropping an owner runs code of the user, which can query this
        // event.
        replaced.map(drop).map_err(|(error, _owner)| error)
    }

    /// Returns the current record if `queue` has to wait for it. Returns `None` for a record of
    /// `queue` itself, and for a complete one.
    pub(crate) fn pending_record(&self, queue: &Queue) -> Option<Record> {
        self.lock_last(|last| {
            let record = last.record.as_ref()?;
            let is_satisfied =
                std::ptr::eq(&**record.queue(), queue) || matches!(record.is_complete(), Ok(true));
            (!is_satisfied).then(|| record.clone())
        })
    }

    /// Returns the current record. Returns `None` if the event was never recorded.
    pub(crate) fn current_record(&self) -> Option<Record> {
        self.lock_last(|last| last.record.clone())
    }
}

/// Wraps the event with the handle `raw`.
pub(crate) fn wrap(
    raw: RawEvent<Host>,
    given: Option<Device>,
    owner: KeepAlive,
    operation: &'static str,
) -> Result<HostEvent, HostError> {
    let Some(shared) = SharedEvent::find(raw) else {
        let reason = "is not a live event of the host backend; pass a handle of this backend \
                      that has not been destroyed";
        return Err(ContractError::InvalidHandle { operation, bits: raw.to_bits(), reason }.into());
    };
    if let Some(given) = given {
        device::ordinal(given, operation)?;
        given.check_is(shared.device, operation)?;
    }
    let (device, options) = (shared.device, shared.options);
    let storage = Mutex::new(RecordStorage::Shared(shared));
    Ok(HostEvent { device, options, storage, foreign: Some(owner) })
}

// SAFETY:
// - `status` and `synchronize` compare the record's number with the queue's progress. The queue
//   reaches the number after all earlier items have completed and were dropped. The runner's store
//   is a release, and the caller's load an acquire.
// - A fault is an error in both.
// - A wait holds the record, not the event, so dropping the event does not affect it.
unsafe impl Event for HostEvent {
    type Backend = Host;

    /// Returns the handle, which no other event of the process has or will have.
    fn raw(&self) -> RawEvent<Host> {
        let storage = &mut *lock(&self.storage);
        let shared = match storage {
            RecordStorage::Shared(shared) => shared,
            RecordStorage::Own(last) => {
                let shared = SharedEvent::new(self.device, self.options, std::mem::take(last));
                *storage = RecordStorage::Shared(Arc::clone(&shared));
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
        let Some(record) = self.current_record() else { return Ok(EventStatus::Unrecorded) };
        match record.is_complete() {
            Ok(true) => Ok(EventStatus::Complete),
            Ok(false) => Ok(EventStatus::Pending),
            Err(fault) => Err(HostError::fault("Event::status", fault)),
        }
    }

    fn synchronize(&self) -> Result<(), HostError> {
        const OPERATION: &str = "Event::synchronize";
        task::ensure_outside_task(OPERATION)?;
        process_state::ensure_not_forked()?;
        let Some(record) = self.current_record() else { return Ok(()) };
        record.wait(executor()?.help).map_err(|error| HostError::wait_error(OPERATION, error))
    }

    fn elapsed_unchecked(&self, start: &Self) -> Result<f32, HostError> {
        process_state::ensure_not_forked()?;
        let reached_at = |event: &Self, which| {
            let reached = event.current_record().and_then(|record| record.reached_at());
            reached.ok_or(ContractError::EventPending { which })
        };
        let (start, end) = (reached_at(start, "start")?, reached_at(self, "end")?);
        // One of the two differences is zero.
        let after = end.saturating_duration_since(start).as_secs_f64();
        let before = start.saturating_duration_since(end).as_secs_f64();
        Ok(((after - before) * 1e3) as f32)
    }
}

impl Drop for HostEvent {
    fn drop(&mut self) {
        let storage = self.storage.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let (RecordStorage::Shared(shared), None) = (storage, &self.foreign) {
            shared.invalidate_handle();
        }
    }
}

impl std::fmt::Debug for HostEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if process_state::is_forked() {
            return f.write_str("HostEvent(of the process that this one was forked from)");
        }
        // Cloned, so that the lock is not held while the caller's formatter runs.
        let owner = self.lock_last(|last| last.owner.clone());
        let mut text = f.debug_struct("HostEvent");
        text.field("device", &self.device).field("options", &self.options);
        text.field("status", &self.status()).field("owner", &owner).finish()
    }
}
