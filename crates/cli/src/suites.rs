//! The suite for each backend of this build.

use std::time::Duration;

use gpu_stream::{Availability, BackendKind};
#[cfg(feature = "cuda")]
use gpu_stream_conformance::fixtures::CudaFixture;
use gpu_stream_conformance::fixtures::HostFixture;
use gpu_stream_conformance::{Missing, Suite, SuiteOf};

/// The suite on the backend that `item` describes, with this time limit for each case. If the
/// backend is not ready, or what the cases need cannot be had, every case is skipped, with the
/// reason.
pub fn suite(item: &Availability, limit: Duration) -> Box<dyn Suite> {
    if let Err(error) = &item.probe {
        return Box::new(Missing::new(item.backend, error.to_string()));
    }
    match item.backend {
        BackendKind::Host => Box::new(SuiteOf::new(HostFixture).limit(limit)),
        #[cfg(feature = "cuda")]
        BackendKind::Cuda => match CudaFixture::new() {
            Ok(fixture) => Box::new(SuiteOf::new(fixture).limit(limit)),
            Err(reason) => {
                let reason =
                    format!("the backend is ready, and the cases cannot run on it: {reason}");
                Box::new(Missing::new(BackendKind::Cuda, reason))
            }
        },
        other => Box::new(Missing::new(other, "this command has no fixture for the backend")),
    }
}
