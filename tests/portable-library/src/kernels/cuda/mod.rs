//! The kernels on CUDA: PTX, which the driver compiles.
//!
//! Two files do the same, each on the raw handle of the caller's stream: `bare.rs` by the driver's functions, and
//! `with_cudarc.rs` by cudarc. A library needs one of the two. This one takes cudarc if the feature is enabled.

#[cfg_attr(feature = "cudarc", allow(dead_code, reason = "cudarc takes its place"))]
mod bare;
#[cfg(feature = "cudarc")]
mod with_cudarc;

#[cfg(not(feature = "cudarc"))]
pub use bare::OnCuda;
#[cfg(feature = "cudarc")]
pub use with_cudarc::OnCuda;

use gpu_stream::Cuda;
use gpu_stream::prelude::*;

use super::{Kernels, Launcher};
use crate::Result;

// SAFETY: every function of the launcher is one call of the driver with the stream's handle.
unsafe impl Kernels for Cuda {
    fn launcher<S: Stream<Backend = Cuda>>(stream: &S) -> Result<Box<dyn Launcher + '_>> {
        Ok(Box::new(OnCuda::new(stream.raw(), stream.device())?))
    }
}
