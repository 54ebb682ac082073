//! The suite on the CUDA backend, with foreign streams made by the bare driver.

use std::process::ExitCode;

use gpu_stream_conformance::fixtures::{CudaFixture, ask_for_cuda_queues};
use gpu_stream_conformance::harness;

fn main() -> ExitCode {
    // SAFETY: no other thread is running yet.
    unsafe { ask_for_cuda_queues() };
    harness::main(CudaFixture::new())
}
