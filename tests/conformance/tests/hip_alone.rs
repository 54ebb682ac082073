//! Cases about resets on the HIP backend: on an AMD GPU if the machine has one, otherwise over the
//! simulated HSA runtime of `crates/hsa-sim`. Each resets the device, so each runs in a process of
//! its own.
//!
//! Cases about failing work do not run: AMD's runtime ends the process when work fails.

mod alone;

use std::path::Path;
use std::process::ExitCode;

use gpu_stream_conformance::fixtures::{HipFixture, ask_for_hip_queues};
use gpu_stream_conformance::{Suite, SuiteOf, Verdict};
use gpu_stream_core::BackendKind;

/// HIP's events outlive a reset, so the cases in which they report it do not apply.
const CASES: [&str; 2] = ["reset_leaves_nothing_stale", "reset_keeps_the_values"];

fn main() -> ExitCode {
    alone::main(BackendKind::Hip, &CASES, || {
        // SAFETY: no other thread is running yet.
        unsafe { ask_for_hip_queues() };
        if !Path::new("/dev/kfd").exists() {
            hsa_sim::preload().map_err(Verdict::skipped)?;
        }
        let fixture = HipFixture::with_resets().map_err(Verdict::skipped)?;
        Ok(Box::new(SuiteOf::new(fixture)) as Box<dyn Suite>)
    })
}
