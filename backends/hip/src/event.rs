//! An event of the HIP runtime: [`HipEvent`].

mod query;
mod record;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gpu_stream_core::{
    BackendKind, ContractError, Device, Event, EventOptions, EventStatus, KeepAlive, RawEvent,
};

use crate::call::public_call;
use crate::code::HipCode;
use crate::driver::{Driver, current, driver, loaded};
use crate::host_func::{self, USER_CODE};
use crate::{Hip, HipError, device, pool};

pub(crate) use self::record::capture_of;
use self::state::EventInner;
pub(crate) use self::state::{CapturedRecord, EventState, Record};

/// An event of the HIP backend: a `hipEvent_t`.
///
/// It belongs to the device that it was created for, and only streams of that device can record it.
///
/// HIP's events point to the stream that they were recorded on, and a call may follow that pointer. So an
/// event keeps the stream's owner from the record on, until it is recorded elsewhere or dropped. A thread's
/// default stream ends with the thread. So its events are recorded on a stream of this crate that waits for it.
///
/// An event that was recorded on a captured stream stands for a node of the graph, not for work. Until it is
/// recorded outside of captures, `status`, `query` and `synchronize` are errors:
/// [`Capturing`](gpu_stream_core::ErrorKind::Capturing) while the capture goes on, and
/// [`InvalidEvent`](gpu_stream_core::ErrorKind::InvalidEvent) after that.
///
/// # Events whose handle other libraries have
/// Until [`raw`](Event::raw) is called, each record uses another `hipEvent_t`. So a record that blocks on a full
/// queue blocks no query. From then on the handle stays, and the runtime itself makes a query wait for a
/// record that blocks. Another library that records the event has to keep its stream alive as long as the event
/// is used.
///
/// Threads may record one event at the same time, one inside a capture and one outside. Queries then answer for
/// either record.
pub struct HipEvent {
    device: u32,
    options: EventOptions,
    /// What keeps a foreign event alive. `None` for an event that this crate created.
    foreign: Option<KeepAlive>,
    inner: Mutex<EventInner>,
}

impl HipEvent {
    /// Creates an event of the device with this ordinal.
    pub(crate) fn new(
        driver: &'static Driver,
        device: u32,
        options: EventOptions,
        operation: &'static str,
    ) -> Result<Self, HipError> {
        let raw = pool::create(driver, device, options, operation)?;
        // Not pooled: programs that create events and drop them would fill the pool.
        let state = EventState::new(raw, device, false, None);
        Ok(Self::of(state, device, options, None))
    }

    /// Returns the ordinal of a foreign event's device: the given one, or the current one. Returns an error if
    /// the event cannot be wrapped.
    pub(crate) fn check_foreign(
        raw: RawEvent<Hip>,
        device: Option<Device>,
        operation: &'static str,
    ) -> Result<u32, HipError> {
        let driver = driver()?;
        let ordinal = match device {
            Some(device) => device::ordinal(device, operation)?,
            None => u32::try_from(current(driver, operation)?).unwrap_or(u32::MAX),
        };
        if raw.to_bits() == 0 {
            let reason = "is no event; pass one that hipEventCreate returned";
            return Err(ContractError::InvalidHandle { operation, bits: 0, reason }.into());
        }
        Ok(ordinal)
    }

    /// Wraps an event of another library. The device is that of [`check_foreign`](Self::check_foreign).
    pub(crate) fn foreign(
        raw: RawEvent<Hip>,
        device: u32,
        options: Option<EventOptions>,
        owner: KeepAlive,
    ) -> Self {
        let state = EventState::new(raw, device, false, None);
        let event = Self::of(state, device, options.unwrap_or_default(), Some(owner));
        event.inner().fix();
        event
    }

    #[inline]
    fn of(now: EventState, device: u32, options: EventOptions, foreign: Option<KeepAlive>) -> Self {
        HipEvent { device, options, foreign, inner: Mutex::new(EventInner::new(now)) }
    }

    /// Returns the ordinal of the event's device.
    #[inline]
    pub(crate) fn ordinal(&self) -> u32 {
        self.device
    }

    #[inline]
    fn inner(&self) -> MutexGuard<'_, EventInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the current state, for a call of the runtime: it keeps the handle, and each stream that the handle may
    /// point to.
    #[inline]
    pub(crate) fn in_use(&self) -> Arc<EventState> {
        Arc::clone(&self.inner().now)
    }

    /// Returns the status for `operation`, a public call.
    #[inline]
    fn status_for(&self, operation: &'static str) -> Result<EventStatus, HipError> {
        public_call(|| {
            let driver = driver()?;
            let state = self.in_use();
            let done = self.is_done(driver, &state, operation)?;
            Ok(match done {
                true if !self.is_recorded(driver, &state, operation)? => EventStatus::Unrecorded,
                true => EventStatus::Complete,
                false => EventStatus::Pending,
            })
        })
    }

    /// Returns the handle, and makes all later records in place.
    pub(crate) fn expose_raw(&self) -> RawEvent<Hip> {
        let mut inner = self.inner();
        inner.fix();
        inner.now.raw
    }
}

// SAFETY:
// - `status` returns `Complete`, and `synchronize` returns `Ok`, only if the runtime reports success for the event,
//   which stands for all work before its last record. Any other code but "not ready" is an error.
// - An event from the pool is recorded before any other call, so an old record is never queried.
// - The runtime binds a wait to the record, and holds what it needs of it. So the event can be destroyed or
//   recorded again at any time.
// - A foreign event is never destroyed.
unsafe impl Event for HipEvent {
    type Backend = Hip;

    fn raw(&self) -> RawEvent<Hip> {
        self.expose_raw()
    }

    #[inline]
    fn device(&self) -> Device {
        Device::new(BackendKind::Hip, self.device)
    }

    #[inline]
    fn options(&self) -> EventOptions {
        self.options
    }

    #[inline]
    fn is_foreign(&self) -> bool {
        self.foreign.is_some()
    }

    #[inline]
    fn status(&self) -> Result<EventStatus, HipError> {
        self.status_for("Event::status")
    }

    #[inline]
    fn query(&self) -> Result<bool, HipError> {
        Ok(self.status_for("Event::query")? != EventStatus::Pending)
    }

    /// Blocks until the current record's work is done, as [`Event::synchronize`] says.
    ///
    /// It does not call `hipEventSynchronize` with this event. That call holds a lock, and other threads' queries, waits
    /// and records of the event would block. What it does instead depends on the event:
    ///
    /// - With the option `blocking`, each record also records an event that no other code has. The call waits for that
    ///   one inside the runtime.
    /// - Without the option, the call polls. Its pauses are a third of the time so far, and at most 2 ms.
    /// - If other libraries have the handle, a new stream waits for the event, and records one that no other code has.
    ///   The call waits for that one inside the runtime.
    ///
    /// # Errors
    /// Errors as [`Event::synchronize`].
    fn synchronize(&self) -> Result<(), HipError> {
        const OPERATION: &str = "Event::synchronize";
        host_func::ensure_outside_host_func(OPERATION)?;
        public_call(|| self.wait_for_current(driver()?, OPERATION))
    }

    /// Returns the milliseconds between two records, as [`Event::elapsed_since`] says.
    ///
    /// # Errors
    /// Errors as [`Event::elapsed_since`].
    fn elapsed_unchecked(&self, start: &Self) -> Result<f32, HipError> {
        const OPERATION: &str = "Event::elapsed_since";
        public_call(|| {
            let driver = driver()?;
            let (first, second) = (start.in_use(), self.in_use());
            for (which, event, state) in [("start", start, &first), ("end", self, &second)] {
                if state.is_unrecorded() {
                    return Err(ContractError::EventNotRecorded { which }.into());
                }
                event.ensure_not_captured(driver, state, OPERATION)?;
            }
            let (code, milliseconds) = query::elapsed(driver, &first, &second, OPERATION)?;
            match code {
                HipCode::NOT_READY => {
                    let start_is_done = start.is_done(driver, &first, OPERATION);
                    let which = if start_is_done.unwrap_or(true) { "end" } else { "start" };
                    Err(ContractError::EventPending { which }.into())
                }
                HipCode::SUCCESS => Ok(milliseconds),
                code => Err(query::elapsed_error([self, start], code, OPERATION)),
            }
        })
    }
}

impl Drop for HipEvent {
    fn drop(&mut self) {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Otherwise the state has the handle. The end of the process may have begun: the handle leaks then.
        if let (Some(fixed), Some(driver)) = (inner.fixed.take(), loaded()) {
            let is_kept = fixed.is_leaked
                || fixed.is_in_capture && driver.quirks.captures_keep_destroyed
                || self.foreign.is_some();
            if !is_kept {
                let raw = inner.now.raw;
                pool::destroy_soon(driver, raw, || {
                    let owners = Arc::get_mut(&mut inner.now).map(EventState::take_owners);
                    owners.into_iter().flatten().collect()
                });
            }
        }
        let state = Arc::get_mut(&mut inner.now);
        let owners = state.map(|state| {
            state.release_handle();
            state.take_owners()
        });
        let owners = owners.into_iter().flatten().chain(self.foreign.take());
        owners.for_each(|owner| USER_CODE.drop_owner(owner));
    }
}

impl std::fmt::Debug for HipEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Makes no call of the runtime, which could break a capture.
        let inner = self.inner();
        let record = match inner.now.last.as_ref().map(|last| last.captured.is_some()) {
            None => "none",
            Some(false) => "made",
            Some(true) => "made in a capture",
        };
        let raw = inner.now.raw;
        drop(inner);
        let mut text = f.debug_struct("HipEvent");
        text.field("raw", &raw).field("device", &self.device());
        text.field("options", &self.options).field("record", &record).finish()
    }
}
