//! The kernels on HIP: on a GPU if there is one, otherwise over the simulated HSA runtime. That accepts code objects and
//! launches, but runs no kernels.

mod cases;

use std::path::Path;
use std::process::ExitCode;

use gpu_stream_conformance::fixtures::{HipFixture, ask_for_hip_queues};

fn main() -> ExitCode {
    // SAFETY: no other thread is running yet.
    unsafe { ask_for_hip_queues() };
    // AMD's kernel driver, without which there is no AMD GPU.
    if !Path::new("/dev/kfd").exists()
        && let Err(reason) = hsa_sim::preload()
    {
        // HIP may still work, on its NVIDIA platform.
        eprintln!("note: no AMD GPU, and no simulation of one: {reason}");
    }
    let fixture = HipFixture::new();
    // The NVIDIA platform loads no HSA runtime, so the simulator there is unused.
    let simulated = fixture.is_ok() && hsa_sim::live_signals().is_some_and(|signals| signals > 0);
    cases::run(fixture, simulated.then_some("the simulated GPU runs no kernels"), &[])
}
