//! Random programs with accesses on the CUDA backend with a check, over the simulated driver with two devices.

use std::process::ExitCode;

use gpu_stream_conformance::fixtures::{CheckedFixture, CudaFixture, ask_for_cuda_queues};
use gpu_stream_model::checked::harness;

fn main() -> ExitCode {
    // SAFETY: no other thread is running yet.
    let driver = unsafe {
        ask_for_cuda_queues();
        cuda_sim::install(2)
    };
    let fixture = driver.and_then(|()| CudaFixture::new());
    harness::main(fixture.map(CheckedFixture), true, 2_000)
}
