//! A place in a HIP stream's work: [`HipEvent`].

mod ask;
mod place;
mod record;

use std::ffi::c_uint;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gpu_stream_core::{
    BackendKind, ContractError, Device, Event, EventOptions, EventStatus, KeepAlive, RawEvent,
    RawStream,
};
use gpu_stream_driver_common::deferred::drop_here;

use crate::call::public_call;
use crate::driver::capture::CaptureModeGuard;
use crate::driver::code::HipCode;
use crate::driver::{DeviceGuard, Driver, current, driver};
use crate::host_func::{self, DEFERRED};
use crate::owned_event::{
    DeferredDrop, OwnedEvent, Record, Stand, StreamKeepAlive, discard_keeper,
};
use crate::{Hip, HipError, device};

pub(crate) use self::ask::{is_passed, poll, refused};
use self::place::EventInner;
pub(crate) use self::record::{On, ReplacedRecord};

/// `hipEventBlockingSync`.
pub(crate) const BLOCKING: c_uint = 1;
/// `hipEventDisableTiming`.
pub(crate) const DISABLE_TIMING: c_uint = 2;
/// `hipEventInterprocess`.
pub(crate) const INTERPROCESS: c_uint = 4;

/// An event of the HIP backend: a `hipEvent_t`.
///
/// It belongs to the device that it was made for, and only streams of that device can record it.
///
/// HIP's events refer to the stream that they were recorded on, and a call for one may follow that
/// pointer. So an event shares the stream's owner from the record on, until it is recorded
/// elsewhere or dropped. Of a thread's default stream, which ends with the thread, the events are
/// complete from then on: the end of the thread waits for the stream's work, if such an event is
/// still there. Only [`elapsed_since`](Event::elapsed_since) cannot be answered after that.
///
/// An event that was recorded on a stream under capture stands for a node of the graph and not for
/// work: until it is recorded outside, `status`, `query` and `synchronize` answer
/// [`Capturing`](gpu_stream_core::ErrorKind::Capturing) while the capture goes on, and
/// [`InvalidEvent`](gpu_stream_core::ErrorKind::InvalidEvent) after that.
///
/// # Others that have the handle
/// Until [`raw`](Event::raw) is called, each record is made on another `hipEvent_t`, so that a record
/// that blocks on a full queue holds up no question. From then on the handle stays, and the runtime
/// itself makes a question wait for a record that blocks. If another library records the event, it
/// has to keep that stream alive as long as the event is used.
///
/// Threads that record one event at the same time, one inside a capture and one outside, may get
/// the answers of either. If one of them records its own default stream, questions and waits for the
/// event are an error after that thread has ended, until the event is recorded again: HIP does not
/// tell which record was the last.
pub struct HipEvent {
    device: u32,
    options: EventOptions,
    is_foreign: bool,
    place: Mutex<EventInner>,
}

/// An event that is given to the runtime: what it stands for does not go away meanwhile.
pub(crate) struct InUse<'e> {
    event: &'e HipEvent,
    stand: Option<Stand>,
}

impl std::ops::Deref for InUse<'_> {
    type Target = Stand;

    #[inline]
    fn deref(&self) -> &Stand {
        self.stand.as_ref().expect("taken when it is dropped")
    }
}

impl Drop for InUse<'_> {
    #[inline]
    fn drop(&mut self) {
        let Some(Stand { handle, last, possibly_referenced }) = self.stand.take() else { return };
        let mut keeper = last.map(|last| last.keeper);
        let mut place = self.event.place();
        let (mut replaced, mut retired) = (None, Vec::new());
        if let (Some(mine), Some(now)) = (&keeper, &place.now.last)
            && mine.is_same(&now.keeper)
        {
            // Not the last share.
            keeper = None;
        }
        if handle.is_same(&place.now.handle) {
            // Under the lock, under which a record in place looks for calls that have the handle.
            drop(handle);
            retired = place.take_retired();
        } else {
            replaced = Some(handle);
        }
        drop(place);
        drop(replaced);
        let possibly_referenced =
            possibly_referenced.into_iter().map(|possibly_referenced| possibly_referenced.keeper);
        keeper.into_iter().chain(possibly_referenced).for_each(discard_keeper);
        retired.into_iter().for_each(DeferredDrop::discard);
    }
}

impl HipEvent {
    /// Makes a new event of the device with this ordinal.
    pub(crate) fn new(
        driver: &'static Driver,
        device: u32,
        options: EventOptions,
        operation: &'static str,
    ) -> Result<Self, HipError> {
        let raw = create(driver, device, options, operation)?;
        // Not for the pool: programs that make events and drop them would fill it.
        let handle = OwnedEvent::new(raw, device, false);
        if options.is_interprocess() {
            // Another process knows this handle, and no other in its place.
            handle.fix();
        }
        Ok(Self::of(Stand::new(handle, None), device, options, false))
    }

    /// Returns the ordinal of the device that a foreign event is of, or is taken to be of. Returns an
    /// error if it cannot be wrapped.
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
            let reason = "is no event; hand in one that hipEventCreate made";
            return Err(ContractError::InvalidHandle { operation, bits: 0, reason }.into());
        }
        Ok(ordinal)
    }

    /// Wraps an event of another library, for the device that is
    /// [checked](Self::check_foreign).
    pub(crate) fn foreign(
        raw: RawEvent<Hip>,
        device: u32,
        options: Option<EventOptions>,
        owner: KeepAlive,
    ) -> Self {
        let stand = Stand::new(OwnedEvent::foreign(raw, device, owner), None);
        Self::of(stand, device, options.unwrap_or_default(), true)
    }

    /// Wraps an event of another process that was opened for the device.
    pub(crate) fn opened(raw: RawEvent<Hip>, device: u32, options: EventOptions) -> Self {
        let handle = OwnedEvent::new(raw, device, false);
        handle.give_out();
        // When and where it was recorded is not known; nothing of this process is to be kept.
        let (stream, keeper) = (RawStream::DEFAULT, StreamKeepAlive::Owner(KeepAlive::none()));
        let last = Record { stream, keeper, captured: None };
        Self::of(Stand::new(handle, Some(last)), device, options, false)
    }

    #[inline]
    fn of(now: Stand, device: u32, options: EventOptions, is_foreign: bool) -> Self {
        HipEvent { device, options, is_foreign, place: Mutex::new(EventInner::of(now)) }
    }

    /// Returns the ordinal of the event's device.
    #[inline]
    pub(crate) fn ordinal(&self) -> u32 {
        self.device
    }

    #[inline]
    fn place(&self) -> MutexGuard<'_, EventInner> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what the event stands for now, to be given to the runtime.
    #[inline]
    pub(crate) fn in_use(&self) -> InUse<'_> {
        let stand = Some(self.place().now.clone());
        InUse { event: self, stand }
    }

    /// Returns the handle, which stays from now on.
    pub(crate) fn give_out(&self) -> RawEvent<Hip> {
        let place = self.place();
        place.now.handle.give_out();
        place.now.handle.raw
    }
}

/// Makes an event of the runtime, without anything of ours.
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
    // SAFETY: `event` is a valid out-pointer, the flags are those of the options, and the device is
    // current.
    let code = unsafe { (driver.symbols.event_create)(&mut event, flags) };
    driver.check(code, operation, "hipEventCreateWithFlags")?;
    Ok(RawEvent::from_ptr(event))
}

// SAFETY: `status` says complete, and `synchronize` returns `Ok`, only if the runtime says success
// for the event, which stands for all work before its last record, or if it said so of all work of
// the stream when its thread ended; any other answer but "not ready" is an error. An event from the
// pool is recorded before anything is asked of it, so an old record is never asked. The runtime binds
// a wait to the record and holds what it needs of it, so destroying or recording the event again is
// sound at any time. A foreign event is never destroyed.
unsafe impl Event for HipEvent {
    type Backend = Hip;

    fn raw(&self) -> RawEvent<Hip> {
        self.give_out()
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
        const OPERATION: &str = "Event::status";
        public_call(|| {
            let driver = driver()?;
            let stand = self.in_use();
            let done = self.is_done(driver, &stand, OPERATION)?;
            Ok(match done {
                true if !self.is_recorded(driver, &stand, OPERATION)? => EventStatus::Unrecorded,
                true => EventStatus::Complete,
                false => EventStatus::Pending,
            })
        })
    }

    /// As [`Event::synchronize`].
    ///
    /// It asks again and again, with pauses that grow to a tenth of a millisecond, or to one
    /// millisecond if the event was made with `blocking`. `hipEventSynchronize` would hold a lock
    /// meanwhile for which every other thread's query, wait and record of the event has to wait,
    /// and those do not block.
    ///
    /// # Errors
    /// As there.
    fn synchronize(&self) -> Result<(), HipError> {
        const OPERATION: &str = "Event::synchronize";
        host_func::ensure_outside_host_func(OPERATION)?;
        public_call(|| self.wait_for_now(driver()?, OPERATION))
    }

    /// As [`Event::elapsed_since`].
    ///
    /// # Errors
    /// Beside those, [`InvalidEvent`](gpu_stream_core::ErrorKind::InvalidEvent) if one of the
    /// events was recorded on the default stream of a thread that has ended.
    fn elapsed_unchecked(&self, start: &Self) -> Result<f32, HipError> {
        const OPERATION: &str = "Event::elapsed_since";
        public_call(|| {
            let driver = driver()?;
            let (first, second) = (start.in_use(), self.in_use());
            let (code, milliseconds) = ask::elapsed(driver, &first, &second, OPERATION)?;
            match code {
                HipCode::NOT_READY => {
                    let start_is_done = ask::query_runtime(driver, &first, OPERATION);
                    let which = if start_is_done.unwrap_or(true) { "end" } else { "start" };
                    Err(ContractError::EventPending { which }.into())
                }
                HipCode::SUCCESS => Ok(milliseconds),
                code => Err(ask::elapsed_error([self, start], code, OPERATION)),
            }
        })
    }
}

impl Drop for HipEvent {
    fn drop(&mut self) {
        let place = self.place.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Stand { last, possibly_referenced, .. } = &mut place.now;
        let keeper = last.take().map(|last| last.keeper).filter(StreamKeepAlive::is_owner);
        let (possibly_referenced, retired) =
            (std::mem::take(possibly_referenced), std::mem::take(&mut place.retired));
        if keeper.is_none() && possibly_referenced.is_empty() && retired.is_empty() {
            return;
        }
        // The last share in an owner runs code of a user.
        if host_func::is_inside() {
            DEFERRED.push(move || drop((keeper, possibly_referenced, retired)));
        } else {
            drop_here((keeper, possibly_referenced, retired));
        }
    }
}

impl std::fmt::Debug for HipEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Asks the runtime nothing: printing must not disturb a capture.
        let place = self.place();
        let record = match place.now.last.as_ref().map(|last| last.captured.is_some()) {
            None => "none",
            Some(false) => "made",
            Some(true) => "made in a capture",
        };
        let raw = place.now.handle.raw;
        drop(place);
        let mut text = f.debug_struct("HipEvent");
        text.field("raw", &raw).field("device", &self.device());
        text.field("options", &self.options).field("record", &record).finish()
    }
}
