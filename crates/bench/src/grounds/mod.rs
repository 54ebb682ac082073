//! What each backend of this project brings.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "cudarc")]
mod cudarc;
mod host;

#[cfg(feature = "cuda")]
pub use cuda::{CudaBare, CudaBareEvent, CudaForeign, CudaGround};
pub use host::{HostForeign, HostGround};
