//! The suite on OpenCL, where the machine has it.

use gpu_stream_conformance::fixtures::OpenClFixture;

gpu_stream_conformance::main!(OpenClFixture::new());
