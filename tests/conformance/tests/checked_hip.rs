//! The suite on the HIP backend with a check, over the simulated HSA runtime of `crates/hsa-sim` with two devices.

use std::process::ExitCode;

use gpu_stream_conformance::fixtures::{HipFixture, ask_for_hip_queues};
use gpu_stream_conformance::{CheckedSuite, harness};

fn main() -> ExitCode {
    // SAFETY: no other thread is running yet.
    unsafe {
        ask_for_hip_queues();
        std::env::set_var("HSA_SIM_GPUS", "2");
    }
    let suite = hsa_sim::preload().and_then(|()| HipFixture::new()).map(CheckedSuite::new);
    harness::main(suite.inspect_err(|reason| eprintln!("note: HIP is not tested here: {reason}")))
}
