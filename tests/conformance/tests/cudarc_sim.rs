//! The suite on the CUDA backend over the simulated driver of `crates/cuda-sim`, with one device
//! and foreign streams made by cudarc. A skip because the machine lacks something is a failure
//! here.

use std::process::ExitCode;

use gpu_stream_conformance::fixtures::CudaFixture;
use gpu_stream_conformance::harness;

fn main() -> ExitCode {
    // SAFETY: no other thread is running yet.
    let simulated = unsafe {
        std::env::set_var("GPU_STREAM_REQUIRE", "cuda:1");
        cuda_sim::install(1)
    };
    harness::main(simulated.and_then(|()| CudaFixture::with_cudarc()))
}
