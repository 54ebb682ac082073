//! Conversions from and to [cudarc](https://docs.rs/cudarc): its streams as owners of ours, and ours as
//! borrowed streams of cudarc. [`ContextGuard`] keeps the thread's current context through calls of cudarc.
//!
//! ```no_run
//! use gpu_stream_core::{ErrorOf, Stream};
//! use gpu_stream_cuda::CudaStream;
//!
//! fn portable<S: Stream>(stream: &S) -> Result<(), ErrorOf<S>> {
//!     stream.synchronize()
//! }
//!
//! let context = cudarc::driver::CudaContext::new(0)?;
//! let theirs = context.new_stream()?;
//! // … launch with cudarc on `theirs` …
//! portable(&CudaStream::from_cudarc(&theirs)?)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod context_guard;

use std::mem::ManuallyDrop;
use std::sync::Arc;

use cudarc::driver as theirs;
use gpu_stream_core::{
    Backend, BackendKind, Device, HandleKind, KeepAlive, PerThread, RawStream, Stream, StreamOwner,
};

use crate::driver::{Context, DriverCall, driver};
use crate::error::{Result, invalid_handle};
use crate::host_func::{self, USER_CODE};
use crate::{Cuda, CudaError, CudaStream};

pub use self::context_guard::ContextGuard;

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
        USER_CODE.run_outside_host_func(move || {
            // cudarc's destructor makes the stream's context current before it destroys the stream.
            let call = DriverCall::if_loaded("CudarcStream::drop");
            let _saved = call.and_then(|call| call.save_context().ok());
            // Without the guard the call can invalidate a capture. Without the call the stream would leak.
            let _relaxed = call.and_then(|call| call.relaxed().ok());
            drop(stream);
        });
    }
}

// SAFETY: cudarc destroys the stream when the last reference is dropped, and otherwise only through unsafe
// functions. It may be dropped on any thread.
unsafe impl StreamOwner<Cuda> for CudarcStream {
    fn raw_stream(&self) -> RawStream<Cuda> {
        RawStream::from_ptr(self.0.cu_stream().cast())
    }

    fn device(&self) -> Option<Device> {
        Some(device_of(self.0.context()))
    }
}

fn device_of(context: &theirs::CudaContext) -> Device {
    Device::new(BackendKind::Cuda, u32::try_from(context.ordinal()).unwrap_or(u32::MAX))
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
        let (raw, device) = (owner.raw_stream(), device_of(stream.context()));
        if raw.kind() == HandleKind::Default {
            let primary = DriverCall::begin(OPERATION)?.primary(device.ordinal())?;
            if context_of(stream.context()) != Some(primary.context) {
                let reason = "is the default stream of a context that is not the primary one of its device, which cannot \
                              be named by device and handle; use a stream that was created in that context";
                return Err(invalid_handle(OPERATION, raw.to_bits(), reason));
            }
        }
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
        device_of(context).check_is(self.device(), OPERATION)?;
        driver()?;
        self.check_reset(OPERATION)?;
        if context_of(context) != Some(self.context(OPERATION)?) {
            let reason = "is a stream of another context of the device than the one that was given; give cudarc that \
                          context";
            return Err(invalid_handle(OPERATION, self.bits(), reason).into());
        }
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
