//! The suite on the host backend with a check.

use gpu_stream_conformance::fixtures::{CheckedFixture, HostFixture};

gpu_stream_conformance::main!(CheckedFixture(HostFixture::new()));
