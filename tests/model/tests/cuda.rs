//! The corpus and random programs on the CUDA backend.

use std::process::ExitCode;

use gpu_stream_conformance::fixtures::{CudaFixture, ask_for_cuda_queues};
use gpu_stream_model::harness;
use gpu_stream_model::run::Options;

fn main() -> ExitCode {
    // SAFETY: no other thread is running yet.
    unsafe { ask_for_cuda_queues() };
    harness::main(CudaFixture::new(), 2_000, Options::default())
}
