//! The contract's [`Stream`] for [`CudaStream`].

use gpu_stream_core::{
    CaptureStatus, Device, EventOptions, HostFunc, RawStream, Stream, StreamOptions,
};
use gpu_stream_driver_common::host_func::ensure_outside;
use gpu_stream_driver_common::{StreamKey, ordering};

use super::CudaStream;
use super::ordering::CudaOrdering;
use crate::driver::{DriverCall, NON_BLOCKING};
use crate::host_func::{self, USER_CODE};
use crate::{Cuda, CudaCode, CudaError, CudaEvent};

// SAFETY:
// - `query` returns true, and `synchronize` returns `Ok`, only if the driver returns success for the stream, which is
//   alive by the contract of the wrapper's constructor. Any other code than "not ready" is an error.
// - A stream under capture, whose work does not run, is rejected.
// - `wait_event` is the driver's. It binds to the event's record at the call, and the driver keeps what it needs of it.
unsafe impl Stream for CudaStream {
    type Backend = Cuda;

    #[inline]
    fn raw(&self) -> RawStream<Cuda> {
        self.raw
    }

    #[inline]
    fn device(&self) -> Device {
        self.own_device()
    }

    fn query(&self) -> Result<bool, CudaError> {
        const OPERATION: &str = "Stream::query";
        self.call(|| {
            let done = self.ask_uncaptured(OPERATION, |call, raw| {
                // SAFETY: the stream is alive, and its context is current if it needs one.
                match unsafe { (call.symbols().stream_query)(raw) } {
                    CudaCode::SUCCESS => Ok(true),
                    CudaCode::NOT_READY => Ok(false),
                    code => Err(call.error(code, "cuStreamQuery")),
                }
            })?;
            self.check_fault(OPERATION)?;
            Ok(done)
        })
    }

    /// Blocks until all submitted work has completed: see [`Stream::synchronize`].
    ///
    /// # Errors
    /// Also [`NotPermitted`](gpu_stream_core::ErrorKind::NotPermitted) inside a callback that another library gave to
    /// `cuLaunchHostFunc`, on a driver that answers `cuCtxGetCurrent` with 800 there.
    fn synchronize(&self) -> Result<(), CudaError> {
        const OPERATION: &str = "Stream::synchronize";
        self.call(|| {
            ensure_outside(OPERATION)?;
            DriverCall::begin(OPERATION)?.ensure_outside_callback()?;
            self.ask_uncaptured(OPERATION, |call, raw| {
                // SAFETY: the stream is alive, and its context is current if it needs one.
                let code = unsafe { (call.symbols().stream_synchronize)(raw) };
                call.check(code, "cuStreamSynchronize")
            })?;
            self.check_fault(OPERATION)
        })
    }

    /// Records `event`: see [`Stream::record`]. On a stream under capture, the event becomes a node of the graph.
    ///
    /// # Errors
    /// Also [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) if the event and the stream belong to
    /// different contexts of the device: create the event with the stream's own `new_event`.
    #[inline]
    fn record(&self, event: &CudaEvent) -> Result<(), CudaError> {
        self.call(|| self.record_any(event))
    }

    #[inline]
    fn record_event(&self) -> Result<CudaEvent, CudaError> {
        // Fast path: an event of the pool. It is large, and would be copied by `call`.
        if let Some(event) = self.try_record_event_fast() {
            USER_CODE.deferred.run();
            return Ok(event);
        }
        self.call(|| self.record_event_slow("Stream::record_event"))
    }

    #[inline]
    fn wait_event(&self, event: &CudaEvent) -> Result<(), CudaError> {
        self.call(|| self.wait_event_any(event))
    }

    /// Creates an event in the stream's own context: see [`Stream::new_event`]. Only streams of that context can record
    /// it.
    fn new_event(&self, options: EventOptions) -> Result<CudaEvent, CudaError> {
        CudaStream::new_event(self, options)
    }

    /// Creates a stream in the stream's own context: see [`Stream::new_stream`]. A blocking stream keeps order with the
    /// default stream of that context.
    fn new_stream(&self, options: StreamOptions) -> Result<Self, CudaError> {
        self.call(|| self.new_sibling(options))
    }

    /// Makes this stream wait for all submitted work of `other`: see [`Stream::wait_stream`]. Threads that wait for one
    /// stream at the same time may share a record of it, which is made after all of them have called.
    #[inline]
    fn wait_stream<O: Stream<Backend = Cuda>>(&self, other: &O) -> Result<(), CudaError> {
        match ordering::downcast(other) {
            Some(other) => host_func::call(
                || Ok(ordering::wait_stream::<CudaOrdering>(self, other)?),
                || self.dead_scope_of_two(other),
            ),
            // A type around a stream, which records in its own way.
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
        self.call(|| Ok(ordering::fork::<CudaOrdering, O>(self, branches)?))
    }

    #[inline]
    fn join<'a, I, O>(&self, branches: I) -> Result<(), CudaError>
    where
        I: IntoIterator<Item = &'a O>,
        O: Stream<Backend = Cuda>,
    {
        self.call(|| Ok(ordering::join::<CudaOrdering, O>(self, branches)?))
    }

    /// Returns the stream's priority: see [`Stream::priority`].
    ///
    /// # Errors
    /// Also [`Capturing`](gpu_stream_core::ErrorKind::Capturing) for the default stream while a stream that it
    /// synchronizes with is being captured.
    fn priority(&self) -> Result<i32, CudaError> {
        let read = |call: DriverCall, raw| {
            if self.is_default() {
                // Any other call on the default stream would invalidate that capture.
                // SAFETY: `with_current` sets the context of a default stream.
                unsafe { call.capture_status(raw) }?;
            }
            let get = call.require(call.symbols().stream_priority)?;
            let _relaxed = call.relaxed()?;
            let mut priority = 0;
            // SAFETY: `self` keeps the stream alive, `with_current` sets the context that a default one needs, and
            // `&mut priority` is a valid out-pointer.
            call.check(unsafe { get(raw, &mut priority) }, "cuStreamGetPriority")?;
            Ok(priority)
        };
        self.call(|| self.with_current("Stream::priority", read))
    }

    /// Returns `true` if the stream is blocking: see [`Stream::is_blocking`]. A thread's own default stream is blocking,
    /// too.
    ///
    /// # Errors
    /// Also [`Capturing`](gpu_stream_core::ErrorKind::Capturing) while the stream is being captured: the driver's
    /// function would invalidate the capture, in every mode.
    fn is_blocking(&self) -> Result<bool, CudaError> {
        if !self.is_explicit() {
            return Ok(true);
        }
        let read = |call: DriverCall, raw| {
            let get = call.require(call.symbols().stream_flags)?;
            let mut flags = 0;
            // SAFETY: the stream is alive, and `&mut flags` is a valid out-pointer.
            call.check(unsafe { get(raw, &mut flags) }, "cuStreamGetFlags")?;
            Ok(flags & NON_BLOCKING == 0)
        };
        self.call(|| self.ask_uncaptured("Stream::is_blocking", read))
    }

    /// Returns the driver's id of the stream: see [`Stream::id`]. Needs a driver of CUDA 12.0 or newer.
    ///
    /// # Errors
    /// Also [`Capturing`](gpu_stream_core::ErrorKind::Capturing) while the stream is being captured, and for the default
    /// stream while a stream that it synchronizes with is: the driver's function would invalidate the capture, in every
    /// mode.
    fn id(&self) -> Result<u64, CudaError> {
        self.call(|| {
            let call = DriverCall::begin("Stream::id")?;
            let get = call.require(call.symbols().stream_id)?;
            self.ask_id(get, call.operation)
        })
    }

    /// Returns the capture status: see [`Stream::capture_status`].
    ///
    /// # Errors
    /// Also [`Capturing`](gpu_stream_core::ErrorKind::Capturing) for the default stream while a stream that it
    /// synchronizes with is being captured. The default stream itself is never captured; it cannot be used then, and the
    /// driver tells no more.
    #[inline]
    fn capture_status(&self) -> Result<CaptureStatus, CudaError> {
        self.call(|| match self.is_not_capturing_fast() {
            true => Ok(CaptureStatus::None),
            false => self.driver_capture_status("Stream::capture_status"),
        })
    }

    /// Launches a closure on the stream: see [`Stream::launch_host_func`].
    ///
    /// A panic of the closure is caught: it does not reach the driver, and what the closure captured is dropped. From
    /// then on every call on this stream returns [`StreamFault`](gpu_stream_core::ErrorKind::StreamFault) with the
    /// panic's message, through every wrapper. Later host functions of this stream are dropped unrun. Other later work
    /// runs, because the driver does not know of the panic. An event that is recorded after the closure completes, and a
    /// stream that waits for that event continues. (The host backend passes the fault on to both.)
    ///
    /// Inside the closure `synchronize` is rejected. Streams, events and owners may be dropped there: they are destroyed
    /// at the end of the next call of this backend on another thread.
    ///
    /// The driver never calls the closure if earlier work fails or the context is reset. The next call on a stream or
    /// event of that context that reports the failure drops the closure.
    ///
    /// A closure whose launch returns an error is dropped and does not run later. If the driver accepted it in spite of
    /// the error, it may have run before the error is returned. If another thread begins a capture of the stream during
    /// the launch, the closure becomes part of the graph, and runs with the first launch of the graph only.
    fn launch_host_func(&self, func: HostFunc) -> Result<(), CudaError> {
        const OPERATION: &str = "Stream::launch_host_func";
        self.call(|| {
            self.check_fault(OPERATION)?;
            let handle = self.bits();
            let (scope, id) = (self.scope(OPERATION)?, self.find_id_for_launch(OPERATION)?);
            USER_CODE.host_funcs.launch(func, StreamKey { scope, handle, id }, |key| {
                self.with_current(OPERATION, |call, raw| {
                    let launch = call.require(call.symbols().launch_host_func)?;
                    // SAFETY: the stream is alive, and its context is current if it needs one. `host_func::run` accepts
                    // any number as its argument, any number of times.
                    call.check(unsafe { launch(raw, host_func::run, key) }, "cuLaunchHostFunc")
                })
            })
        })
    }
}
