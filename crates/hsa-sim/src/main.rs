//! The command `gpu-stream-hsa-sim`: runs another command so that AMD's HIP library runs over the simulated HSA runtime.

use std::process::ExitCode;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod wrapper;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() -> ExitCode {
    wrapper::main()
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() -> ExitCode {
    eprintln!(
        "hsa-sim: the simulated HSA runtime is for Linux on x86-64 only, as AMD's HIP library is"
    );
    ExitCode::FAILURE
}
