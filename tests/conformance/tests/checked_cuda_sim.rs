//! The suite on the CUDA backend with a check, over the simulated driver of `crates/cuda-sim`, with two devices. It reuses
//! handles at once, as a real driver does.

use std::process::ExitCode;

use gpu_stream_conformance::fixtures::CudaFixture;
use gpu_stream_conformance::{CheckedSuite, harness};

fn main() -> ExitCode {
    // SAFETY: no other thread is running yet.
    let simulated = unsafe {
        std::env::set_var("GPU_STREAM_REQUIRE", "cuda:2");
        std::env::set_var("CUDA_SIM_REUSE", "1");
        cuda_sim::install(2)
    };
    harness::main(simulated.and_then(|()| CudaFixture::new()).map(CheckedSuite::new))
}
