//! What there is to measure, for each backend of this build.

use gpu_stream::BackendKind;
#[cfg(feature = "cuda")]
use gpu_stream_bench::grounds::CudaGround;
#[cfg(feature = "hip")]
use gpu_stream_bench::grounds::HipGround;
use gpu_stream_bench::grounds::HostGround;
use gpu_stream_bench::{Bench, BenchOf};

use crate::Refusal;

/// The measurement of a backend that is ready. May take long: drivers start.
///
/// # Errors
/// If the driver's own calls cannot be had, or the command has none for this backend.
pub fn bench(backend: BackendKind) -> Result<Box<dyn Bench>, Refusal> {
    let refused = |reason| Refusal(format!("{backend} cannot be measured: {reason}"));
    match backend {
        BackendKind::Host => Ok(Box::new(BenchOf(HostGround::new().map_err(refused)?))),
        #[cfg(feature = "cuda")]
        BackendKind::Cuda => Ok(Box::new(BenchOf(CudaGround::new().map_err(refused)?))),
        #[cfg(feature = "hip")]
        BackendKind::Hip => Ok(Box::new(BenchOf(HipGround::new().map_err(refused)?))),
        other => Err(Refusal(format!("this command cannot measure the backend {other}"))),
    }
}
