//! From and to [cudarc](https://docs.rs/cudarc): its streams as owners of ours, and ours as
//! borrowed ones of it.
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

use std::mem::ManuallyDrop;
use std::sync::Arc;

use cudarc::driver as theirs;
use gpu_stream_core::{
    Backend, BackendKind, ContractError, Device, HandleKind, KeepAlive, RawStream, Stream,
    StreamOwner,
};

use crate::driver::capture::CaptureModeGuard;
use crate::driver::{Context, SavedContext, driver, loaded};
use crate::{Cuda, CudaError, CudaStream, host_func};

/// A cudarc stream as the owner of a [`CudaStream`].
///
/// For [`Backend::stream_from_owner`]; [`CudaStream::from_cudarc`] is the same with fewer words,
/// and finds one mistake more. When the last share goes, cudarc destroys the stream; the thread
/// that drops it keeps its current context, which cudarc by itself would change.
#[derive(Debug)]
pub struct CudarcStream(ManuallyDrop<Arc<theirs::CudaStream>>);

impl CudarcStream {
    /// A share in `stream`.
    pub fn new(stream: Arc<theirs::CudaStream>) -> Self {
        CudarcStream(ManuallyDrop::new(stream))
    }

    /// The stream inside.
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
        // SAFETY: taken once, here, and `self` is not used after.
        let stream = unsafe { ManuallyDrop::take(&mut self.0) };
        host_func::run_outside_host_func(move || {
            // The last share of it makes its context current before it destroys the stream.
            let _found = loaded().and_then(SavedContext::remember);
            let _relaxed = loaded().and_then(|driver| {
                // Without it a capture may break; without destroying, the stream leaks.
                CaptureModeGuard::enter(driver, "CudarcStream::drop").ok()
            });
            drop(stream);
        });
    }
}

// SAFETY: cudarc destroys the stream when the last share in it is dropped, and gives no way to do
// so before but unsafe ones. It may be dropped on any thread.
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
    /// Wraps a cudarc stream, and keeps it alive. Does not block.
    ///
    /// # Errors
    /// As [`Backend::stream_from_owner`]:
    /// [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) for cudarc's
    /// `per_thread_stream`, which is [`Backend::per_thread_stream`] here, and for its
    /// `default_stream` of a context that is not the device's primary one.
    #[doc(alias("upgrade_device_stream", "cu_stream"))]
    pub fn from_cudarc(stream: &Arc<theirs::CudaStream>) -> Result<Self, CudaError> {
        host_func::end(Self::of_cudarc(stream), || None)
    }

    fn of_cudarc(stream: &Arc<theirs::CudaStream>) -> Result<Self, CudaError> {
        const OPERATION: &str = "CudaStream::from_cudarc";
        let owner = CudarcStream::new(Arc::clone(stream));
        let (raw, device) = (owner.raw_stream(), device_of(stream.context()));
        if raw.kind() == HandleKind::Default {
            let primary = driver()?.primary(device.ordinal(), OPERATION)?;
            if context_of(stream.context()) != Some(primary.context) {
                let reason = "is the default stream of a context that is not the primary one of its device, which cannot \
                              be named by device and handle; use a stream that was created in that context";
                let bits = raw.to_bits();
                return Err(
                    ContractError::InvalidHandle { operation: OPERATION, bits, reason }.into()
                );
            }
        }
        // SAFETY: the owner keeps the stream alive, as `StreamOwner` says of it.
        unsafe {
            Cuda::stream_from_raw_with_owner(raw, Some(device), KeepAlive::owner(Arc::new(owner)))
        }
    }

    /// This stream as a borrowed one of cudarc, to launch a kernel on it. Does not block, and makes
    /// nothing current (what one does with the result may).
    ///
    /// # Errors
    /// [`DeviceMismatch`](gpu_stream_core::ErrorKind::DeviceMismatch) if `context` is of another
    /// device, naming both; [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) if it is
    /// another context of the device than the stream's.
    ///
    /// # Safety
    /// This wrapper, a clone of it or something else that keeps the stream alive outlives what is
    /// returned and all that cudarc makes of it (slices allocated on it hold it too).
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
            let bits = self.raw().to_bits();
            return Err(ContractError::InvalidHandle { operation: OPERATION, bits, reason }.into());
        }
        // SAFETY: the stream is alive, and its context is this one, as was just seen; the caller
        // promises the rest.
        Ok(unsafe { context.wrap_borrowed_stream(self.raw().as_ptr().cast()) })
    }
}
