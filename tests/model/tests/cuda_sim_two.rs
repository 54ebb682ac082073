//! The corpus and random programs on the CUDA backend, over the simulated driver with two devices.

use std::process::ExitCode;

use gpu_stream_conformance::fixtures::{CudaFixture, ask_for_cuda_queues};
use gpu_stream_model::harness;
use gpu_stream_model::run::Options;

fn main() -> ExitCode {
    // SAFETY: no other thread is running yet.
    let driver = unsafe {
        ask_for_cuda_queues();
        cuda_sim::install(2)
    };
    harness::main(driver.and_then(|()| CudaFixture::new()), 1_000, Options::default())
}
