//! The corpus and random programs on OpenCL with two devices of PoCL, whose streams wait across contexts.

use std::process::ExitCode;

use gpu_stream_conformance::fixtures::OpenClFixture;
use gpu_stream_model::harness;
use gpu_stream_model::run::Options;

fn main() -> ExitCode {
    // SAFETY: no other thread is running yet.
    unsafe { std::env::set_var("POCL_DEVICES", "pthread pthread") };
    harness::main(OpenClFixture::new(), 500, Options::default())
}
