//! Cases about failing work and about resets on the CUDA backend. They run on a GPU if there is a
//! driver, and otherwise over the simulated driver of `crates/cuda-sim`. Each destroys the
//! context, so each runs in a process of its own.
//!
//! The other cases about failing work need a stream that survives the fault, and CUDA has none.

mod alone;

use std::process::ExitCode;

use gpu_stream_conformance::fixtures::CudaFixture;
use gpu_stream_conformance::{Suite, SuiteOf, Verdict};
use gpu_stream_core::BackendKind;

const CASES: [&str; 12] = [
    "functions_after_a_fault_are_dropped",
    "work_after_a_fault_is_not_run",
    "waiter_gets_the_fault",
    "reset_is_reported_and_survived",
    "reset_is_reported_by_elapsed_since",
    "reset_is_reported_by_wait_event",
    "reset_is_reported_by_record",
    "reset_leaves_nothing_stale",
    "fault_keeps_its_values",
    "reset_keeps_the_values",
    "fault_ends_its_futures",
    "reset_ends_its_futures",
];

fn main() -> ExitCode {
    alone::main(BackendKind::Cuda, &CASES, || {
        if cuda_sim::no_driver_here() {
            // SAFETY: no other thread is running yet.
            unsafe { cuda_sim::install(1) }.map_err(Verdict::failed)?;
        }
        let fixture = CudaFixture::with_faults().map_err(Verdict::failed)?;
        Ok(Box::new(SuiteOf::new(fixture)) as Box<dyn Suite>)
    })
}
