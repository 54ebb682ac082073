//! Creates the benchmark of each backend in this build.

use gpu_stream::BackendKind;
#[cfg(feature = "cuda")]
use gpu_stream_bench::fixtures::CudaFixture;
#[cfg(feature = "hip")]
use gpu_stream_bench::fixtures::HipFixture;
use gpu_stream_bench::fixtures::HostFixture;
#[cfg(feature = "opencl")]
use gpu_stream_bench::fixtures::OpenClFixture;
use gpu_stream_bench::{Bench, BenchOf};

use crate::CommandError;

/// Creates the benchmark of an available backend. Can take long, because drivers are initialized.
///
/// # Errors
/// [`CommandError`] if the driver's own functions are not available, or if this build has no fixture for
/// the backend.
pub fn bench(backend: BackendKind) -> Result<Box<dyn Bench>, CommandError> {
    let refused = |reason| CommandError(format!("{backend} cannot be measured: {reason}"));
    match backend {
        BackendKind::Host => Ok(Box::new(BenchOf(HostFixture::new().map_err(refused)?))),
        #[cfg(feature = "cuda")]
        BackendKind::Cuda => Ok(Box::new(BenchOf(CudaFixture::new().map_err(refused)?))),
        #[cfg(feature = "hip")]
        BackendKind::Hip => Ok(Box::new(BenchOf(HipFixture::new().map_err(refused)?))),
        #[cfg(feature = "opencl")]
        BackendKind::OpenCl => Ok(Box::new(BenchOf(OpenClFixture::new().map_err(refused)?))),
        other => Err(CommandError(format!("this command cannot measure the backend {other}"))),
    }
}
