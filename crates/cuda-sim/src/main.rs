//! The command `gpu-stream-cuda-sim`: runs another command over the simulated CUDA driver.

use std::process::ExitCode;

#[cfg(all(target_os = "linux", not(gpu_stream_loom)))]
mod wrapper;

#[cfg(all(target_os = "linux", not(gpu_stream_loom)))]
fn main() -> ExitCode {
    wrapper::main()
}

#[cfg(not(all(target_os = "linux", not(gpu_stream_loom))))]
fn main() -> ExitCode {
    eprintln!("cuda-sim: the simulated CUDA driver is for Linux only");
    ExitCode::FAILURE
}
