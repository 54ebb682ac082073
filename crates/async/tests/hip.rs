//! The cases on the HIP backend: on an AMD GPU if there is one, else over the simulated HSA runtime.

mod cases;

use std::path::Path;
use std::process::ExitCode;

use gpu_stream_conformance::fixtures::{HipFixture, ask_for_hip_queues};

/// The cases that need a process of their own.
const ALONE: &[cases::Case<HipFixture>] = &[
    ("owner_that_is_deferred", cases::owners::owner_that_is_deferred),
    ("process_ends_while_futures_are_pending", cases::values::process_ends),
];

fn main() -> ExitCode {
    // SAFETY: no other thread is running yet.
    unsafe { ask_for_hip_queues() };
    // The device node of AMD's kernel driver; without it there is no AMD GPU.
    if !Path::new("/dev/kfd").exists()
        && let Err(reason) = hsa_sim::preload()
    {
        eprintln!("note: no AMD GPU and no simulated one: {reason}");
    }
    cases::run_child(ALONE, HipFixture::new);
    cases::main(HipFixture::new(), cases::all(), ALONE)
}
