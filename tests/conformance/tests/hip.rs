//! The suite on the HIP backend: on an AMD GPU if the machine has one, otherwise over the simulated
//! HSA runtime of `crates/hsa-sim` with one device.

use std::path::Path;
use std::process::ExitCode;

use gpu_stream_conformance::fixtures::{HipFixture, ask_for_hip_queues};
use gpu_stream_conformance::harness;

fn main() -> ExitCode {
    // SAFETY: no other thread is running yet.
    unsafe { ask_for_hip_queues() };
    // AMD's kernel driver, without which there is no AMD GPU.
    if !Path::new("/dev/kfd").exists()
        && let Err(reason) = hsa_sim::preload()
    {
        // Not fatal: HIP may still work, on its NVIDIA platform. What it reports is the cases'
        // outcome.
        eprintln!("note: no AMD GPU, and no simulation of one: {reason}");
    }
    let fixture = HipFixture::new();
    harness::main(fixture.inspect_err(|reason| eprintln!("note: HIP is not tested here: {reason}")))
}
