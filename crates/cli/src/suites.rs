//! Creates the conformance suite of each backend in this build.

use std::time::Duration;

use gpu_stream::{Availability, BackendKind};
#[cfg(any(feature = "cuda", feature = "hip"))]
use gpu_stream_conformance::Fixture;
#[cfg(feature = "cuda")]
use gpu_stream_conformance::fixtures::CudaFixture;
#[cfg(feature = "hip")]
use gpu_stream_conformance::fixtures::HipFixture;
use gpu_stream_conformance::fixtures::HostFixture;
use gpu_stream_conformance::{Missing, Suite, SuiteOf};

/// Creates the suite for the backend of `item`, with a time limit for each case.
///
/// If the backend or a resource of the cases is not available, the suite skips every case with the
/// reason.
pub fn suite(item: &Availability, limit: Duration) -> Box<dyn Suite> {
    if let Err(error) = &item.probe {
        return Box::new(Missing::new(item.backend, error.to_string()));
    }
    match item.backend {
        BackendKind::Host => Box::new(SuiteOf::new(HostFixture).limit(limit)),
        #[cfg(feature = "cuda")]
        BackendKind::Cuda => with(CudaFixture::new(), item.backend, limit),
        #[cfg(feature = "hip")]
        BackendKind::Hip => with(HipFixture::new(), item.backend, limit),
        other => Box::new(Missing::new(other, "this command has no fixture for the backend")),
    }
}

/// Creates the suite with `fixture`. If `fixture` is an error, the suite skips every case.
#[cfg(any(feature = "cuda", feature = "hip"))]
fn with(
    fixture: Result<impl Fixture, String>,
    backend: BackendKind,
    limit: Duration,
) -> Box<dyn Suite> {
    match fixture {
        Ok(fixture) => Box::new(SuiteOf::new(fixture).limit(limit)),
        Err(reason) => {
            let reason = format!("the backend is ready, but the cases cannot run on it: {reason}");
            Box::new(Missing::new(backend, reason))
        }
    }
}
