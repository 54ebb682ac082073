//! Conversions from and to the streams of other Rust crates, and a guard for the thread's current context.
//!
//! | crate | feature | building it needs |
//! |---|---|---|
//! | [cudarc](https://docs.rs/cudarc) | `cudarc`, on by default | nothing |
//! | [cuda-core](https://docs.rs/cuda-core), NVIDIA's | `cuda-core` | headers of CUDA 13, libclang, Rust 1.89 |
//!
//! Their streams are owners of ours, and ours are borrowed streams of theirs. Calls of both crates make a context current
//! on the thread, and leave it so: [`ContextGuard`] keeps what was current before.
//!
//! cuda-core's build script reads headers of CUDA 13 in the folder that `CUDA_HOME` names. A toolkit has them, and so have
//! NVIDIA's Python packages `nvidia-cuda-runtime`, `nvidia-cuda-crt` and `nvidia-curand`. Without the feature, none
//! are needed.
//!
//! The driver is the one of this crate. The crates search by their own rules, and find the same one unless
//! `GPU_STREAM_CUDA_LIBRARY` names another.
#![cfg_attr(
    feature = "cudarc",
    doc = r#"
```no_run
use gpu_stream_core::{ErrorOf, Stream};
use gpu_stream_cuda::CudaStream;

fn portable<S: Stream>(stream: &S) -> Result<(), ErrorOf<S>> {
    stream.synchronize()
}

let context = cudarc::driver::CudaContext::new(0)?;
let theirs = context.new_stream()?;
// … launch with cudarc on `theirs` …
portable(&CudaStream::from_cudarc(&theirs)?)?;
# Ok::<(), Box<dyn std::error::Error>>(())
```
"#
)]

mod context_guard;
#[cfg(feature = "cuda-core")]
mod cuda_core;
#[cfg(feature = "cudarc")]
mod cudarc;

use gpu_stream_core::{BackendKind, Device, HandleKind, RawStream, Stream};

use crate::driver::{Context, DriverCall, driver};
use crate::error::{Result, invalid_handle};
use crate::host_func::USER_CODE;
use crate::{Cuda, CudaStream};

pub use self::context_guard::ContextGuard;
#[cfg(feature = "cuda-core")]
pub use self::cuda_core::{CudaCoreEvent, CudaCoreStream};
#[cfg(feature = "cudarc")]
pub use self::cudarc::{CudarcStream, PerThreadExt};

/// Converts another crate's device ordinal. One that is too large names no device.
fn device_of(ordinal: usize) -> Device {
    Device::new(BackendKind::Cuda, u32::try_from(ordinal).unwrap_or(u32::MAX))
}

/// Rejects the default stream of a context that is not the primary one of its device.
fn check_default_stream(
    operation: &'static str,
    stream: RawStream<Cuda>,
    device: Device,
    context: Option<Context>,
) -> Result<()> {
    if stream.kind() == HandleKind::Default {
        let primary = DriverCall::begin(operation)?.primary(device.ordinal())?;
        if context != Some(primary.context) {
            let reason = "is the default stream of a context that is not the primary one of its device, which cannot \
                          be named by device and handle; use a stream that was created in that context";
            return Err(invalid_handle(operation, stream.to_bits(), reason));
        }
    }
    Ok(())
}

/// Rejects another crate's context if `stream` belongs to another device or another context of the device.
fn check_context(
    operation: &'static str,
    stream: &CudaStream,
    device: Device,
    context: Option<Context>,
) -> Result<()> {
    device.check_is(stream.device(), operation)?;
    driver()?;
    stream.check_reset(operation)?;
    if context != Some(stream.context(operation)?) {
        let reason = "is a stream of another context of the device than the one that was given; give the other \
                      library that context";
        return Err(invalid_handle(operation, stream.bits(), reason));
    }
    Ok(())
}

/// Drops another crate's value outside of host functions. The thread keeps its current context, which the
/// destructor alone would change.
fn drop_foreign<T: Send + 'static>(operation: &'static str, value: T) {
    USER_CODE.run_outside_host_func(move || {
        let call = DriverCall::if_loaded(operation);
        let _saved = call.and_then(|call| call.save_context().ok());
        // Without the guard the destructor's calls can invalidate a capture. Without the calls the handle would leak.
        let _relaxed = call.and_then(|call| call.relaxed().ok());
        drop(value);
    });
}
