//! The corpus and random programs on the HIP backend.
//!
//! Runs on an AMD GPU if the machine has one, else over the simulated HSA runtime with one device.

use std::path::Path;
use std::process::ExitCode;

use gpu_stream_conformance::fixtures::{HipFixture, ask_for_hip_queues};
use gpu_stream_model::harness;
use gpu_stream_model::run::Options;

fn main() -> ExitCode {
    // SAFETY: no other thread is running yet.
    unsafe { ask_for_hip_queues() };
    // The device node of AMD's kernel driver; without it there is no AMD GPU.
    if !Path::new("/dev/kfd").exists()
        && let Err(reason) = hsa_sim::preload()
    {
        // Continue: this may be HIP's NVIDIA platform. Otherwise HIP reports the error.
        eprintln!("note: no AMD GPU and no simulated one: {reason}");
    }
    harness::main(HipFixture::new(), 500, Options::default())
}
