//! The corpus and random programs on OpenCL: on a device of any vendor, or by PoCL on the CPU.

use std::process::ExitCode;

use gpu_stream_conformance::fixtures::OpenClFixture;
use gpu_stream_model::harness;
use gpu_stream_model::run::Options;

fn main() -> ExitCode {
    harness::main(OpenClFixture::new(), 500, Options::default())
}
