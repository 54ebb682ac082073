//! An event of the HIP runtime: [`HipEvent`].

mod inner;
mod query;
mod record;

use std::ffi::c_uint;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gpu_stream_core::{
    BackendKind, ContractError, Device, Event, EventOptions, EventStatus, KeepAlive, RawEvent,
    RawStream,
};
use gpu_stream_driver_common::deferred::drop_here;

use crate::call::public_call;
use crate::driver::code::HipCode;
use crate::driver::{CaptureModeGuard, DeviceGuard, Driver, current, driver};
use crate::event_state::{EventState, Record};
use crate::host_func::{self, DEFERRED};
use crate::keep_alive::{DeferredDrop, StreamKeepAlive, discard_keeper};
use crate::owned_event::OwnedEvent;
use crate::{Hip, HipError, device};

use self::inner::EventInner;
pub(crate) use self::query::{is_passed, poll, query_error};
pub(crate) use self::record::{RecordSource, ReplacedRecord};

/// `hipEventBlockingSync`.
pub(crate) const BLOCKING: c_uint = 1;
/// `hipEventDisableTiming`.
pub(crate) const DISABLE_TIMING: c_uint = 2;
/// `hipEventInterprocess`.
pub(crate) const INTERPROCESS: c_uint = 4;

/// An event of the HIP backend: a `hipEvent_t`.
///
/// It belongs to the device that it was created for, and only streams of that device can record it.
///
/// HIP's events point to the stream that they were recorded on, and a call may follow that pointer. So an
/// event keeps the stream's owner from the record on, until it is recorded elsewhere or dropped. A thread's
/// default stream ends with the thread. If an event of it exists then, the thread's end waits for the stream's
/// work, and the event is complete from then on. Only [`elapsed_since`](Event::elapsed_since) is an error after
/// that.
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
/// either record. If one of them records its own default stream, and ends, queries and waits for the event are
/// errors until it is recorded again: HIP cannot tell which record was the last.
pub struct HipEvent {
    device: u32,
    options: EventOptions,
    is_foreign: bool,
    inner: Mutex<EventInner>,
}

/// An event during a call of the runtime: a reference to its handle, and to the stream of its record.
pub(crate) struct InUse<'e> {
    event: &'e HipEvent,
    state: Option<EventState>,
}

impl std::ops::Deref for InUse<'_> {
    type Target = EventState;

    #[inline]
    fn deref(&self) -> &EventState {
        self.state.as_ref().expect("taken on drop only")
    }
}

impl Drop for InUse<'_> {
    #[inline]
    fn drop(&mut self) {
        let Some(EventState { handle, last, possibly_referenced }) = self.state.take() else {
            return;
        };
        let mut keeper = last.map(|last| last.keeper);
        let mut inner = self.event.inner();
        let (mut replaced, mut retired) = (None, Vec::new());
        if let (Some(mine), Some(now)) = (&keeper, &inner.now.last)
            && mine.is_same(&now.keeper)
        {
            // The event has another reference.
            keeper = None;
        }
        if handle.is_same(&inner.now.handle) {
            // Dropped under the lock: a record in place checks under it for calls that use the handle.
            drop(handle);
            retired = inner.take_retired();
        } else {
            replaced = Some(handle);
        }
        drop(inner);
        drop(replaced);
        let possibly_referenced = possibly_referenced.into_iter().map(|possible| possible.keeper);
        keeper.into_iter().chain(possibly_referenced).for_each(discard_keeper);
        retired.into_iter().for_each(DeferredDrop::discard);
    }
}

impl HipEvent {
    /// Creates an event of the device with this ordinal.
    pub(crate) fn new(
        driver: &'static Driver,
        device: u32,
        options: EventOptions,
        operation: &'static str,
    ) -> Result<Self, HipError> {
        let raw = create(driver, device, options, operation)?;
        // Not pooled: programs that create events and drop them would fill the pool.
        let handle = OwnedEvent::new(raw, device, false);
        if options.is_interprocess() {
            // Another process knows this handle, so it cannot be replaced.
            handle.fix();
        }
        Ok(Self::of(EventState::new(handle, None), device, options, false))
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
        let state = EventState::new(OwnedEvent::foreign(raw, device, owner), None);
        Self::of(state, device, options.unwrap_or_default(), true)
    }

    /// Wraps an event of another process, opened for the device.
    pub(crate) fn opened(raw: RawEvent<Hip>, device: u32, options: EventOptions) -> Self {
        let handle = OwnedEvent::new(raw, device, false);
        handle.set_escaped();
        // Its record is not known, and needs nothing of this process to be kept alive.
        let (stream, keeper) = (RawStream::DEFAULT, StreamKeepAlive::Owner(KeepAlive::none()));
        let last = Record { stream, keeper, captured: None };
        Self::of(EventState::new(handle, Some(last)), device, options, false)
    }

    #[inline]
    fn of(now: EventState, device: u32, options: EventOptions, is_foreign: bool) -> Self {
        HipEvent { device, options, is_foreign, inner: Mutex::new(EventInner::of(now)) }
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

    /// Returns the current state, for a call of the runtime.
    #[inline]
    pub(crate) fn in_use(&self) -> InUse<'_> {
        let state = Some(self.inner().now.clone());
        InUse { event: self, state }
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
        let inner = self.inner();
        inner.now.handle.set_escaped();
        inner.now.handle.raw
    }
}

/// Creates an event of the runtime.
pub(crate) fn create(
    driver: &'static Driver,
    device: u32,
    options: EventOptions,
    operation: &'static str,
) -> Result<RawEvent<Hip>, HipError> {
    if options.is_interprocess() {
        driver.require_interprocess(operation)?;
    }
    let flag = |on: bool, flag: c_uint| if on { flag } else { 0 };
    let flags = driver.quirks.event_flags
        | flag(options.is_blocking(), BLOCKING)
        | flag(!options.is_timed(), DISABLE_TIMING)
        | flag(options.is_interprocess(), INTERPROCESS);
    let _relaxed = CaptureModeGuard::enter(driver, operation)?;
    let _current = DeviceGuard::enter(driver, device, operation)?;
    let mut event = std::ptr::null_mut();
    // SAFETY: `&mut event` is a valid out-pointer, the flags are valid, and the device is current.
    let code = unsafe { (driver.symbols.event_create)(&mut event, flags) };
    driver.check(code, operation, "hipEventCreateWithFlags")?;
    Ok(RawEvent::from_ptr(event))
}

// SAFETY:
// - `status` returns `Complete`, and `synchronize` returns `Ok`, only if the runtime reports success for the event,
//   which stands for all work before its last record, or reported it for all work of a thread's stream when the
//   thread ended. Any other code but "not ready" is an error.
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
        self.is_foreign
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
    /// Polls the event, with pauses that grow to a tenth of a millisecond, or to one millisecond if the event
    /// has the option `blocking`. It does not call `hipEventSynchronize`, which holds a lock: other threads'
    /// queries, waits and records of the event would block.
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
    /// Errors as [`Event::elapsed_since`]. Also [`InvalidEvent`](gpu_stream_core::ErrorKind::InvalidEvent) if one of
    /// the events was recorded on the default stream of a thread that has ended.
    fn elapsed_unchecked(&self, start: &Self) -> Result<f32, HipError> {
        const OPERATION: &str = "Event::elapsed_since";
        public_call(|| {
            let driver = driver()?;
            let (first, second) = (start.in_use(), self.in_use());
            let (code, milliseconds) = query::elapsed(driver, &first, &second, OPERATION)?;
            match code {
                HipCode::NOT_READY => {
                    let start_is_done = query::query_runtime(driver, &first, OPERATION);
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
        let EventState { last, possibly_referenced, .. } = &mut inner.now;
        let keeper = last.take().map(|last| last.keeper).filter(StreamKeepAlive::is_owner);
        let (possibly_referenced, retired) =
            (std::mem::take(possibly_referenced), std::mem::take(&mut inner.retired));
        if keeper.is_none() && possibly_referenced.is_empty() && retired.is_empty() {
            return;
        }
        // The last reference to an owner runs user code.
        if host_func::is_inside() {
            DEFERRED.push(move || drop((keeper, possibly_referenced, retired)));
        } else {
            drop_here((keeper, possibly_referenced, retired));
        }
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
        let raw = inner.now.handle.raw;
        drop(inner);
        let mut text = f.debug_struct("HipEvent");
        text.field("raw", &raw).field("device", &self.device());
        text.field("options", &self.options).field("record", &record).finish()
    }
}
