//! The suite on the host backend.

use gpu_stream_conformance::fixtures::HostFixture;

gpu_stream_conformance::main!(HostFixture::new());
