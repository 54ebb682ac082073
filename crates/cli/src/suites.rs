//! Creates the conformance suite of each backend in this build.

use std::time::Duration;

use gpu_stream::{Availability, BackendKind, PlainHandles};
#[cfg(feature = "cuda")]
use gpu_stream_conformance::fixtures::CudaFixture;
#[cfg(feature = "hip")]
use gpu_stream_conformance::fixtures::HipFixture;
use gpu_stream_conformance::fixtures::HostFixture;
#[cfg(feature = "opencl")]
use gpu_stream_conformance::fixtures::OpenClFixture;
use gpu_stream_conformance::{CheckedSuite, Fixture, Missing, Suite, SuiteOf};

/// Creates the suite for the backend of `item`, with a time limit for each case.
///
/// If the backend or a resource of the cases is not available, the suite skips every case with the
/// reason. With `is_checked`, the cases run with a check of the order.
pub fn suite(item: &Availability, limit: Duration, is_checked: bool) -> Box<dyn Suite> {
    if let Err(error) = &item.probe {
        return Box::new(Missing::new(item.backend, error.to_string()));
    }
    match item.backend {
        BackendKind::Host => of_fixture(HostFixture, limit, is_checked),
        #[cfg(feature = "cuda")]
        BackendKind::Cuda => with(CudaFixture::new(), item.backend, limit, is_checked),
        #[cfg(feature = "hip")]
        BackendKind::Hip => with(HipFixture::new(), item.backend, limit, is_checked),
        #[cfg(feature = "opencl")]
        BackendKind::OpenCl => with(OpenClFixture::new(), item.backend, limit, is_checked),
        other => Box::new(Missing::new(other, "this command has no fixture for the backend")),
    }
}

/// Creates the suite with `fixture`.
fn of_fixture(
    fixture: impl Fixture<Backend: PlainHandles>,
    limit: Duration,
    is_checked: bool,
) -> Box<dyn Suite> {
    if is_checked {
        Box::new(CheckedSuite::new(fixture).limit(limit))
    } else {
        Box::new(SuiteOf::new(fixture).limit(limit))
    }
}

/// Creates the suite with `fixture`. If `fixture` is an error, the suite skips every case.
#[cfg(any(feature = "cuda", feature = "hip", feature = "opencl"))]
fn with(
    fixture: Result<impl Fixture<Backend: PlainHandles>, impl std::fmt::Display>,
    backend: BackendKind,
    limit: Duration,
    is_checked: bool,
) -> Box<dyn Suite> {
    match fixture {
        Ok(fixture) => of_fixture(fixture, limit, is_checked),
        Err(reason) => {
            let reason = format!("the backend is ready, but the cases cannot run on it: {reason}");
            Box::new(Missing::new(backend, reason))
        }
    }
}
