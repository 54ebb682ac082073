//! What each backend of this project brings.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "cudarc")]
mod cudarc;
#[cfg(feature = "hip")]
mod hip;
mod host;

#[cfg(feature = "cuda")]
pub use cuda::{CudaBare, CudaBareEvent, CudaForeign, CudaGround};
#[cfg(feature = "hip")]
pub use hip::{HipBare, HipBareEvent, HipForeign, HipGround};
pub use host::{HostForeign, HostGround};
