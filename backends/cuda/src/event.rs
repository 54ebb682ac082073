//! A place in a CUDA stream's work: [`CudaEvent`].

use std::ffi::c_uint;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use gpu_stream_core::{
    BackendKind, ContractError, Device, Event, EventOptions, EventStatus, KeepAlive, RawEvent,
    RawStream,
};

use crate::driver::capture::{self, Relaxed};
use crate::driver::code::CudaCode;
use crate::driver::symbols::Ptr;
use crate::driver::{Context, Current, Driver, check, driver, loaded};
use crate::sync::thread_number;
use crate::{Cuda, CudaError, host_func};

/// There was a record.
const RECORDED: u8 = 1;
/// The last record was made in a capture.
const CAPTURED: u8 = 2;
/// The event does not go into the pool: somebody has its handle, or it was in a capture.
const NOT_POOLED: u8 = 4;

/// An event of the CUDA backend: a `CUevent`.
///
/// It belongs to the context that it was made in. [`Cuda`]'s `new_event` makes it in the device's
/// primary context, which is that of torch, the runtime API and cudarc; for a stream of another
/// context of the device, there is [`CudaStream::new_event`](crate::CudaStream::new_event).
///
/// It is good after the stream that it was recorded on is gone. An event that was recorded on a
/// stream under capture stands for a node of the graph and not for work: until it is recorded
/// outside, `status`, `query` and `synchronize` answer
/// [`Capturing`](gpu_stream_core::ErrorKind::Capturing) while the capture goes on, and
/// [`InvalidEvent`](gpu_stream_core::ErrorKind::InvalidEvent) after that. What another library does
/// with the [`raw`](Event::raw) handle is not seen here: if it records the event, the answer to
/// `status` is `Unrecorded` instead of `Complete`, and all else is as it should be.
///
/// Threads that record one event at the same time, one inside a capture and one outside, may get
/// the answers of either.
pub struct CudaEvent {
    raw: RawEvent<Cuda>,
    device: u32,
    context: Context,
    options: EventOptions,
    state: AtomicU8,
    /// Set if [`CAPTURED`] is.
    captured: Mutex<Option<Captured>>,
    /// What keeps a context alive that is not the device's primary one.
    context_owner: KeepAlive,
}

/// A record in a capture.
pub(crate) struct Captured {
    /// Alive as long as `owner` is, or, by the contract of `stream_from_raw`, as long as the event.
    pub(crate) stream: RawStream<Cuda>,
    /// The capture, if the driver has numbers for them.
    pub(crate) id: Option<u64>,
    #[allow(dead_code, reason = "it is there to be dropped")]
    pub(crate) owner: KeepAlive,
}

impl CudaEvent {
    /// A new event, in a context of the device with this ordinal. `context_owner` keeps the context
    /// alive.
    pub(crate) fn new(
        driver: &'static Driver,
        device: u32,
        context: Context,
        options: EventOptions,
        context_owner: KeepAlive,
        operation: &'static str,
    ) -> Result<Self, CudaError> {
        host_func::clear();
        // CU_EVENT_BLOCKING_SYNC, CU_EVENT_DISABLE_TIMING, CU_EVENT_INTERPROCESS.
        let flags: c_uint = u32::from(options.is_blocking())
            | u32::from(!options.is_timed()) << 1
            | u32::from(options.is_interprocess()) << 2;
        let _relaxed = Relaxed::enter(driver, operation)?;
        let _current = Current::enter(driver, context, operation)?;
        let mut event = std::ptr::null_mut();
        // SAFETY: `event` is a place for one event, the flags are those of the options, and the
        // context is current.
        let code = unsafe { (driver.symbols.event_create)(&mut event, flags) };
        check(code, operation, "cuEventCreate")?;
        let raw = RawEvent::from_ptr(event);
        Ok(Self::of(raw, device, context, options, 0, context_owner))
    }

    /// An event for one record, which must follow before anybody else sees it: from the pool, if
    /// the context has one.
    pub(crate) fn for_record(
        driver: &'static Driver,
        device: u32,
        context: Context,
        context_owner: impl FnOnce() -> KeepAlive,
        operation: &'static str,
    ) -> Result<Self, CudaError> {
        let options = EventOptions::new();
        let Some(primary) = driver.known_primary(device, context) else {
            return Self::new(driver, device, context, options, context_owner(), operation);
        };
        match primary.pool.take(thread_number()) {
            Some(raw) => Ok(Self::of(raw, device, context, options, 0, KeepAlive::nothing())),
            None => Self::new(driver, device, context, options, KeepAlive::nothing(), operation),
        }
    }

    /// An event of another process, opened in the device's primary context.
    pub(crate) fn opened(
        raw: RawEvent<Cuda>,
        device: u32,
        context: Context,
        options: EventOptions,
    ) -> Self {
        Self::of(raw, device, context, options, RECORDED | NOT_POOLED, KeepAlive::nothing())
    }

    fn of(
        raw: RawEvent<Cuda>,
        device: u32,
        context: Context,
        options: EventOptions,
        state: u8,
        context_owner: KeepAlive,
    ) -> Self {
        let (state, captured) = (AtomicU8::new(state), Mutex::new(None));
        CudaEvent { raw, device, context, options, state, captured, context_owner }
    }

    /// The handle for our own calls, which does not count as given out.
    pub(crate) fn as_ptr(&self) -> Ptr {
        self.raw.as_ptr()
    }

    /// `Ok` if streams of `context` can record the event.
    pub(crate) fn check_context(
        &self,
        context: Context,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        if self.context == context {
            return Ok(());
        }
        let reason = "is an event of another context of the device than the stream's, which cannot record it; make the \
                      event with `CudaStream::new_event` of that stream";
        Err(ContractError::InvalidHandle { operation, bits: self.raw.to_bits(), reason }.into())
    }

    /// A record was made, in a capture or outside.
    pub(crate) fn recorded(&self, captured: Option<Captured>) {
        // Most records of most events: no capture, now or before.
        if captured.is_none() {
            let state = self.state.load(Ordering::Acquire);
            if state & CAPTURED == 0 {
                if state & RECORDED == 0 {
                    self.state.fetch_or(RECORDED, Ordering::AcqRel);
                }
                return;
            }
        }
        let set = RECORDED | if captured.is_some() { CAPTURED | NOT_POOLED } else { 0 };
        let mut last = self.captured.lock().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *last, captured);
        self.state.fetch_or(set, Ordering::AcqRel);
        if last.is_none() {
            self.state.fetch_and(!CAPTURED, Ordering::AcqRel);
        }
        // Dropping an owner runs code of a user, who may ask this event.
        drop(last);
        drop(old);
    }

    /// Why the event cannot be asked, if its last record was made in a capture.
    fn capture_error(&self, driver: &'static Driver, operation: &'static str) -> Option<CudaError> {
        if self.state.load(Ordering::Acquire) & CAPTURED == 0 {
            return None;
        }
        let last = self.captured.lock().unwrap_or_else(PoisonError::into_inner);
        let Captured { stream, id, .. } = last.as_ref()?;
        let now = {
            let _current = Current::enter(driver, self.context, operation).ok()?;
            // SAFETY: the stream is alive, as `Captured` says, or it is a default one, and the
            // context is current. Handle 2 means another stream on another thread; there, the
            // capture is taken to be over.
            unsafe { capture::id(driver, stream.as_ptr()) }
        };
        Some(if now.is_some() && now == *id {
            let what = "the stream that the event was last recorded on";
            CudaError::Capturing { operation, what }
        } else {
            CudaError::CapturedEvent { operation }
        })
    }

    /// An error if the event was last recorded in a capture.
    fn refuse_captured(
        &self,
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        self.capture_error(driver, operation).map_or(Ok(()), Err)
    }

    /// An error if the event was last recorded in a capture that is over. To wait for one that goes
    /// on is how another stream is drawn into the capture.
    pub(crate) fn refuse_stale(
        &self,
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        match self.capture_error(driver, operation) {
            Some(stale @ CudaError::CapturedEvent { .. }) => Err(stale),
            _ => Ok(()),
        }
    }

    /// Calls `ask`, which needs no current context on today's drivers, and once more with one where
    /// it does.
    fn ask(
        &self,
        driver: &'static Driver,
        operation: &'static str,
        ask: impl Fn() -> CudaCode,
    ) -> Result<CudaCode, CudaError> {
        let _relaxed = Relaxed::enter(driver, operation)?;
        match ask() {
            CudaCode::INVALID_CONTEXT => {
                let _current = Current::enter(driver, self.context, operation)?;
                Ok(ask())
            }
            code => Ok(code),
        }
    }
}

// SAFETY: `status` says complete, and `synchronize` returns `Ok`, only if the driver says success
// for the event, which stands for all work before its last record; any other answer but "not ready"
// is an error. An event from the pool is recorded before anybody can ask it, so an old record is
// never asked. The driver binds a wait to the record and holds what it needs of it, so destroying
// or recording the event again is sound at any time.
unsafe impl Event for CudaEvent {
    type Backend = Cuda;

    fn raw(&self) -> RawEvent<Cuda> {
        self.state.fetch_or(NOT_POOLED, Ordering::AcqRel);
        self.raw
    }

    fn device(&self) -> Device {
        Device::new(BackendKind::Cuda, self.device)
    }

    fn options(&self) -> EventOptions {
        self.options
    }

    fn status(&self) -> Result<EventStatus, CudaError> {
        const OPERATION: &str = "Event::status";
        let driver = driver()?;
        self.refuse_captured(driver, OPERATION)?;
        // SAFETY: the event is ours and alive.
        let ask = || unsafe { (driver.symbols.event_query)(self.as_ptr()) };
        match self.ask(driver, OPERATION, ask)? {
            CudaCode::SUCCESS if self.state.load(Ordering::Acquire) & RECORDED == 0 => {
                Ok(EventStatus::Unrecorded)
            }
            CudaCode::SUCCESS => Ok(EventStatus::Complete),
            CudaCode::NOT_READY => Ok(EventStatus::Pending),
            code => Err(CudaError::Driver { operation: OPERATION, function: "cuEventQuery", code }),
        }
    }

    fn synchronize(&self) -> Result<(), CudaError> {
        const OPERATION: &str = "Event::synchronize";
        host_func::refuse_inside(OPERATION)?;
        let driver = driver()?;
        self.refuse_captured(driver, OPERATION)?;
        // SAFETY: the event is ours and alive.
        let ask = || unsafe { (driver.symbols.event_synchronize)(self.as_ptr()) };
        check(self.ask(driver, OPERATION, ask)?, OPERATION, "cuEventSynchronize")
    }

    fn elapsed_unchecked(&self, start: &Self) -> Result<f32, CudaError> {
        const OPERATION: &str = "Event::elapsed_since";
        let driver = driver()?;
        let newer = driver.symbols.event_elapsed_v2;
        let (elapsed, function) = match newer.function {
            Some(function) => (function, newer.name),
            None => (driver.symbols.event_elapsed, "cuEventElapsedTime"),
        };
        let milliseconds = std::cell::Cell::new(0.0);
        // SAFETY: the first is a place for the number; both events are ours and alive.
        let ask = || unsafe { elapsed(milliseconds.as_ptr(), start.as_ptr(), self.as_ptr()) };
        match self.ask(driver, OPERATION, ask)? {
            // One of the two was recorded again a moment ago.
            CudaCode::NOT_READY => {
                let which = if start.status()? == EventStatus::Pending { "start" } else { "end" };
                Err(ContractError::EventPending { which }.into())
            }
            code => {
                check(code, OPERATION, function)?;
                Ok(milliseconds.get())
            }
        }
    }
}

impl Drop for CudaEvent {
    fn drop(&mut self) {
        // An event exists only if the driver does.
        let Some(driver) = loaded() else { return };
        let for_the_pool =
            *self.state.get_mut() & NOT_POOLED == 0 && self.options == EventOptions::new();
        let primary = driver.known_primary(self.device, self.context);
        let left = match primary {
            Some(primary) if for_the_pool => primary.pool.give(self.raw, thread_number()).err(),
            _ => Some(self.raw),
        };
        let Some(raw) = left else { return };
        let owner = std::mem::take(&mut self.context_owner);
        host_func::outside(move || {
            // Without it a capture may break; without destroying, the event leaks.
            let relaxed = Relaxed::enter(driver, "CudaEvent::drop").ok();
            // SAFETY: the event is ours, and this is its last use; its context is alive until
            // `owner` is dropped. At the end of the process the driver may be gone, and says so;
            // there is nobody to tell.
            let _ = unsafe { (driver.symbols.event_destroy)(raw.as_ptr()) };
            // Runs code of a user, in the mode that the thread had.
            drop(relaxed);
            drop(owner);
        });
    }
}

impl std::fmt::Debug for CudaEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Asks the driver nothing: printing must not disturb a capture.
        let state = self.state.load(Ordering::Acquire);
        let record = match (state & RECORDED != 0, state & CAPTURED != 0) {
            (false, _) => "none",
            (true, false) => "made",
            (true, true) => "made in a capture",
        };
        let mut text = f.debug_struct("CudaEvent");
        text.field("raw", &self.raw).field("device", &self.device());
        text.field("options", &self.options).field("record", &record).finish()
    }
}
