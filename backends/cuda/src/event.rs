//! A place in a CUDA stream's work: [`CudaEvent`].

use std::sync::atomic::{AtomicBool, Ordering};

use gpu_stream_core::{
    BackendKind, ContractError, Device, Event, EventOptions, EventStatus, KeepAlive, RawEvent,
};

use crate::driver::capture::{self, Relaxed};
use crate::driver::code::CudaCode;
use crate::driver::symbols::Ptr;
use crate::driver::{Context, Current, Driver, Primary, check, driver, loaded};
use crate::record::{Captured, LastRecord};
use crate::{Cuda, CudaError, host_func};

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
    record: LastRecord,
    /// Somebody has the handle, and may still have it when this is dropped.
    is_given_out: AtomicBool,
    /// That of the device, if its pool may have the event: not one that was asked for, or whoever makes
    /// events and drops them would fill the pool, and then each drop look through all of it.
    primary: Option<&'static Primary>,
    /// What keeps a context alive that is not the device's primary one.
    context_owner: KeepAlive,
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
        // CU_EVENT_BLOCKING_SYNC, CU_EVENT_DISABLE_TIMING, CU_EVENT_INTERPROCESS.
        let flags = u32::from(options.is_blocking())
            | u32::from(!options.is_timed()) << 1
            | u32::from(options.is_interprocess()) << 2;
        let raw = driver.create_event(context, flags, operation)?;
        Ok(Self::of(raw, device, context, options, LastRecord::none(), None, context_owner))
    }

    /// An event of a primary context, for one record, which must follow before anybody else sees
    /// it: from the pool, if there is one.
    pub(crate) fn for_record(
        primary: &'static Primary,
        operation: &'static str,
    ) -> Result<Self, CudaError> {
        match primary.take() {
            Some(raw) => Ok(Self::of_pool(raw, primary, LastRecord::none())),
            None => {
                let (driver, ordinal, context) = (primary.driver, primary.ordinal, primary.context);
                let (options, owner) = (EventOptions::new(), KeepAlive::nothing());
                let mut event = Self::new(driver, ordinal, context, options, owner, operation)?;
                event.primary = Some(primary);
                Ok(event)
            }
        }
    }

    /// An event of the pool that was recorded a moment ago, outside of a capture.
    #[inline]
    pub(crate) fn recorded_one(raw: RawEvent<Cuda>, primary: &'static Primary) -> Self {
        Self::of_pool(raw, primary, LastRecord::outside())
    }

    #[inline]
    fn of_pool(raw: RawEvent<Cuda>, primary: &'static Primary, record: LastRecord) -> Self {
        let (options, nothing) = (EventOptions::new(), KeepAlive::nothing());
        let device = primary.ordinal;
        Self::of(raw, device, primary.context, options, record, Some(primary), nothing)
    }

    /// An event of another process, opened in the device's primary context.
    pub(crate) fn opened(
        raw: RawEvent<Cuda>,
        device: u32,
        context: Context,
        options: EventOptions,
    ) -> Self {
        Self::of(raw, device, context, options, LastRecord::outside(), None, KeepAlive::nothing())
    }

    #[inline]
    fn of(
        raw: RawEvent<Cuda>,
        device: u32,
        context: Context,
        options: EventOptions,
        record: LastRecord,
        primary: Option<&'static Primary>,
        context_owner: KeepAlive,
    ) -> Self {
        let is_given_out = AtomicBool::new(false);
        CudaEvent { raw, device, context, options, record, is_given_out, primary, context_owner }
    }

    /// The handle for our own calls, which does not count as given out.
    #[inline]
    pub(crate) fn as_ptr(&self) -> Ptr {
        self.raw.as_ptr()
    }

    /// Whether streams of `context` can record the event.
    #[inline]
    pub(crate) fn is_of(&self, context: Context) -> bool {
        self.context == context
    }

    /// `Ok` if streams of `context` can record the event.
    pub(crate) fn check_context(
        &self,
        context: Context,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        if self.is_of(context) {
            return Ok(());
        }
        let reason = "is an event of another context of the device than the stream's, which cannot record it; make the \
                      event with `CudaStream::new_event` of that stream";
        Err(ContractError::InvalidHandle { operation, bits: self.raw.to_bits(), reason }.into())
    }

    /// A record was made, in a capture or outside.
    #[inline]
    pub(crate) fn recorded(&self, captured: Option<Captured>) {
        self.record.made(captured);
    }

    /// Whether its last record was made in a capture.
    #[inline]
    pub(crate) fn is_captured(&self) -> bool {
        self.record.is_captured()
    }

    /// Why the event cannot be asked, if its last record was made in a capture.
    #[inline]
    fn capture_error(&self, driver: &'static Driver, operation: &'static str) -> Option<CudaError> {
        if !self.is_captured() {
            return None;
        }
        self.find_capture_error(driver, operation)
    }

    #[cold]
    fn find_capture_error(
        &self,
        driver: &'static Driver,
        operation: &'static str,
    ) -> Option<CudaError> {
        self.record.of_capture(|Captured { stream, id, .. }| {
            let now = {
                let _current = match Current::enter(driver, self.context, operation) {
                    Ok(current) => current,
                    Err(error) => return error,
                };
                // SAFETY: the stream is alive, as `Captured` says, or it is a default one, and the
                // context is current. Handle 2 means another stream on another thread; there, the
                // capture is taken to be over.
                unsafe { capture::id(driver, stream.as_ptr()) }
            };
            if now.is_some() && now == *id {
                let what = "the stream that the event was last recorded on";
                CudaError::Capturing { operation, what }
            } else {
                CudaError::CapturedEvent { operation }
            }
        })
    }

    /// An error if the event was last recorded in a capture.
    #[inline]
    fn refuse_captured(
        &self,
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        self.capture_error(driver, operation).map_or(Ok(()), Err)
    }

    /// An error if the event was last recorded in a capture that is over. To wait for one that goes
    /// on is how another stream is drawn into the capture.
    #[inline]
    pub(crate) fn refuse_stale(
        &self,
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        match self.capture_error(driver, operation) {
            Some(CudaError::Capturing { .. }) | None => Ok(()),
            Some(error) => Err(error),
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
        self.is_given_out.store(true, Ordering::Relaxed);
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
            CudaCode::SUCCESS if !self.record.is_any() => Ok(EventStatus::Unrecorded),
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
    #[inline]
    fn drop(&mut self) {
        match self.primary {
            Some(primary) if !*self.is_given_out.get_mut() && !self.record.was_ever_captured() => {
                if let Err(raw) = primary.give(self.raw) {
                    self.destroy(raw);
                }
            }
            _ => self.destroy(self.raw),
        }
    }
}

impl CudaEvent {
    /// Destroys the handle, which is this event's and was not given to anybody.
    #[cold]
    fn destroy(&mut self, raw: RawEvent<Cuda>) {
        // An event exists only if the driver does.
        let Some(driver) = loaded() else { return };
        let owner = std::mem::take(&mut self.context_owner);
        host_func::outside(move || {
            // SAFETY: the event is ours, and this is its last use; its context is alive until
            // `owner` is dropped.
            unsafe { driver.destroy_event(raw) };
            // Runs code of a user, in the mode that the thread had.
            drop(owner);
        });
    }
}

impl std::fmt::Debug for CudaEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Asks the driver nothing: printing must not disturb a capture.
        let record = match (self.record.is_any(), self.record.is_captured()) {
            (false, _) => "none",
            (true, false) => "made",
            (true, true) => "made in a capture",
        };
        let mut text = f.debug_struct("CudaEvent");
        text.field("raw", &self.raw).field("device", &self.device());
        text.field("options", &self.options).field("record", &record).finish()
    }
}
