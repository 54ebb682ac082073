//! Conversions from and to cudarc: its streams as owners of ours, and ours as borrowed streams of cudarc.

use std::mem::ManuallyDrop;
use std::sync::Arc;

use cudarc::driver as theirs;
use gpu_stream_core::{Backend, Device, KeepAlive, PerThread, RawStream, Stream, StreamOwner};

use super::{check_context, check_default_stream, device_of, drop_foreign};
use crate::driver::Context;
use crate::error::Result;
use crate::host_func;
use crate::{Cuda, CudaError, CudaStream};

/// A cudarc stream as the owner of a [`CudaStream`].
///
/// For [`Backend::stream_from_owner`]. [`CudaStream::from_cudarc`] does the same in one call, and detects
/// one more mistake. cudarc destroys the stream when the last reference is dropped. The thread that drops
/// it keeps its current context, which cudarc alone would change.
#[derive(Debug)]
pub struct CudarcStream(ManuallyDrop<Arc<theirs::CudaStream>>);

impl CudarcStream {
    /// Creates an owner from a reference to `stream`.
    pub fn new(stream: Arc<theirs::CudaStream>) -> Self {
        CudarcStream(ManuallyDrop::new(stream))
    }

    /// Returns the stream inside.
    pub fn get(&self) -> &Arc<theirs::CudaStream> {
        &self.0
    }
}

impl From<Arc<theirs::CudaStream>> for CudarcStream {
    fn from(stream: Arc<theirs::CudaStream>) -> Self {
        CudarcStream::new(stream)
    }
}

impl Drop for CudarcStream {
    fn drop(&mut self) {
        // SAFETY: taken once, in the drop, and `self` is not used afterwards.
        let stream = unsafe { ManuallyDrop::take(&mut self.0) };
        drop_foreign("CudarcStream::drop", stream);
    }
}

// SAFETY: cudarc destroys the stream when the last reference is dropped, and otherwise only through unsafe
// functions. It may be dropped on any thread.
unsafe impl StreamOwner<Cuda> for CudarcStream {
    fn raw_stream(&self) -> RawStream<Cuda> {
        RawStream::from_ptr(self.0.cu_stream().cast())
    }

    fn device(&self) -> Option<Device> {
        Some(device_of(self.0.context().ordinal()))
    }
}

fn context_of(context: &theirs::CudaContext) -> Option<Context> {
    Context::new(context.cu_ctx().cast())
}

impl CudaStream {
    /// Wraps a cudarc stream and keeps it alive. Does not block.
    ///
    /// # Errors
    /// Errors as [`Backend::stream_from_owner`]. Also
    /// [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) for two streams of cudarc: its
    /// `per_thread_stream`, which is [`Backend::per_thread_stream`] here, and its `default_stream` of a
    /// context that is not the device's primary one.
    #[doc(alias("upgrade_device_stream", "cu_stream"))]
    pub fn from_cudarc(stream: &Arc<theirs::CudaStream>) -> Result<Self, CudaError> {
        host_func::call(|| Self::of_cudarc(stream), || None)
    }

    fn of_cudarc(stream: &Arc<theirs::CudaStream>) -> Result<Self> {
        const OPERATION: &str = "CudaStream::from_cudarc";
        let owner = CudarcStream::new(Arc::clone(stream));
        let (raw, device) = (owner.raw_stream(), device_of(stream.context().ordinal()));
        check_default_stream(OPERATION, raw, device, context_of(stream.context()))?;
        // SAFETY: the owner keeps the stream alive (contract of `StreamOwner`).
        Ok(unsafe {
            Cuda::stream_from_raw_with_owner(raw, Some(device), KeepAlive::owner(Arc::new(owner)))
        }?)
    }

    /// Returns this stream as a borrowed one of cudarc, for example to launch a kernel on it. Does not
    /// block, and leaves the current context alone. (A call on the result may change it.)
    ///
    /// # Errors
    /// - [`DeviceMismatch`](gpu_stream_core::ErrorKind::DeviceMismatch) if `context` belongs to another
    ///   device; the error names both.
    /// - [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) if the stream belongs to another
    ///   context of the device.
    ///
    /// # Safety
    /// - This wrapper, a clone of it, or another owner of the stream outlives the result and everything
    ///   that cudarc makes of it. (A slice that is allocated on it holds it, too.)
    #[doc(alias("wrap_borrowed_stream", "upgrade_device_stream"))]
    pub unsafe fn to_cudarc(
        &self,
        context: &Arc<theirs::CudaContext>,
    ) -> Result<Arc<theirs::CudaStream>, CudaError> {
        const OPERATION: &str = "CudaStream::to_cudarc";
        let device = device_of(context.ordinal());
        check_context(OPERATION, self, device, context_of(context))?;
        // SAFETY: `self` keeps the stream alive, and its context is `context`, as the check has shown. The
        // caller keeps the result within the life of the stream.
        Ok(unsafe { context.wrap_borrowed_stream(self.raw().as_ptr().cast()) })
    }
}

/// Conversion of a thread's default stream to cudarc. An ordinary stream has [`CudaStream::to_cudarc`].
///
/// ```no_run
/// use gpu_stream_core::Backend;
/// use gpu_stream_cuda::{Cuda, interop::PerThreadExt};
///
/// let context = cudarc::driver::CudaContext::new(0)?;
/// let mine = Cuda::per_thread_stream(Cuda::device(0)?)?;
/// // SAFETY: the stream and all that cudarc makes of it stay on this thread.
/// let lent = unsafe { mine.to_cudarc(&context)? };
/// // … launch with cudarc on `lent` …
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait PerThreadExt {
    /// Returns this thread's default stream as one of cudarc: what cudarc's `per_thread_stream` returns. Does
    /// not block, and leaves the current context alone. (A call on the result may change it.)
    ///
    /// # Errors
    /// Errors as [`CudaStream::to_cudarc`].
    ///
    /// # Safety
    /// - The result, its clones and everything that cudarc makes of them are used and dropped on this thread
    ///   only. On another thread, their handle names that thread's default stream.
    unsafe fn to_cudarc(
        &self,
        context: &Arc<theirs::CudaContext>,
    ) -> Result<Arc<theirs::CudaStream>, CudaError>;
}

impl PerThreadExt for PerThread<CudaStream> {
    unsafe fn to_cudarc(
        &self,
        context: &Arc<theirs::CudaContext>,
    ) -> Result<Arc<theirs::CudaStream>, CudaError> {
        // SAFETY: `self` is on the thread of its stream, and the wrapper is used in this call only.
        let inside = unsafe { self.as_inner_unchecked() };
        // SAFETY: a thread's default stream lives as long as its context, which the result holds, and the thread.
        // The result does not leave the thread (caller contract).
        unsafe { inside.to_cudarc(context) }
    }
}
