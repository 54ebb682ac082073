//! Random programs on the HIP backend: on an AMD GPU if the machine has one, else over the simulated
//! HSA runtime of `tests/hsa-sim`, with one device.

use std::path::Path;
use std::process::ExitCode;

use gpu_stream_conformance::fixtures::{HipFixture, ask_for_hip_queues};
use gpu_stream_model::harness;
use gpu_stream_model::run::Options;

fn main() -> ExitCode {
    // SAFETY: no other thread is running yet.
    unsafe { ask_for_hip_queues() };
    // AMD's kernel driver, without which there is no AMD GPU.
    if !Path::new("/dev/kfd").exists()
        && let Err(reason) = hsa_sim::preload()
    {
        // Whatever HIP then says is the outcome: it may be HIP's NVIDIA platform.
        eprintln!("note: no AMD GPU, and no simulation of one: {reason}");
    }
    harness::main(HipFixture::new(), 500, Options::default())
}
