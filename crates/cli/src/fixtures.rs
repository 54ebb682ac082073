//! What there is to measure, for each backend of this build.

use gpu_stream::BackendKind;
#[cfg(feature = "cuda")]
use gpu_stream_bench::fixtures::CudaFixture;
#[cfg(feature = "hip")]
use gpu_stream_bench::fixtures::HipFixture;
use gpu_stream_bench::fixtures::HostFixture;
use gpu_stream_bench::{Bench, BenchOf};

use crate::CommandError;

/// The measurement of a backend that is ready. May take long: drivers start.
///
/// # Errors
/// If the driver's own calls cannot be had, or the command has none for this backend.
pub fn bench(backend: BackendKind) -> Result<Box<dyn Bench>, CommandError> {
    let refused = |reason| CommandError(format!("{backend} cannot be measured: {reason}"));
    match backend {
        BackendKind::Host => Ok(Box::new(BenchOf(HostFixture::new().map_err(refused)?))),
        #[cfg(feature = "cuda")]
        BackendKind::Cuda => Ok(Box::new(BenchOf(CudaFixture::new().map_err(refused)?))),
        #[cfg(feature = "hip")]
        BackendKind::Hip => Ok(Box::new(BenchOf(HipFixture::new().map_err(refused)?))),
        other => Err(CommandError(format!("this command cannot measure the backend {other}"))),
    }
}
