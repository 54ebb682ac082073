//! The fault sweep: every call of the backend, with every driver call in it failing in turn, with every
//! code. Runs over the simulated driver, also on a machine with a real one.
//!
//! ```sh
//! cargo test -p gpu-stream-cuda --test fault_sweep                           # a part of the codes
//! GPU_STREAM_FAULT_SWEEP=full cargo test -p gpu-stream-cuda --test fault_sweep --release
//! GPU_STREAM_FAULT_TRACE=1 cargo test -p gpu-stream-cuda --test fault_sweep  # prints each combination
//! ```

mod hostile;
#[path = "../support/mod.rs"]
mod support;
mod vendor;

use std::process::ExitCode;
use std::sync::OnceLock;

use gpu_stream_faults::sweep::{Extent, one, run};
use gpu_stream_faults::{Controls, InjectedFault};
use vendor::OnCuda;

fn main() -> ExitCode {
    // SAFETY: no other thread is running yet.
    unsafe { driver_sim::install(1) }.expect("the simulated driver");
    if hostile::run_as_child() {
        return ExitCode::SUCCESS;
    }
    support::main(&[
        (
            "host_function_accepted_with_an_error_runs_once",
            host_function_accepted_with_an_error_runs_once,
        ),
        ("state_changed_with_an_error_is_restored", state_changed_with_an_error_is_restored),
        ("failed_restore_is_repeated", failed_restore_is_repeated),
        ("missing_function_is_named", hostile::missing_function_is_named),
        ("old_driver_is_rejected_or_works", hostile::old_driver_is_rejected_or_works),
        ("failed_start_is_explained", hostile::failed_start_is_explained),
        (
            "a_handle_that_is_used_again_is_a_new_one",
            hostile::a_handle_that_is_used_again_is_a_new_one,
        ),
        ("slow_call_blocks_no_other_stream", hostile::slow_call_blocks_no_other_stream),
        ("driver_after_its_shutdown", hostile::driver_after_its_shutdown),
        ("the_fault_sweep", the_fault_sweep),
    ])
}

fn controls() -> &'static Controls {
    static CONTROLS: OnceLock<Controls> = OnceLock::new();
    CONTROLS.get_or_init(|| {
        Controls::of(driver_sim::library().expect("the simulator")).expect("its plan of faults")
    })
}

/// Checks a combination of the sweep that once failed. The operation calls the function that often.
#[track_caller]
fn holds(operation: &str, call: (&str, u32), fault: InjectedFault) {
    let report = one::<OnCuda>(controls(), operation, call, fault);
    assert_eq!((report.combinations, report.wrong_count), (1, 0), "{report}");
}

/// The driver ran a closure that had been freed.
fn host_function_accepted_with_an_error_runs_once() {
    for code in [1, 201, 719, 12_345] {
        holds(
            "host function, ordinary",
            ("cuLaunchHostFunc", 1),
            InjectedFault::PassThenAnswer(code),
        );
        holds(
            "pending: host function",
            ("cuLaunchHostFunc", 1),
            InjectedFault::PassThenAnswer(code),
        );
    }
}

fn state_changed_with_an_error_is_restored() {
    let exchange = ("cuThreadExchangeStreamCaptureMode", 1);
    for fault in [InjectedFault::Answer(1), InjectedFault::PassThenAnswer(1)] {
        holds("query, ordinary", exchange, fault);
        holds("query, default", ("cuCtxPushCurrent_v2", 1), fault);
    }
}

fn failed_restore_is_repeated() {
    for fault in [InjectedFault::Answer(1), InjectedFault::PassThenAnswer(1)] {
        holds("query, ordinary", ("cuThreadExchangeStreamCaptureMode", 2), fault);
        holds("query, default", ("cuCtxPopCurrent_v2", 1), fault);
    }
}

fn the_fault_sweep() {
    let full = std::env::var("GPU_STREAM_FAULT_SWEEP").is_ok_and(|extent| extent == "full");
    let extent = if full { Extent::Full } else { Extent::Quick };
    let report = run::<OnCuda>(controls(), extent);
    println!("{report}");
    assert_eq!(report.wrong_count, 0, "see above");
    assert!(report.combinations >= 2_000, "{} combinations", report.combinations);
}
