//! What a test needs from a backend beyond the contract: [`TestBackend`].

use gpu_stream::{Backend, Host};
use gpu_stream_conformance::Fixture;
use gpu_stream_conformance::fixtures::HostFixture;

use crate::findings::Findings;

/// A backend that the test kit can test with: [`Backend`], and the test tools of the conformance suite.
///
/// A test is generic over it and uses a [`Kit`](crate::Kit). It does not call this trait.
pub trait TestBackend: Backend {
    /// The test tools: streams and events that the backend did not make, gates, data, captures.
    type Fixture: Fixture<Backend = Self>;

    /// Creates the test tools. Starts the driver, and blocks until it is ready.
    ///
    /// # Errors
    /// A text with the driver's error.
    fn fixture() -> Result<Self::Fixture, String>;

    /// Returns what collects the findings of a check. It collects nothing where the backend has no check.
    #[doc(hidden)]
    fn findings() -> Findings {
        Findings::default()
    }
}

impl TestBackend for Host {
    type Fixture = HostFixture;

    fn fixture() -> Result<HostFixture, String> {
        Ok(HostFixture::new())
    }
}

#[cfg(feature = "cuda")]
impl TestBackend for gpu_stream::Cuda {
    type Fixture = gpu_stream_conformance::fixtures::CudaFixture;

    fn fixture() -> Result<Self::Fixture, String> {
        // Work may fail: each test has a process, and so a context, of its own.
        Self::Fixture::with_faults()
    }
}

#[cfg(feature = "hip")]
impl TestBackend for gpu_stream::Hip {
    type Fixture = gpu_stream_conformance::fixtures::HipFixture;

    fn fixture() -> Result<Self::Fixture, String> {
        Self::Fixture::new()
    }
}

#[cfg(feature = "checked")]
impl<B: TestBackend + gpu_stream::PlainHandles> TestBackend for gpu_stream::Checked<B> {
    type Fixture = gpu_stream_conformance::fixtures::CheckedFixture<B::Fixture>;

    fn fixture() -> Result<Self::Fixture, String> {
        B::fixture().map(gpu_stream_conformance::fixtures::CheckedFixture)
    }

    fn findings() -> Findings {
        Findings::of::<B>()
    }
}

#[cfg(feature = "opencl")]
impl TestBackend for gpu_stream::OpenCl {
    type Fixture = gpu_stream_conformance::fixtures::OpenClFixture;

    fn fixture() -> Result<Self::Fixture, String> {
        Self::Fixture::new().map_err(|error| error.to_string())
    }
}
