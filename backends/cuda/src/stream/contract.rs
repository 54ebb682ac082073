//! The contract's [`Stream`] for [`CudaStream`]: each method forwards to the module that does the work.

use gpu_stream_core::{
    CaptureStatus, Device, EventOptions, HostFunc, RawStream, Stream, StreamOptions,
};
use gpu_stream_driver_common::ordering;

use super::CudaStream;
use crate::ordering::{CudaOrdering, wait_stream};
use crate::{Cuda, CudaError, CudaEvent};

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
        self.end(self.is_done())
    }

    /// Blocks until all submitted work has completed: see [`Stream::synchronize`].
    ///
    /// # Errors
    /// Also [`NotPermitted`](gpu_stream_core::ErrorKind::NotPermitted) inside a callback that another library gave to
    /// `cuLaunchHostFunc`, on a driver that answers `cuCtxGetCurrent` with 800 there.
    fn synchronize(&self) -> Result<(), CudaError> {
        self.end(self.wait_on_host())
    }

    /// Records `event`: see [`Stream::record`]. On a stream under capture, the event becomes a node of the graph.
    ///
    /// # Errors
    /// Also [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) if the event and the stream belong to
    /// different contexts of the device: create the event with the stream's own `new_event`.
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

    /// Creates an event in the stream's own context: see [`Stream::new_event`]. Only streams of that context can record
    /// it.
    fn new_event(&self, options: EventOptions) -> Result<CudaEvent, CudaError> {
        CudaStream::new_event(self, options)
    }

    /// Creates a stream in the stream's own context: see [`Stream::new_stream`]. A blocking stream keeps order with the
    /// default stream of that context.
    fn new_stream(&self, options: StreamOptions) -> Result<Self, CudaError> {
        self.end(self.new_sibling(options))
    }

    /// Makes this stream wait for all submitted work of `other`: see [`Stream::wait_stream`]. Threads that wait for one
    /// stream at the same time may share a record of it, which is made after all of them have called.
    #[inline]
    fn wait_stream<O: Stream<Backend = Cuda>>(&self, other: &O) -> Result<(), CudaError> {
        match ordering::downcast(other) {
            Some(other) => self.end_with(wait_stream(self, other), other),
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
        self.end(ordering::fork::<CudaOrdering, O>(self, branches))
    }

    #[inline]
    fn join<'a, I, O>(&self, branches: I) -> Result<(), CudaError>
    where
        I: IntoIterator<Item = &'a O>,
        O: Stream<Backend = Cuda>,
    {
        self.end(ordering::join::<CudaOrdering, O>(self, branches))
    }

    /// Returns the stream's priority: see [`Stream::priority`].
    ///
    /// # Errors
    /// Also [`Capturing`](gpu_stream_core::ErrorKind::Capturing) for the default stream while a stream that it
    /// synchronizes with is being captured.
    fn priority(&self) -> Result<i32, CudaError> {
        self.end(self.driver_priority())
    }

    /// Returns `true` if the stream is blocking: see [`Stream::is_blocking`]. A thread's own default stream is blocking,
    /// too.
    ///
    /// # Errors
    /// Also [`Capturing`](gpu_stream_core::ErrorKind::Capturing) while the stream is being captured: the driver's
    /// function would invalidate the capture, in every mode.
    fn is_blocking(&self) -> Result<bool, CudaError> {
        self.end(self.waits_for_default())
    }

    /// Returns the driver's id of the stream: see [`Stream::id`]. Needs a driver of CUDA 12.0 or newer.
    ///
    /// # Errors
    /// Also [`Capturing`](gpu_stream_core::ErrorKind::Capturing) while the stream is being captured, and for the default
    /// stream while a stream that it synchronizes with is: the driver's function would invalidate the capture, in every
    /// mode.
    fn id(&self) -> Result<u64, CudaError> {
        self.end(self.driver_id("Stream::id"))
    }

    /// Returns the capture status: see [`Stream::capture_status`].
    ///
    /// # Errors
    /// Also [`Capturing`](gpu_stream_core::ErrorKind::Capturing) for the default stream while a stream that it
    /// synchronizes with is being captured. The default stream itself is never captured; it cannot be used then, and the
    /// driver tells no more.
    fn capture_status(&self) -> Result<CaptureStatus, CudaError> {
        self.end(self.driver_capture_status("Stream::capture_status"))
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
        self.end(self.launch(func))
    }
}
