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

use gpu_stream_core::{Backend as _, Stream as _};
use gpu_stream_faults::sweep::{Extent, one, run};
use gpu_stream_faults::{At, InjectedFault, Threads};
use gpu_stream_hip::Hip;
use support::bare::{self, bare};
use support::capture::Capture;
use vendor::OnHip;

fn main() -> ExitCode {
    if hostile::run_as_child() {
        return ExitCode::SUCCESS;
    }
    front::use_layer("fault_sweep", &[]);
    support::main(&[
        ("a_function_that_was_taken_with_an_error", a_function_that_was_taken_with_an_error),
        ("what_was_changed_with_an_error_is_put_back", what_was_changed_with_an_error_is_put_back),
        ("what_could_not_be_put_back_is_once_more", what_could_not_be_put_back_is_once_more),
        ("a_drop_does_not_wait", a_drop_does_not_wait),
        ("a_record_outside_of_captures_stays_one", a_record_outside_of_captures_stays_one),
        ("the_thread_s_stream_is_there", the_thread_s_stream_is_there),
        ("an_event_goes_before_its_capture", an_event_goes_before_its_capture),
        ("a_missing_function_is_named", hostile::a_missing_function_is_named),
        ("an_old_runtime_is_refused", hostile::an_old_runtime_is_refused),
        ("a_runtime_that_does_not_start_says_why", hostile::a_runtime_that_does_not_start_says_why),
        (
            "a_handle_that_is_used_again_is_a_new_one",
            hostile::a_handle_that_is_used_again_is_a_new_one,
        ),
        ("a_slow_call_holds_up_no_other_stream", hostile::a_slow_call_holds_up_no_other_stream),
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

/// As [`holds`], for a call that not every version needs. Whether this one does.
#[track_caller]
fn holds_if_called(operation: &str, call: (&str, u32), fault: InjectedFault) -> bool {
    let report = one::<OnHip>(front::controls(), operation, call, fault);
    assert_eq!((report.combinations + report.not_met, report.wrong_count), (1, 0), "{report}");
    report.combinations == 1
}

/// The runtime ran a closure that had been freed.
fn a_function_that_was_taken_with_an_error() {
    let has_newer = bare().launch_host_func.is_some();
    let function = if has_newer { "hipLaunchHostFunc" } else { "hipStreamAddCallback" };
    for code in [1, 719, 12_345] {
        holds("host function, ordinary", (function, 1), InjectedFault::PassThenAnswer(code));
        holds("pending: host function", (function, 1), InjectedFault::PassThenAnswer(code));
    }
}

fn what_was_changed_with_an_error_is_put_back() {
    put_back(1);
}

fn what_could_not_be_put_back_is_once_more() {
    put_back(2);
}

/// With the call that changes something, or with the one that puts it back.
fn put_back(occurrence: u32) {
    let mut changed = false;
    for fault in [InjectedFault::Answer(1), InjectedFault::PassThenAnswer(1)] {
        let exchange = ("hipThreadExchangeStreamCaptureMode", occurrence);
        changed |= holds_if_called("query, ordinary", exchange, fault);
        changed |= holds_if_called("query, default", ("hipSetDevice", occurrence), fault);
    }
    if !changed {
        support::skip("with one device, and without modes, nothing is changed");
    }
}

/// A busy stream of which the runtime did not say so was destroyed at once, which waits for it.
fn a_drop_does_not_wait() {
    for function in ["hipStreamIsCapturing", "hipStreamQuery"] {
        let stream = Hip::new_stream(support::device(), Default::default()).expect("a stream");
        let gate = bare::gate(stream.raw().as_ptr());
        let controls = front::controls();
        controls.set(function, At::Always, Threads::All, InjectedFault::Answer(1));
        // Would wait for the gate, which this thread opens.
        drop(stream);
        controls.clear();
        gate.open();
    }
}

/// It was taken for one in a capture, if the look behind it failed.
fn a_record_outside_of_captures_stays_one() {
    holds("record, plain, ordinary", ("hipStreamIsCapturing", 2), InjectedFault::Answer(1));
}

/// HIP's function for the end of the thread was not registered, and then is called after ours.
fn the_thread_s_stream_is_there() {
    holds("the thread's first call", ("hipStreamIsCapturing", 1), InjectedFault::Answer(1));
}

/// The end of a capture in HIP 5.2 writes to the events that were recorded in it, also to those that
/// were destroyed.
fn an_event_goes_before_its_capture() {
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
    let may = bare::version() >= 50_500_000;
    assert_eq!(destroyed, usize::from(may), "events that were destroyed before the capture's end");
}

fn fault_sweep() {
    let full = std::env::var("GPU_STREAM_FAULT_SWEEP").is_ok_and(|extent| extent == "full");
    let extent = if full { Extent::Full } else { Extent::Quick };
    let report = run::<OnHip>(front::controls(), extent);
    println!("{report}");
    assert_eq!(report.wrong_count, 0, "see above");
    assert!(report.combinations >= 2_000, "{} combinations", report.combinations);
}
