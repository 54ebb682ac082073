//! The handler as XLA calls it, from a fake of XLA's table: on NVIDIA GPUs, or over the simulated driver with two devices.

mod errors;
mod fake;
mod order;

use std::process::ExitCode;

use gpu_stream::Cuda;
use gpu_stream_test_support::run;

fn main() -> ExitCode {
    if cuda_sim::no_driver_here() {
        // SAFETY: no other thread is running yet.
        match unsafe { cuda_sim::install(2) } {
            Ok(()) => eprintln!("note: no CUDA driver; these tests run over a simulated one"),
            Err(reason) => eprintln!("note: no CUDA driver, and no simulated one: {reason}"),
        }
    }
    run::<Cuda, _>(order::CASES.iter().chain(errors::CASES).copied())
}
