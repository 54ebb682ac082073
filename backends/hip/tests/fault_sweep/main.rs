//! Every call of the backend, with every call of the runtime that it makes failing in turn, with
//! every code: AMD's own runtime, behind the layer of `tests/faults/hip`.
//!
//! ```sh
//! cargo test -p gpu-stream-hip --test fault_sweep                          # a part of the codes
//! GPU_STREAM_FAULT_SWEEP=full cargo test -p gpu-stream-hip --test fault_sweep --release
//! GPU_STREAM_FAULT_TRACE=1 cargo test -p gpu-stream-hip --test fault_sweep # prints each combination
//! ```

mod front;
mod hostile;
#[path = "../support/mod.rs"]
mod support;
mod vendor;

use std::process::ExitCode;

use gpu_stream_core::Stream as _;
use gpu_stream_faults::sweep::{Extent, one, run};
use gpu_stream_faults::{At, InjectedFault, Threads};
use support::bare::{self, bare};
use support::capture::Capture;
use vendor::OnHip;

fn main() -> ExitCode {
    if hostile::run_as_child() {
        return ExitCode::SUCCESS;
    }
    front::use_layer("fault_sweep", &[]);
    support::main(&[
        (
            "host_function_accepted_with_an_error_runs_once",
            host_function_accepted_with_an_error_runs_once,
        ),
        ("state_changed_with_an_error_is_restored", state_changed_with_an_error_is_restored),
        ("failed_restore_is_repeated", failed_restore_is_repeated),
        ("drop_of_a_busy_stream_does_not_wait", drop_of_a_busy_stream_does_not_wait),
        ("record_outside_of_captures_stays_one", record_outside_of_captures_stays_one),
        ("per_thread_stream_exists_after_a_failed_check", per_thread_stream_exists),
        ("captured_event_is_destroyed_after_its_capture", captured_event_is_destroyed_last),
        ("missing_function_is_named", hostile::missing_function_is_named),
        ("old_runtime_is_rejected", hostile::old_runtime_is_rejected),
        ("failed_start_is_explained", hostile::failed_start_is_explained),
        ("reused_handle_is_a_new_stream", hostile::reused_handle_is_a_new_stream),
        ("slow_call_blocks_no_other_stream", hostile::slow_call_blocks_no_other_stream),
        ("a_runtime_that_is_gone", hostile::a_runtime_that_is_gone),
        ("fault_sweep", fault_sweep),
    ])
}

/// Checks a combination of the fault sweep that was once wrong. `call` names the driver's function
/// and its occurrence in the operation.
#[track_caller]
fn holds(operation: &str, call: (&str, u32), fault: InjectedFault) {
    let report = one::<OnHip>(front::controls(), operation, call, fault);
    assert_eq!((report.combinations, report.wrong_count), (1, 0), "{report}");
}

/// Checks a combination whose function not every version calls. Returns `true` if this version calls it.
#[track_caller]
fn holds_if_called(operation: &str, call: (&str, u32), fault: InjectedFault) -> bool {
    let report = one::<OnHip>(front::controls(), operation, call, fault);
    assert_eq!((report.combinations + report.not_met, report.wrong_count), (1, 0), "{report}");
    report.combinations == 1
}

/// If the runtime accepts the closure and then returns an error, it still runs the closure, which must
/// not be freed.
fn host_function_accepted_with_an_error_runs_once() {
    let has_newer = bare().launch_host_func.is_some();
    let function = if has_newer { "hipLaunchHostFunc" } else { "hipStreamAddCallback" };
    for code in [1, 719, 12_345] {
        holds("host function, ordinary", (function, 1), InjectedFault::PassThenAnswer(code));
        holds("pending: host function", (function, 1), InjectedFault::PassThenAnswer(code));
    }
}

fn state_changed_with_an_error_is_restored() {
    put_back(1);
}

fn failed_restore_is_repeated() {
    put_back(2);
}

/// Fails the call that changes the state (`occurrence` 1), or the one that restores it (2).
fn put_back(occurrence: u32) {
    let mut changed = false;
    for fault in [InjectedFault::Answer(1), InjectedFault::PassThenAnswer(1)] {
        let exchange = ("hipThreadExchangeStreamCaptureMode", occurrence);
        changed |= holds_if_called("query, ordinary", exchange, fault);
        changed |= holds_if_called("query, default", ("hipSetDevice", occurrence), fault);
    }
    if !changed {
        support::skip("with one device, and without capture modes, no state is changed");
    }
}

/// A failed check must not make a busy stream look idle: the destroy call would wait for its work.
fn drop_of_a_busy_stream_does_not_wait() {
    for function in ["hipStreamIsCapturing", "hipStreamQuery"] {
        let stream = support::own_stream();
        let gate = bare::gate(stream.raw().as_ptr());
        let controls = front::controls();
        controls.set(function, At::Always, Threads::All, InjectedFault::Answer(1));
        // A wait here would never end, because this thread opens the gate.
        drop(stream);
        controls.clear();
        gate.open();
    }
}

/// A failed check after the record must not make the record count as captured.
fn record_outside_of_captures_stays_one() {
    holds("record, plain, ordinary", ("hipStreamIsCapturing", 2), InjectedFault::Answer(1));
}

/// After a failed check, HIP's exit hook of the thread must still be registered before the one of the
/// crate.
fn per_thread_stream_exists() {
    holds("the thread's first call", ("hipStreamIsCapturing", 1), InjectedFault::Answer(1));
}

/// HIP 5.2 writes to the events of a capture when it ends, even to those that were destroyed.
fn captured_event_is_destroyed_last() {
    let controls = front::controls();
    let raw = bare::new_stream(0, 1, 0);
    let stream = support::wrap(raw);
    let event = stream.record_event().expect("a record");
    controls.watch(Threads::All);
    let capture = Capture::begin(raw, 0);
    stream.record(&event).expect("a record in a capture");
    drop(event);
    let destroyed = controls.seen().iter().filter(|call| *call == "hipEventDestroy").count();
    controls.clear();
    capture.end().expect("the end of the capture");
    let is_safe = bare::version() >= 50_500_000;
    assert_eq!(destroyed, usize::from(is_safe), "events destroyed before the capture's end");
}

fn fault_sweep() {
    let full = std::env::var("GPU_STREAM_FAULT_SWEEP").is_ok_and(|extent| extent == "full");
    let extent = if full { Extent::Full } else { Extent::Quick };
    let report = run::<OnHip>(front::controls(), extent);
    println!("{report}");
    assert_eq!(report.wrong_count, 0, "see above");
    assert!(report.combinations >= 2_000, "{} combinations", report.combinations);
}
