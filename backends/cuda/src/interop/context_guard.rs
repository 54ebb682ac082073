//! A guard that keeps the thread's current context through calls of cudarc: [`ContextGuard`].

use std::fmt;

use crate::CudaError;
use crate::driver::{CaptureModeGuard, Context, DriverCall, SavedContext, loaded};
use crate::host_func;

/// Saves the calling thread's current context, and makes it current again on drop.
///
/// Most calls of cudarc make the context of their object current, and leave it so. So do some of its
/// destructors. In a program that shares its threads with another library, the next call of that library then
/// works in a context that it did not choose. With the guard, the thread is as it was: if no context was
/// current, none is.
///
/// ```no_run
/// use cudarc::driver::CudaContext;
/// use gpu_stream_cuda::interop::ContextGuard;
///
/// {
///     let _guard = ContextGuard::save()?; // a name that begins with `_`; `_` alone would drop it at once
///     let context = CudaContext::new(0)?; // current from here on
///     let stream = context.new_stream()?;
///     // … launch with cudarc on `stream` …
/// } // current is what was current before
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It works around calls of any library, on one condition: they leave the thread's stack of contexts as deep as
/// they found it. cudarc does. `cuCtxSetCurrent` of null takes an entry away. Guards are dropped in the reverse
/// order of their creation, as local variables are. Objects of cudarc that are created under a guard may be
/// dropped later, under another one. The guard does not leave its thread.
///
/// The drop also restores during a panic, and ignores errors of the driver. In the child of a fork it does
/// nothing, because no driver is there. If the saved context was destroyed in between, calls in it return
/// `CUDA_ERROR_CONTEXT_IS_DESTROYED`, or no context is current, as after
/// [`cuCtxDestroy`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__CTX.html) without the guard.
///
/// The driver is the one of this crate. cudarc searches by its own rules, and finds the same one unless
/// `GPU_STREAM_CUDA_LIBRARY` names another.
///
/// # Cost
/// [`save`](Self::save) calls `cuCtxGetCurrent` and `cuCtxPushCurrent`, and the drop `cuCtxPopCurrent`. If no
/// context was current, `save` pushes none, and the drop calls `cuCtxGetCurrent` and, if one is current now,
/// `cuCtxSetCurrent`. [`save_relaxed`](Self::save_relaxed) and its drop call
/// `cuThreadExchangeStreamCaptureMode` once more each. Nothing is allocated.
#[must_use = "the drop makes the saved context current again"]
#[doc(alias(
    "cuCtxGetCurrent",
    "cuCtxSetCurrent",
    "cuCtxPushCurrent",
    "cuCtxPopCurrent",
    "bind_to_thread"
))]
pub struct ContextGuard(Option<Saved>);

/// What the drop restores, in the order of the fields.
struct Saved {
    mode: Option<CaptureModeGuard>,
    context: SavedContext,
}

impl ContextGuard {
    /// Saves the calling thread's current context, or that there is none. Does not block, except that the
    /// first call of the process starts the driver.
    ///
    /// # Errors
    /// - [`NotPermitted`](gpu_stream_core::ErrorKind::NotPermitted) inside a host function: the driver tells no
    ///   context there.
    /// - Errors of the start, as [`Backend::probe`](gpu_stream_core::Backend::probe).
    pub fn save() -> Result<Self, CudaError> {
        let save = || {
            let context = DriverCall::begin("ContextGuard::save")?.save_context()?;
            Ok(ContextGuard(Some(Saved { mode: None, context })))
        };
        host_func::call(save, || None)
    }

    /// Saves the current context as [`save`](Self::save), and sets the thread's capture mode to *relaxed*. The
    /// drop restores both.
    ///
    /// While another stream is captured, the driver rejects many calls and breaks the capture: loading a module,
    /// allocating, querying or synchronizing an unrelated stream. In the relaxed mode it carries them out, and the
    /// capture continues. Calls on a captured stream itself are as before. Use it for work that has nothing to do
    /// with a capture.
    ///
    /// `cuCtxSynchronize` breaks the captures of its context in each mode. cudarc calls it when it creates the first
    /// stream of a `CudaContext`, so create that before.
    ///
    /// # Errors
    /// Errors as [`save`](Self::save).
    ///
    /// Origin:
    /// [`cuThreadExchangeStreamCaptureMode`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__STREAM.html).
    #[doc(alias("cuThreadExchangeStreamCaptureMode"))]
    pub fn save_relaxed() -> Result<Self, CudaError> {
        let save = || {
            let call = DriverCall::begin("ContextGuard::save_relaxed")?;
            let context = call.save_context()?;
            Ok(ContextGuard(Some(Saved { mode: Some(call.relaxed()?), context })))
        };
        host_func::call(save, || None)
    }
}

impl Drop for ContextGuard {
    fn drop(&mut self) {
        if loaded().is_none() {
            // In the child of a fork, no call may reach the driver.
            std::mem::forget(self.0.take());
        }
    }
}

impl fmt::Debug for ContextGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let saved = self.0.as_ref();
        let context = saved.and_then(|saved| saved.context.get()).map(Context::as_ptr);
        let relaxed = saved.is_some_and(|saved| saved.mode.is_some());
        f.debug_struct("ContextGuard").field("saved", &context).field("relaxed", &relaxed).finish()
    }
}
