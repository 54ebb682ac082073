//! Every call of the backend, with every call of the driver that it makes failing in turn, with
//! every code: over the simulated driver, also where there is a real one.
//!
//! ```sh
//! cargo test -p gpu-stream-cuda --test fault_sweep                          # a part of the codes
//! GPU_STREAM_FAULT_SWEEP=full cargo test -p gpu-stream-cuda --test fault_sweep --release
//! GPU_STREAM_FAULT_TRACE=1 cargo test -p gpu-stream-cuda --test fault_sweep # prints each combination
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
        ("a_function_that_was_taken_with_an_error", a_function_that_was_taken_with_an_error),
        ("what_was_changed_with_an_error_is_put_back", what_was_changed_with_an_error_is_put_back),
        ("what_could_not_be_put_back_is_once_more", what_could_not_be_put_back_is_once_more),
        ("a_missing_function_is_named", hostile::a_missing_function_is_named),
        ("an_old_driver_is_refused_or_does", hostile::an_old_driver_is_refused_or_does),
        ("a_driver_that_does_not_start_says_why", hostile::a_driver_that_does_not_start_says_why),
        (
            "a_handle_that_is_used_again_is_a_new_one",
            hostile::a_handle_that_is_used_again_is_a_new_one,
        ),
        ("a_slow_call_holds_up_no_other_stream", hostile::a_slow_call_holds_up_no_other_stream),
        ("a_driver_that_is_gone", hostile::a_driver_that_is_gone),
        ("fault_sweep", fault_sweep),
    ])
}

fn controls() -> &'static Controls {
    static CONTROLS: OnceLock<Controls> = OnceLock::new();
    CONTROLS.get_or_init(|| {
        Controls::of(driver_sim::library().expect("the simulator")).expect("its plan of faults")
    })
}

/// Checks a combination of the fault sweep that was once wrong. `call` names the driver's function
/// and its occurrence in the operation.
#[track_caller]
fn holds(operation: &str, call: (&str, u32), fault: InjectedFault) {
    let report = one::<OnCuda>(controls(), operation, call, fault);
    assert_eq!((report.combinations, report.wrong_count), (1, 0), "{report}");
}

/// The driver ran a closure that had been freed.
fn a_function_that_was_taken_with_an_error() {
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

fn what_was_changed_with_an_error_is_put_back() {
    let exchange = ("cuThreadExchangeStreamCaptureMode", 1);
    for fault in [InjectedFault::Answer(1), InjectedFault::PassThenAnswer(1)] {
        holds("query, ordinary", exchange, fault);
        holds("query, default", ("cuCtxPushCurrent_v2", 1), fault);
    }
}

fn what_could_not_be_put_back_is_once_more() {
    for fault in [InjectedFault::Answer(1), InjectedFault::PassThenAnswer(1)] {
        holds("query, ordinary", ("cuThreadExchangeStreamCaptureMode", 2), fault);
        holds("query, default", ("cuCtxPopCurrent_v2", 1), fault);
    }
}

fn fault_sweep() {
    let full = std::env::var("GPU_STREAM_FAULT_SWEEP").is_ok_and(|extent| extent == "full");
    let extent = if full { Extent::Full } else { Extent::Quick };
    let report = run::<OnCuda>(controls(), extent);
    println!("{report}");
    assert_eq!(report.wrong_count, 0, "see above");
    assert!(report.combinations >= 2_000, "{} combinations", report.combinations);
}
