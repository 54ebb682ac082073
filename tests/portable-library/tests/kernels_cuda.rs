//! The kernels on CUDA: on a GPU if there is a driver, otherwise over the simulated driver, which knows these kernels by
//! name and computes their results itself.

mod cases;

use std::process::ExitCode;

use gpu_stream_conformance::fixtures::{CudaFixture, ask_for_cuda_queues};

fn main() -> ExitCode {
    // SAFETY: no other thread is running yet.
    unsafe {
        ask_for_cuda_queues();
        if cuda_sim::no_driver_here()
            && let Err(reason) = cuda_sim::install(1)
        {
            eprintln!("note: no NVIDIA GPU, and no simulation of one: {reason}");
        }
    }
    cases::run(CudaFixture::new(), None)
}
