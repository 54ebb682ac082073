//! The command `gpu-stream`.

use std::process::ExitCode;

use clap::Parser;
use gpu_stream_cli::args::Arguments;

fn main() -> ExitCode {
    // SAFETY: no other thread is running yet, here and below.
    #[cfg(feature = "cuda")]
    unsafe {
        gpu_stream_conformance::fixtures::ask_for_cuda_queues();
    }
    // SAFETY: as above.
    #[cfg(feature = "hip")]
    unsafe {
        gpu_stream_conformance::fixtures::ask_for_hip_queues();
    }
    gpu_stream_cli::run(Arguments::parse())
}
