//! The suite on the OpenCL backend with a check, where the machine has OpenCL.

use gpu_stream_conformance::CheckedSuite;
use gpu_stream_conformance::fixtures::OpenClFixture;

gpu_stream_conformance::main!(OpenClFixture::new().map(CheckedSuite::new));
