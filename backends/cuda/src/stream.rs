//! A stream of the CUDA driver: [`CudaStream`].

mod context;
mod events;
mod kin;
mod wrap;

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use gpu_stream_core::{
    BackendKind, CaptureStatus, ContractError, Device, EventOptions, HandleKind, HostFunc,
    KeepAlive, RawStream, Stream, StreamOptions,
};
use gpu_stream_driver_common::{Seen, StreamKey};

use crate::driver::capture::{self, CaptureModeGuard};
use crate::driver::code::CudaCode;
use crate::driver::symbols::Ptr;
use crate::driver::{Driver, PrimaryContext, check, driver, require};
use crate::host_func::{self, DEFERRED, HOST_FUNCS, PANICS};
use crate::{Cuda, CudaError, CudaEvent, ordering};

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
    /// The life of the device's primary context that the stream is known to be of; else null.
    primary: AtomicPtr<PrimaryContext>,
    /// Up to which panic of a host function the stream was found to have none.
    seen: Seen,
    /// Tells the stream from others that had its handle: see [`Mark`]. 0 until that is needed.
    number: AtomicU64,
    owner: KeepAlive,
}

impl CudaStream {
    /// Makes a new event in this stream's own context: [`Stream::new_event`], without the trait. Does not
    /// block.
    ///
    /// # Errors
    /// As [`Stream::new_event`].
    pub fn new_event(&self, options: EventOptions) -> Result<CudaEvent, CudaError> {
        self.end(self.new_event_slow(options, "Stream::new_event"))
    }

    /// The handle as an integer.
    #[inline]
    pub(crate) fn bits(&self) -> usize {
        self.raw.to_bits()
    }

    /// Returns `true` if both are wrappers of one stream.
    #[inline]
    pub(crate) fn is_the_same(&self, other: &Self) -> bool {
        self.raw == other.raw && self.device == other.device
    }

    /// The end of a public call: see [`host_func::end`].
    #[inline]
    pub(crate) fn end<T>(&self, outcome: Result<T, CudaError>) -> Result<T, CudaError> {
        host_func::end(outcome, || self.known_scope().filter(|_| self.is_context_at_end()))
    }

    /// Returns `true` if the driver says again that no work of the stream's context will run any more.
    /// An error of one call alone is not enough to drop what others submitted.
    #[cold]
    fn is_context_at_end(&self) -> bool {
        const OPERATION: &str = "CudaStream::is_context_at_end";
        let answer = self.with_current(OPERATION, |driver, raw| {
            // SAFETY: the stream is alive, and `with_current` has made current what a default one needs.
            unsafe { capture::ensure_not_capturing(driver, raw, OPERATION) }?;
            let _relaxed = CaptureModeGuard::enter(driver, OPERATION)?;
            // SAFETY: as above.
            check(unsafe { (driver.symbols.stream_query)(raw) }, OPERATION, "cuStreamQuery")
        });
        answer.is_err_and(|error| host_func::is_end_of_context(&error))
    }

    /// The end of a public call in which other streams had a part.
    #[inline]
    fn end_with(&self, outcome: Result<(), CudaError>, others: &[&Self]) -> Result<(), CudaError> {
        let outcome = others.iter().fold(outcome, |outcome, other| other.end(outcome));
        self.end(outcome)
    }

    /// Returns an error if a host function panicked on the stream.
    #[inline]
    pub(crate) fn check_fault(&self, operation: &'static str) -> Result<(), CudaError> {
        if PANICS.is_clean(&self.seen) { Ok(()) } else { self.find_fault(operation) }
    }

    #[cold]
    fn find_fault(&self, operation: &'static str) -> Result<(), CudaError> {
        let stream = (self.scope(operation)?, self.bits());
        let is_unknown = Cell::new(false);
        let id = || {
            let found = self.find_id(operation).ok();
            is_unknown.set(found.is_none());
            found.flatten()
        };
        let message = PANICS.find(&self.seen, stream, id);
        if is_unknown.get() {
            // A capture keeps the driver from telling which stream has the handle. To be asked again.
            self.seen.reset();
        }
        match message {
            Some(message) => Err(CudaError::HostFunctionPanicked { operation, message }),
            None => Ok(()),
        }
    }

    /// Returns the stream's id; `None` if the driver has no ids.
    fn find_id(&self, operation: &'static str) -> Result<Option<u64>, CudaError> {
        if driver()?.symbols.stream_id.function.is_none() {
            return Ok(None);
        }
        self.ask_id(operation).map(Some)
    }

    fn ask_id(&self, operation: &'static str) -> Result<u64, CudaError> {
        let stream_id = require(driver()?.symbols.stream_id, operation)?;
        self.with_current(operation, |driver, raw| {
            // SAFETY: the stream is alive, and `with_current` has made current what a default one needs.
            unsafe { capture::ensure_not_capturing(driver, raw, operation) }?;
            let _relaxed = CaptureModeGuard::enter(driver, operation)?;
            let mut id = 0;
            // SAFETY: as above, and `id` is a valid out-pointer.
            check(unsafe { stream_id(raw, &mut id) }, operation, "cuStreamGetId")?;
            Ok(id)
        })
    }

    fn ask_done(&self) -> Result<bool, CudaError> {
        const OPERATION: &str = "Stream::query";
        let done = self.with_current(OPERATION, |driver, raw| {
            // SAFETY: the stream is alive, and `with_current` has made current what a default one needs.
            unsafe { capture::ensure_not_capturing(driver, raw, OPERATION) }?;
            let _relaxed = CaptureModeGuard::enter(driver, OPERATION)?;
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

    fn wait_here(&self) -> Result<(), CudaError> {
        const OPERATION: &str = "Stream::synchronize";
        host_func::ensure_outside_host_func(OPERATION)?;
        self.with_current(OPERATION, |driver, raw| {
            // SAFETY: the stream is alive, and `with_current` has made current what a default one needs.
            unsafe { capture::ensure_not_capturing(driver, raw, OPERATION) }?;
            let _relaxed = CaptureModeGuard::enter(driver, OPERATION)?;
            // SAFETY: as above.
            let code = unsafe { (driver.symbols.stream_synchronize)(raw) };
            check(code, OPERATION, "cuStreamSynchronize")
        })?;
        self.check_fault(OPERATION)
    }

    fn ask_priority(&self) -> Result<i32, CudaError> {
        const OPERATION: &str = "Stream::priority";
        self.with_current(OPERATION, |driver, raw| {
            // SAFETY: `with_current` has made current what a default stream needs.
            unsafe { self.ensure_default_not_capturing(driver, raw, OPERATION) }?;
            let ask = require(driver.symbols.stream_priority, OPERATION)?;
            let _relaxed = CaptureModeGuard::enter(driver, OPERATION)?;
            let mut priority = 0;
            // SAFETY: the stream is alive, and `with_current` has made current what a default one needs;
            // `priority` is a valid out-pointer.
            let code = unsafe { ask(raw, &mut priority) };
            check(code, OPERATION, "cuStreamGetPriority")?;
            Ok(priority)
        })
    }

    /// Returns an error for the default stream beside a captured stream that it synchronises with:
    /// there, whatever names it would break the capture. Asks nothing of other streams.
    ///
    /// # Safety
    /// As [`capture::status`].
    unsafe fn ensure_default_not_capturing(
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

    /// Gives a closure to the driver, by a key: what captures, or begins to at this moment, makes the
    /// function a node of a graph, which the driver calls with every launch.
    fn launch(&self, func: HostFunc) -> Result<(), CudaError> {
        const OPERATION: &str = "Stream::launch_host_func";
        self.check_fault(OPERATION)?;
        self.with_current(OPERATION, |driver, raw| {
            // SAFETY: the stream is alive, and `with_current` has made current what a default one needs.
            match unsafe { capture::status(driver, raw, OPERATION) }? {
                CaptureStatus::None => Ok(()),
                _ => {
                    let (operation, bits) = (OPERATION, self.bits());
                    Err(ContractError::CaptureHostFunc { operation, bits }.into())
                }
            }
        })?;
        let (scope, id) = (self.scope(OPERATION)?, self.find_id(OPERATION)?);
        let stream = StreamKey { scope, handle: self.bits(), id };
        HOST_FUNCS.launch(func, stream, |key| {
            self.with_current(OPERATION, |driver, raw| {
                let launch = require(driver.symbols.launch_host_func, OPERATION)?;
                // SAFETY: as above. The function takes any number, any number of times.
                let code = unsafe { launch(raw, host_func::run, key) };
                check(code, OPERATION, "cuLaunchHostFunc")
            })
        })
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
        self.end(self.ask_done())
    }

    fn synchronize(&self) -> Result<(), CudaError> {
        self.end(self.wait_here())
    }

    /// As [`Stream::record`]. On a stream that is captured, the event becomes a node of the graph.
    ///
    /// # Errors
    /// Beside those, [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) if the event belongs to another
    /// context of the device than the stream: make it with the stream's own `new_event`.
    #[inline]
    fn record(&self, event: &CudaEvent) -> Result<(), CudaError> {
        self.end(self.record_any(event))
    }

    #[inline]
    fn record_event(&self) -> Result<CudaEvent, CudaError> {
        self.end(self.record_event_any())
    }

    #[inline]
    fn wait_event(&self, event: &CudaEvent) -> Result<(), CudaError> {
        self.end(self.wait_event_any(event))
    }

    /// As [`Stream::new_event`], in the stream's own context, whatever that is. The driver takes a record
    /// only from streams of the event's context.
    fn new_event(&self, options: EventOptions) -> Result<CudaEvent, CudaError> {
        CudaStream::new_event(self, options)
    }

    /// As [`Stream::new_stream`], in the stream's own context, whatever that is.
    ///
    /// # Errors
    /// Beside those, [`Unsupported`](gpu_stream_core::ErrorKind::Unsupported) for a blocking stream beside
    /// one of a green context.
    fn new_stream(&self, options: StreamOptions) -> Result<Self, CudaError> {
        self.end(self.new_sibling(options))
    }

    /// As [`Stream::wait_stream`]. Threads that wait for one stream at the same moment may share a
    /// record of it, which is made after all of them have called.
    #[inline]
    fn wait_stream<O: Stream<Backend = Cuda>>(&self, other: &O) -> Result<(), CudaError> {
        match ordering::downcast(other) {
            Some(other) => self.end_with(ordering::wait_stream(self, other), &[other]),
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
        let mut fork = ordering::Fork::of(self);
        for branch in branches {
            let next = match ordering::downcast(branch) {
                Some(branch) => fork.wait_own_type(branch),
                None => fork.wait_wrapped_type(branch),
            };
            if next.is_break() {
                break;
            }
        }
        // Nothing is held at the end: the relay goes back first.
        let outcome = fork.finish();
        self.end(outcome)
    }

    #[inline]
    fn join<'a, I, O>(&self, branches: I) -> Result<(), CudaError>
    where
        I: IntoIterator<Item = &'a O>,
        O: Stream<Backend = Cuda>,
    {
        let (mut scratch, mut outcome) = (ordering::ScratchEvent::new(), Ok(()));
        for branch in branches {
            let joined = match ordering::downcast(branch) {
                Some(branch) => scratch.join(self, branch),
                None => self.wait_stream(branch),
            };
            ordering::keep_first(&mut outcome, joined);
        }
        // Nothing is held at the end: the relay goes back first.
        drop(scratch);
        self.end(outcome)
    }

    /// As [`Stream::priority`].
    ///
    /// # Errors
    /// [`Capturing`](gpu_stream_core::ErrorKind::Capturing) for the default stream while a stream is captured that
    /// it synchronises with.
    fn priority(&self) -> Result<i32, CudaError> {
        self.end(self.ask_priority())
    }

    /// As [`Stream::is_blocking`]. A thread's own default stream is blocking, too.
    ///
    /// # Errors
    /// [`Capturing`](gpu_stream_core::ErrorKind::Capturing) while the stream is captured: the question would
    /// break the capture, in every mode.
    fn is_blocking(&self) -> Result<bool, CudaError> {
        self.end(self.asked_blocking())
    }

    /// As [`Stream::id`]. Needs a driver of CUDA 12.0 or newer.
    ///
    /// # Errors
    /// [`Capturing`](gpu_stream_core::ErrorKind::Capturing) while the stream is captured, and for the default stream
    /// while a stream is that it synchronises with: the question would break the capture, in every
    /// mode.
    fn id(&self) -> Result<u64, CudaError> {
        self.end(self.ask_id("Stream::id"))
    }

    /// As [`Stream::capture_status`].
    ///
    /// # Errors
    /// [`Capturing`](gpu_stream_core::ErrorKind::Capturing) for the default stream, which itself is never captured,
    /// while a stream is that it synchronises with: then it cannot be used, and the driver does not
    /// say more.
    fn capture_status(&self) -> Result<CaptureStatus, CudaError> {
        const OPERATION: &str = "Stream::capture_status";
        self.end(self.with_current(OPERATION, |driver, raw| {
            // SAFETY: the stream is alive, and `with_current` has made current what a default one needs.
            unsafe { capture::status(driver, raw, OPERATION) }
        }))
    }

    /// As [`Stream::launch_host_func`].
    ///
    /// A panic of the closure ends in it: it does not reach the driver, and what the closure held is
    /// dropped. Host functions behind it on this stream are dropped unrun. Other work behind it runs,
    /// since the driver knows nothing of the panic. From then on every call on this stream says
    /// [`StreamFault`](gpu_stream_core::ErrorKind::StreamFault) with the panic's message, whichever wrapper
    /// it is made through.
    ///
    /// Inside the closure `synchronize` is refused. Streams, events and owners may be dropped: they are
    /// destroyed at the end of the next call of this backend on another thread.
    ///
    /// Where work in front of the closure fails, or the context is reset, the driver never calls the
    /// closure. The next call on a stream or event of that context that reports it drops the closure.
    ///
    /// A closure whose launch is an error is dropped and does not run any more. If the driver took
    /// it in spite of what it answered, it may have run by then. If another thread begins a capture of
    /// the stream during the launch, the closure becomes part of the graph, and runs with its first
    /// launch alone.
    fn launch_host_func(&self, func: HostFunc) -> Result<(), CudaError> {
        self.end(self.launch(func))
    }
}

impl Drop for CudaStream {
    #[inline]
    fn drop(&mut self) {
        // The last share in an owner runs code of a user, who may destroy the stream.
        if self.owner.is_owned() {
            host_func::drop_owner(std::mem::take(&mut self.owner));
            DEFERRED.run();
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
            seen: self.seen.clone(),
            number: AtomicU64::new(self.number_for_clone()),
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
