//! The suite on the host backend with a check.

use gpu_stream_conformance::CheckedSuite;
use gpu_stream_conformance::fixtures::HostFixture;

gpu_stream_conformance::main!(CheckedSuite::new(HostFixture::new()));
