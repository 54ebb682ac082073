//! Conversions from and to cuda-core, NVIDIA's crate: its streams and events as owners of ours, and our streams as
//! borrowed streams of cuda-core, which keep ours.

use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use cuda_core as theirs;
use gpu_stream_core::{
    Backend, Device, EventOwner, HandleKind, KeepAlive, RawEvent, RawStream, Stream, StreamOwner,
};

use super::{check_context, check_default_stream, device_of, drop_foreign};
use crate::driver::Context;
use crate::error::{Result, invalid_handle};
use crate::host_func;
use crate::{Cuda, CudaError, CudaEvent, CudaStream};

/// A stream of cuda-core as the owner of a [`CudaStream`].
///
/// For [`Backend::stream_from_owner`]. [`CudaStream::from_cuda_core`] does the same in one call, and detects one more
/// mistake. The thread that drops the last reference keeps its current context, which cuda-core alone would change.
#[derive(Debug)]
pub struct CudaCoreStream(ManuallyDrop<Arc<theirs::Stream>>);

impl CudaCoreStream {
    /// Creates an owner from a reference to `stream`.
    pub fn new(stream: Arc<theirs::Stream>) -> Self {
        CudaCoreStream(ManuallyDrop::new(stream))
    }

    /// Returns the stream inside.
    pub fn get(&self) -> &Arc<theirs::Stream> {
        &self.0
    }
}

impl From<Arc<theirs::Stream>> for CudaCoreStream {
    fn from(stream: Arc<theirs::Stream>) -> Self {
        CudaCoreStream::new(stream)
    }
}

impl Drop for CudaCoreStream {
    fn drop(&mut self) {
        // SAFETY: taken once, in the drop, and `self` is not used afterwards.
        let stream = unsafe { ManuallyDrop::take(&mut self.0) };
        drop_foreign("CudaCoreStream::drop", stream);
    }
}

// SAFETY: cuda-core destroys the stream, or gives its handle to a later stream, only after the last reference is dropped.
// A borrowed stream of cuda-core lives as long as its references, by the contract of cuda-core's `borrow_raw` and
// `borrow_with_owner`. The reference may be dropped on any thread.
unsafe impl StreamOwner<Cuda> for CudaCoreStream {
    fn raw_stream(&self) -> RawStream<Cuda> {
        RawStream::from_ptr(self.0.cu_stream().cast())
    }

    fn device(&self) -> Option<Device> {
        Some(device_of(self.0.context().ordinal()))
    }
}

/// An event of cuda-core as the owner of a [`CudaEvent`].
///
/// For [`Backend::event_from_owner`]; [`CudaEvent::from_cuda_core`] does the same in one call. The thread that drops the
/// last reference keeps its current context, which cuda-core alone would change.
pub struct CudaCoreEvent(ManuallyDrop<Arc<theirs::Event>>);

impl CudaCoreEvent {
    /// Creates an owner from a reference to `event`.
    pub fn new(event: Arc<theirs::Event>) -> Self {
        CudaCoreEvent(ManuallyDrop::new(event))
    }

    /// Returns the event inside.
    pub fn get(&self) -> &Arc<theirs::Event> {
        &self.0
    }
}

impl From<Arc<theirs::Event>> for CudaCoreEvent {
    fn from(event: Arc<theirs::Event>) -> Self {
        CudaCoreEvent::new(event)
    }
}

impl fmt::Debug for CudaCoreEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CudaCoreEvent").field(&self.0.cu_event()).finish()
    }
}

impl Drop for CudaCoreEvent {
    fn drop(&mut self) {
        // SAFETY: taken once, in the drop, and `self` is not used afterwards.
        let event = unsafe { ManuallyDrop::take(&mut self.0) };
        drop_foreign("CudaCoreEvent::drop", event);
    }
}

// SAFETY: cuda-core destroys the event when the last reference is dropped, which any thread may do, and has no other way
// to destroy it.
unsafe impl EventOwner<Cuda> for CudaCoreEvent {
    fn raw_event(&self) -> RawEvent<Cuda> {
        RawEvent::from_ptr(self.0.cu_event().cast())
    }

    fn device(&self) -> Option<Device> {
        Some(device_of(self.0.context().ordinal()))
    }
}

fn context_of(context: &theirs::Context) -> Option<Context> {
    Context::new(context.cu_ctx().cast())
}

impl CudaStream {
    /// Wraps a stream of cuda-core and keeps it alive. Does not block.
    ///
    /// ```no_run
    /// use gpu_stream_core::Stream;
    /// use gpu_stream_cuda::CudaStream;
    ///
    /// let context = cuda_core::Context::new(0)?;
    /// let theirs = context.new_stream()?;
    /// CudaStream::from_cuda_core(&theirs)?.synchronize()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Errors as [`Backend::stream_from_owner`]. Also
    /// [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) for the default stream of a context that is not the
    /// device's primary one, and for a borrowed stream whose handle is 2, which is [`Backend::per_thread_stream`] here.
    #[doc(alias("borrow_with_owner", "cu_stream"))]
    pub fn from_cuda_core(stream: &Arc<theirs::Stream>) -> Result<Self, CudaError> {
        host_func::call(|| Self::of_cuda_core(stream), || None)
    }

    fn of_cuda_core(stream: &Arc<theirs::Stream>) -> Result<Self> {
        let owner = CudaCoreStream::new(Arc::clone(stream));
        let (raw, device) = (owner.raw_stream(), device_of(stream.context().ordinal()));
        check_default_stream(
            "CudaStream::from_cuda_core",
            raw,
            device,
            context_of(stream.context()),
        )?;
        // SAFETY: the owner keeps the stream alive (contract of `StreamOwner`).
        Ok(unsafe {
            Cuda::stream_from_raw_with_owner(raw, Some(device), KeepAlive::owner(Arc::new(owner)))
        }?)
    }

    /// Returns this stream as a borrowed one of cuda-core, which keeps a clone of this wrapper and so its owner. Does not
    /// block, and leaves the current context alone. (A call on the result may change it.)
    ///
    /// If work is pending when the last reference to the result is dropped, cuda-core keeps the clone until the work is
    /// done. It asks the driver in the drop, which breaks a capture in CUDA's mode *global* unless a
    /// [`ContextGuard::save_relaxed`](super::ContextGuard::save_relaxed) is held.
    ///
    /// ```no_run
    /// use gpu_stream_core::Backend;
    /// use gpu_stream_cuda::Cuda;
    ///
    /// let context = cuda_core::Context::new(0)?;
    /// let ours = Cuda::new_stream(Cuda::device(0)?, Default::default())?;
    /// let theirs = ours.to_cuda_core(&context)?;
    /// // … launch with cuda-core on `theirs` …
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// - [`DeviceMismatch`](gpu_stream_core::ErrorKind::DeviceMismatch) if `context` belongs to another device; the error
    ///   names both.
    /// - [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) if the stream belongs to another context of the
    ///   device.
    #[doc(alias("borrow_raw", "borrow_with_owner"))]
    pub fn to_cuda_core(
        &self,
        context: &Arc<theirs::Context>,
    ) -> Result<Arc<theirs::Stream>, CudaError> {
        const OPERATION: &str = "CudaStream::to_cuda_core";
        if self.raw().kind() == HandleKind::PerThread {
            let reason = "is a thread's default stream, which must not leave its thread; use \
                          `cuda_core::Stream::borrow_raw`, and keep the result on the thread";
            return Err(invalid_handle(OPERATION, self.bits(), reason).into());
        }
        let device = device_of(context.ordinal());
        check_context(OPERATION, self, device, context_of(context))?;
        let owner = Arc::new(self.clone());
        // SAFETY:
        // - The stream is live: `self` keeps it. It belongs to `context`, as the check has shown.
        // - The owner is a clone, which keeps what `self` keeps. If that is nothing, the stream outlives all clones by the
        //   contract of `stream_from_raw`.
        Ok(unsafe { theirs::Stream::borrow_with_owner(self.raw().as_ptr().cast(), context, owner) })
    }
}

impl CudaEvent {
    /// Wraps an event of cuda-core and keeps it alive. Does not block.
    ///
    /// Either library can record it, and streams of either can wait for it. That is the way of an event from here to
    /// cuda-core, which creates all of its events itself:
    ///
    /// ```no_run
    /// use std::sync::Arc;
    ///
    /// use gpu_stream_core::Stream;
    /// use gpu_stream_cuda::{CudaEvent, CudaStream};
    ///
    /// fn hand_over(ours: &CudaStream, theirs: &cuda_core::Stream) -> Result<(), Box<dyn std::error::Error>> {
    ///     let event = Arc::new(theirs.context().new_event_with_flags(None)?);
    ///     ours.record(&CudaEvent::from_cuda_core(&event)?)?;
    ///     theirs.wait_event(&event)?; // after the work of `ours`
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// Errors as [`Backend::event_from_owner`].
    #[doc(alias = "cu_event")]
    pub fn from_cuda_core(event: &Arc<theirs::Event>) -> Result<Self, CudaError> {
        Cuda::event_from_owner(Arc::new(CudaCoreEvent::new(Arc::clone(event))), None)
    }
}
