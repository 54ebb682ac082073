//! A stream of the CUDA driver: [`CudaStream`].

mod wrap;

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use gpu_stream_core::{
    BackendKind, CaptureStatus, Device, EventOptions, HandleKind, HostFunc, KeepAlive, RawStream,
    Stream,
};

use crate::driver::capture::{self, Relaxed};
use crate::driver::code::CudaCode;
use crate::driver::symbols::Ptr;
use crate::driver::{Context, Current, Driver, Primary, check, driver, loaded, require};
use crate::host_func::{self, Job};
use crate::record::Captured;
use crate::{Cuda, CudaError, CudaEvent, fault, order};

pub(crate) use self::wrap::{named, new_stream, per_thread_stream, wrap, wrap_unchecked};

/// A stream of the CUDA backend: a `CUstream`, most often somebody else's.
///
/// A clone is the same stream. A stream that was made by [`Cuda`] is destroyed with the last clone,
/// and what was submitted to it still runs.
///
/// Handles 0 and 1 both mean the legacy default stream of the device's primary context. Its wrapper
/// has handle 1, whichever was given: 0 means a thread's own stream to a library that was compiled
/// for per-thread default streams, and 1 means the same to everybody.
pub struct CudaStream {
    raw: RawStream<Cuda>,
    device: u32,
    /// The context, or 0 if it was not asked for yet.
    context: AtomicUsize,
    /// The device's primary context, if the stream is known to be of it; else null.
    primary: AtomicPtr<Primary>,
    owner: KeepAlive,
}

impl CudaStream {
    /// A new event in this stream's own context, not recorded yet. Does not block.
    ///
    /// The driver takes a record only from streams of the event's context. `Cuda::new_event` uses
    /// the primary context of the device, and this is for streams of another. `record_event`,
    /// `wait_stream`, `fork` and `join` need no such care.
    ///
    /// # Errors
    /// [`OutOfMemory`](gpu_stream_core::ErrorKind::OutOfMemory), and what else the driver says.
    ///
    /// Origin: torch makes an event at its first record, on the device of that stream.
    #[doc(alias = "cuEventCreate")]
    pub fn new_event(&self, options: EventOptions) -> Result<CudaEvent, CudaError> {
        self.new_event_for(options, "CudaStream::new_event")
    }

    fn new_event_for(
        &self,
        options: EventOptions,
        operation: &'static str,
    ) -> Result<CudaEvent, CudaError> {
        let context = self.context(operation)?;
        let owner = match self.primary() {
            Some(_) => KeepAlive::nothing(),
            // It keeps the stream's context alive.
            None => self.owner.clone(),
        };
        CudaEvent::new(driver()?, self.device, context, options, owner, operation)
    }

    /// The handle as an integer.
    #[inline]
    pub(crate) fn bits(&self) -> usize {
        self.raw.to_bits()
    }

    /// Whether both are wrappers of one stream.
    #[inline]
    pub(crate) fn is_the_same(&self, other: &Self) -> bool {
        self.raw == other.raw && self.device == other.device
    }

    /// The device's primary context, if the stream is of it. `None` also if the driver does not say.
    pub(crate) fn primary(&self) -> Option<&'static Primary> {
        if self.is_found() {
            return self.likely_primary();
        }
        // SAFETY: only an explicit stream is made without its context, and it is alive as long as
        // this wrapper.
        let primary = unsafe { loaded()?.primary_of(self.raw.as_ptr(), Some(self.device)) }?;
        Some(self.keep_primary(primary))
    }

    /// Whether the context is known.
    pub(crate) fn is_found(&self) -> bool {
        self.context.load(Ordering::Relaxed) != 0
    }

    /// As [`primary`](Self::primary), and without a question to the driver: while the context is
    /// not known, this is the device's primary one.
    ///
    /// It does for a record of an event of that context. The driver refuses it if the stream is of
    /// another, and if it does not, the stream is [of this one](Self::found).
    #[inline]
    pub(crate) fn likely_primary(&self) -> Option<&'static Primary> {
        // Acquire: what another thread found.
        let known = self.primary.load(Ordering::Acquire);
        if known.is_null() {
            return self.presumed_primary();
        }
        // SAFETY: it is null, or was made of a `&'static Primary`.
        Some(unsafe { &*known })
    }

    #[inline]
    fn presumed_primary(&self) -> Option<&'static Primary> {
        if self.is_found() { None } else { loaded()?.retained_primary(self.device) }
    }

    /// The stream has recorded an event of this context, and is of it then.
    #[inline]
    pub(crate) fn found(&self, primary: &'static Primary) {
        if !self.is_found() {
            self.keep_primary(primary);
        }
    }

    #[inline]
    fn keep_primary(&self, primary: &'static Primary) -> &'static Primary {
        self.primary.store(std::ptr::from_ref(primary).cast_mut(), Ordering::Release);
        self.context.store(primary.context.to_bits(), Ordering::Release);
        primary
    }

    /// The stream's context. The driver is asked once.
    #[inline]
    pub(crate) fn context(&self, operation: &'static str) -> Result<Context, CudaError> {
        match Context::from_bits(self.context.load(Ordering::Relaxed)) {
            Some(known) => Ok(known),
            None => self.find_context(operation),
        }
    }

    #[cold]
    fn find_context(&self, operation: &'static str) -> Result<Context, CudaError> {
        let driver = driver()?;
        // SAFETY: only an explicit stream is made without its context, and it is alive as long as
        // this wrapper.
        let context = unsafe { driver.context_of(self.raw.as_ptr(), operation) }?;
        let actual = Device::new(BackendKind::Cuda, driver.ordinal_of(context, operation)?);
        self.device().check_is(actual, operation)?;
        match driver.known_primary(self.device, context) {
            Some(primary) => drop(self.keep_primary(primary)),
            None => self.context.store(context.to_bits(), Ordering::Relaxed),
        }
        Ok(context)
    }

    /// Calls `ask` with what it needs current.
    ///
    /// Explicit handles need nothing on today's drivers; where one does, `ask` is called a second
    /// time.
    #[inline]
    fn ask<T>(
        &self,
        operation: &'static str,
        ask: impl Fn(&'static Driver, Ptr) -> Result<T, CudaError>,
    ) -> Result<T, CudaError> {
        let (driver, raw) = (driver()?, self.raw.as_ptr());
        if self.raw.kind() == HandleKind::Explicit {
            match ask(driver, raw) {
                Err(CudaError::Driver { code: CudaCode::INVALID_CONTEXT, .. }) => {}
                answer => return answer,
            }
        }
        let _current = Current::enter(driver, self.context(operation)?, operation)?;
        ask(driver, raw)
    }

    /// An error for the default stream beside a captured stream that it synchronises with: there,
    /// whatever names it would break the capture. Asks nothing of other streams.
    ///
    /// # Safety
    /// As [`capture::status`].
    #[inline]
    unsafe fn look_if_default(
        &self,
        driver: &Driver,
        raw: Ptr,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        if self.raw.kind() == HandleKind::Default {
            // SAFETY: the caller promises the same.
            unsafe { capture::status(driver, raw, operation) }?;
        }
        Ok(())
    }

    /// The driver, if this is an explicit stream and nothing was seen to be wrong with any.
    #[inline]
    fn quick(&self) -> Option<&'static Driver> {
        if self.raw.kind() == HandleKind::Explicit && !fault::any() { loaded() } else { None }
    }

    /// The record of most events on most streams. `None` if this one needs more care.
    #[inline]
    fn quick_record(&self, event: &CudaEvent) -> Option<CudaCode> {
        let driver = self.quick()?;
        let context = Context::from_bits(self.context.load(Ordering::Relaxed));
        if context.is_some_and(|context| !event.is_of(context)) {
            return None;
        }
        let raw = self.raw.as_ptr();
        // SAFETY: the stream is alive.
        if unsafe { capture::is_possible(driver, raw) } {
            return None;
        }
        // SAFETY: the stream is alive, and so is the event; if the event is of another context than
        // the stream, the driver says so.
        let code = unsafe { (driver.symbols.event_record)(event.as_ptr(), raw) };
        if code == CudaCode::SUCCESS {
            event.recorded(None);
            return Some(code);
        }
        self.is_final(code).then_some(code)
    }

    /// Likewise, with an event of the pool.
    #[inline]
    fn quick_record_event(&self) -> Option<CudaEvent> {
        let (driver, raw, primary) = (self.quick()?, self.raw.as_ptr(), self.likely_primary()?);
        // SAFETY: the stream is alive.
        if unsafe { capture::is_possible(driver, raw) } {
            return None;
        }
        let event = CudaEvent::recorded_one(primary.take()?, primary);
        // SAFETY: as above.
        let code = unsafe { (driver.symbols.event_record)(event.as_ptr(), raw) };
        if code != CudaCode::SUCCESS {
            return None;
        }
        self.found(primary);
        Some(event)
    }

    /// Whether the driver would say the same once more, if it were asked with more care: with a
    /// context that is current, and with an event of the stream's own.
    #[inline]
    pub(crate) fn is_final(&self, code: CudaCode) -> bool {
        match code {
            CudaCode::INVALID_CONTEXT => false,
            CudaCode::INVALID_HANDLE => self.is_found(),
            _ => true,
        }
    }

    /// The wait of most streams for most events. `None` if this one needs more care.
    #[inline]
    fn quick_wait(&self, event: &CudaEvent) -> Option<CudaCode> {
        let driver = self.quick()?;
        if event.is_captured() {
            return None;
        }
        // SAFETY: the stream is alive, and so is the event, which may be of any context. Flags are
        // 0.
        let code =
            unsafe { (driver.symbols.stream_wait_event)(self.raw.as_ptr(), event.as_ptr(), 0) };
        (code != CudaCode::INVALID_CONTEXT).then_some(code)
    }

    fn record_for(&self, event: &CudaEvent, operation: &'static str) -> Result<(), CudaError> {
        if !event.is_of(self.context(operation)?) {
            use gpu_stream_core::Event as _;
            event.device().check_is(self.device(), operation)?;
            event.check_context(self.context(operation)?, operation)?;
        }
        self.check_fault(operation)?;
        let captured = self.ask(operation, |driver, raw| {
            // SAFETY: the stream is alive, and `ask` has made current what a default one needs.
            let status = unsafe { capture::status(driver, raw, operation) }?;
            // SAFETY: as above; the event is alive, and of the stream's context.
            let code = unsafe { (driver.symbols.event_record)(event.as_ptr(), raw) };
            check(code, operation, "cuEventRecord")?;
            Ok(match status {
                CaptureStatus::None => None,
                // SAFETY: as above.
                _ => Some(unsafe { capture::id(driver, raw) }),
            })
        })?;
        event.recorded(captured.map(|id| Captured {
            stream: self.raw,
            id,
            owner: self.owner.clone(),
        }));
        Ok(())
    }

    pub(crate) fn record_event_for(&self, operation: &'static str) -> Result<CudaEvent, CudaError> {
        // In the child of a fork there is none, though all else is known.
        driver()?;
        let event = match self.primary() {
            Some(primary) => CudaEvent::for_record(primary, operation)?,
            None => self.new_event_for(EventOptions::new(), operation)?,
        };
        self.record_for(&event, operation)?;
        Ok(event)
    }

    pub(crate) fn wait_event_for(
        &self,
        event: &CudaEvent,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        self.check_fault(operation)?;
        self.ask(operation, |driver, raw| {
            event.refuse_stale(driver, operation)?;
            // SAFETY: `ask` has made current what a default stream needs.
            unsafe { self.look_if_default(driver, raw, operation) }?;
            // SAFETY: the stream is alive, and `ask` has made current what a default one needs; the
            // event is alive, and may be of any context. Flags are 0.
            let code = unsafe { (driver.symbols.stream_wait_event)(raw, event.as_ptr(), 0) };
            check(code, operation, "cuStreamWaitEvent")
        })
    }

    /// The stream's id, if the driver has ids.
    fn id_if_any(&self) -> Option<u64> {
        self.id().ok()
    }

    #[inline]
    pub(crate) fn check_fault(&self, operation: &'static str) -> Result<(), CudaError> {
        fault::check(operation, || self.id_if_any())
    }
}

// SAFETY: `query` says true, and `synchronize` returns `Ok`, only if the driver says success for
// the stream, which is alive by the contract of whoever made the wrapper; any other answer but "not
// ready" is an error. A stream that is captured, whose work does not run, is refused. `wait_event`
// is the driver's, which binds to the event's record at the call and holds what it needs of it.
unsafe impl Stream for CudaStream {
    type Backend = Cuda;

    #[inline]
    fn raw(&self) -> RawStream<Cuda> {
        self.raw
    }

    #[inline]
    fn device(&self) -> Device {
        Device::new(BackendKind::Cuda, self.device)
    }

    fn query(&self) -> Result<bool, CudaError> {
        const OPERATION: &str = "Stream::query";
        let done = self.ask(OPERATION, |driver, raw| {
            // SAFETY: the stream is alive, and `ask` has made current what a default one needs.
            unsafe { capture::refuse(driver, raw, OPERATION) }?;
            let _relaxed = Relaxed::enter(driver, OPERATION)?;
            // SAFETY: as above.
            match unsafe { (driver.symbols.stream_query)(raw) } {
                CudaCode::SUCCESS => Ok(true),
                CudaCode::NOT_READY => Ok(false),
                code => {
                    Err(CudaError::Driver { operation: OPERATION, function: "cuStreamQuery", code })
                }
            }
        })?;
        self.check_fault(OPERATION)?;
        Ok(done)
    }

    fn synchronize(&self) -> Result<(), CudaError> {
        const OPERATION: &str = "Stream::synchronize";
        host_func::refuse_inside(OPERATION)?;
        self.ask(OPERATION, |driver, raw| {
            // SAFETY: the stream is alive, and `ask` has made current what a default one needs.
            unsafe { capture::refuse(driver, raw, OPERATION) }?;
            let _relaxed = Relaxed::enter(driver, OPERATION)?;
            // SAFETY: as above.
            let code = unsafe { (driver.symbols.stream_synchronize)(raw) };
            check(code, OPERATION, "cuStreamSynchronize")
        })?;
        self.check_fault(OPERATION)
    }

    /// As [`Stream::record`]. On a stream that is captured, the event becomes a node of the graph.
    ///
    /// # Errors
    /// Beside those, [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) if the event belongs to another
    /// context of the device than the stream: make it with [`CudaStream::new_event`].
    #[inline]
    fn record(&self, event: &CudaEvent) -> Result<(), CudaError> {
        const OPERATION: &str = "Stream::record";
        match self.quick_record(event) {
            Some(CudaCode::SUCCESS) => Ok(()),
            Some(code) => check(code, OPERATION, "cuEventRecord"),
            None => self.record_for(event, OPERATION),
        }
    }

    #[inline]
    fn record_event(&self) -> Result<CudaEvent, CudaError> {
        match self.quick_record_event() {
            Some(event) => Ok(event),
            None => self.record_event_for("Stream::record_event"),
        }
    }

    #[inline]
    fn wait_event(&self, event: &CudaEvent) -> Result<(), CudaError> {
        const OPERATION: &str = "Stream::wait_event";
        match self.quick_wait(event) {
            Some(CudaCode::SUCCESS) => Ok(()),
            Some(code) => check(code, OPERATION, "cuStreamWaitEvent"),
            None => self.wait_event_for(event, OPERATION),
        }
    }

    /// As [`Stream::wait_stream`]. Threads that wait for one stream at the same moment may share a
    /// record of it, which is made after all of them have called.
    #[inline]
    fn wait_stream<O: Stream<Backend = Cuda>>(&self, other: &O) -> Result<(), CudaError> {
        match order::native(other) {
            Some(other) => order::wait_stream(self, other),
            // Something laid over a stream, which has its own way to record.
            None if self.is_same(other) => Ok(()),
            None => self.wait_event(&other.record_event()?),
        }
    }

    #[inline]
    fn fork<'a, I, O>(&self, branches: I) -> Result<(), CudaError>
    where
        I: IntoIterator<Item = &'a O>,
        O: Stream<Backend = Cuda>,
    {
        let mut fork = order::Fork::of(self);
        for branch in branches {
            let next = match order::native(branch) {
                Some(branch) => fork.native(branch),
                None => fork.layered(branch),
            };
            if next.is_break() {
                break;
            }
        }
        fork.outcome
    }

    #[inline]
    fn join<'a, I, O>(&self, branches: I) -> Result<(), CudaError>
    where
        I: IntoIterator<Item = &'a O>,
        O: Stream<Backend = Cuda>,
    {
        let (mut relay, mut outcome) = (order::Relay::new(), Ok(()));
        for branch in branches {
            let joined = match order::native(branch) {
                Some(branch) => relay.join(self, branch),
                None => self.wait_stream(branch),
            };
            order::keep_first(&mut outcome, joined);
        }
        outcome
    }

    /// As [`Stream::priority`].
    ///
    /// # Errors
    /// [`Capturing`](gpu_stream_core::ErrorKind::Capturing) for the default stream while a stream is captured that
    /// it synchronises with.
    fn priority(&self) -> Result<i32, CudaError> {
        const OPERATION: &str = "Stream::priority";
        self.ask(OPERATION, |driver, raw| {
            // SAFETY: `ask` has made current what a default stream needs.
            unsafe { self.look_if_default(driver, raw, OPERATION) }?;
            let ask = require(driver.symbols.stream_priority, OPERATION)?;
            let _relaxed = Relaxed::enter(driver, OPERATION)?;
            let mut priority = 0;
            // SAFETY: the stream is alive, and `ask` has made current what a default one needs;
            // `priority` is a place for the number.
            let code = unsafe { ask(raw, &mut priority) };
            check(code, OPERATION, "cuStreamGetPriority")?;
            Ok(priority)
        })
    }

    /// As [`Stream::id`]. Needs a driver of CUDA 12.0 or newer.
    ///
    /// # Errors
    /// [`Capturing`](gpu_stream_core::ErrorKind::Capturing) while the stream is captured, and for the default stream
    /// while a stream is that it synchronises with: the question would break the capture, in every
    /// mode.
    fn id(&self) -> Result<u64, CudaError> {
        const OPERATION: &str = "Stream::id";
        let stream_id = require(driver()?.symbols.stream_id, OPERATION)?;
        self.ask(OPERATION, |driver, raw| {
            // SAFETY: `ask` has made current what a default stream needs.
            unsafe { capture::refuse(driver, raw, OPERATION) }?;
            let _relaxed = Relaxed::enter(driver, OPERATION)?;
            let mut id = 0;
            // SAFETY: the stream is alive, and `ask` has made current what a default one needs;
            // `id` is a place for the number.
            check(unsafe { stream_id(raw, &mut id) }, OPERATION, "cuStreamGetId")?;
            Ok(id)
        })
    }

    /// As [`Stream::capture_status`].
    ///
    /// # Errors
    /// [`Capturing`](gpu_stream_core::ErrorKind::Capturing) for the default stream, which itself is never captured,
    /// while a stream is that it synchronises with: then it cannot be used, and the driver does not
    /// say more.
    fn capture_status(&self) -> Result<CaptureStatus, CudaError> {
        const OPERATION: &str = "Stream::capture_status";
        self.ask(OPERATION, |driver, raw| {
            // SAFETY: the stream is alive, and `ask` has made current what a default one needs.
            unsafe { capture::status(driver, raw, OPERATION) }
        })
    }

    /// As [`Stream::launch_host_func`].
    ///
    /// A panic of the closure ends in it: it does not reach the driver, what the closure held is
    /// dropped, and work behind it runs, since the driver knows nothing of it. But from then on
    /// every call on this stream says [`StreamFault`](gpu_stream_core::ErrorKind::StreamFault) with the panic's
    /// message, whichever wrapper it is made through. (Streams have no id before CUDA 12.0, and the
    /// panic is then only printed.)
    ///
    /// Inside the closure `synchronize` is refused, and streams and events may be dropped: they are
    /// destroyed a little later, on another thread. If the context breaks before the closure is
    /// run, it is never dropped.
    ///
    /// A closure whose launch is an error is dropped and does not run any more. If the driver took
    /// it in spite of what it answered, it may have run by then.
    ///
    /// # Errors
    /// Beside those, [`Capturing`](gpu_stream_core::ErrorKind::Capturing) on a stream that is captured: a graph may
    /// be launched many times, and the closure runs once.
    fn launch_host_func(&self, func: HostFunc) -> Result<(), CudaError> {
        const OPERATION: &str = "Stream::launch_host_func";
        self.check_fault(OPERATION)?;
        self.ask(OPERATION, |driver, raw| {
            // SAFETY: the stream is alive, and `ask` has made current what a default one needs.
            unsafe { capture::refuse(driver, raw, OPERATION) }
        })?;
        let job = Job::new(func, self.id_if_any());
        let launched = self.ask(OPERATION, |driver, raw| {
            let launch = require(driver.symbols.launch_host_func, OPERATION)?;
            // SAFETY: as above. The function takes a share of the job, and the driver calls it once,
            // since it is no part of a graph.
            let code = unsafe { launch(raw, host_func::run, job.share()) };
            check(code, OPERATION, "cuLaunchHostFunc")
        });
        if launched.is_err() {
            job.cancel();
        }
        launched
    }
}

impl Drop for CudaStream {
    #[inline]
    fn drop(&mut self) {
        // The last share in an owner runs code of a user, who may destroy the stream.
        if self.owner.is_owned() && host_func::is_inside() {
            let owner = std::mem::take(&mut self.owner);
            host_func::outside(move || drop(owner));
        }
    }
}

impl Clone for CudaStream {
    fn clone(&self) -> Self {
        CudaStream {
            raw: self.raw,
            device: self.device,
            context: AtomicUsize::new(self.context.load(Ordering::Relaxed)),
            primary: AtomicPtr::new(self.primary.load(Ordering::Acquire)),
            owner: self.owner.clone(),
        }
    }
}

/// Equal if the device and the handle are.
impl PartialEq for CudaStream {
    fn eq(&self, other: &Self) -> bool {
        self.is_the_same(other)
    }
}

impl Eq for CudaStream {}

impl Hash for CudaStream {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.device, self.raw).hash(state);
    }
}

impl std::fmt::Debug for CudaStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = f.debug_struct("CudaStream");
        text.field("raw", &self.raw).field("device", &self.device());
        text.field("owner", &self.owner).finish()
    }
}
