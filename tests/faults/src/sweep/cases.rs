//! The tests of a vendor: [`cases()`].

use gpu_stream_core::{Backend, Error, ErrorKind, Event, Stream};

use super::{Extent, FaultFixture, StateChange, children, hostile, one, run};
use crate::{At, InjectedFault, Threads};

/// A test: its name, and its function, which panics if it fails.
pub type Case = (&'static str, fn());

/// Returns the tests. Each needs a device, and runs alone.
pub fn cases<V: FaultFixture>() -> Vec<Case> {
    vec![
        (
            "host_function_accepted_with_an_error_runs_once",
            host_function_accepted_with_an_error_runs_once::<V>,
        ),
        ("state_changed_with_an_error_is_restored", || expect_restored::<V>(|state| state.change)),
        ("failed_restore_is_repeated", || expect_restored::<V>(|state| state.restore)),
        ("missing_function_is_named", children::missing_function_is_named::<V>),
        ("old_version_is_rejected_or_works", children::old_version_is_rejected_or_works::<V>),
        ("failed_start_is_explained", children::failed_start_is_explained::<V>),
        ("reused_handle_is_a_new_stream", children::reused_handle_is_a_new_stream::<V>),
        ("slow_call_blocks_no_other_stream", hostile::slow_call_blocks_no_other_stream::<V>),
        ("driver_after_its_shutdown", driver_after_its_shutdown::<V>),
        ("fault_sweep", fault_sweep::<V>),
    ]
}

/// Checks a combination of the sweep that was once wrong. `call` names the driver's function and its
/// occurrence in the operation.
///
/// # Panics
/// If the combination is wrong, or the operation does not make the call.
#[track_caller]
pub fn expect_combination<V: FaultFixture>(
    operation: &str,
    call: (&str, u32),
    fault: InjectedFault,
) {
    let report = one::<V>(operation, call, fault);
    assert_eq!((report.combinations, report.wrong_count), (1, 0), "{report}");
}

/// If the driver accepts the closure and then returns an error, it still runs the closure, which must
/// not be freed.
fn host_function_accepted_with_an_error_runs_once<V: FaultFixture>() {
    for code in [1, 201, 719, 12_345] {
        for operation in ["host function, ordinary", "pending: host function"] {
            let fault = InjectedFault::PassThenAnswer(code);
            expect_combination::<V>(operation, (V::host_func(), 1), fault);
        }
    }
}

/// Fails the call that changes the thread's state, or the one that restores it.
fn expect_restored<V: FaultFixture>(call: fn(&StateChange) -> (&'static str, u32)) {
    if V::STATE_CHANGES.is_empty() {
        V::skip("no call depends on the thread's state");
    }
    let mut met = 0;
    for state in V::STATE_CHANGES {
        for fault in [InjectedFault::Answer(1), InjectedFault::PassThenAnswer(1)] {
            let report = one::<V>(state.operation, call(state), fault);
            let counts = (report.combinations + report.not_met, report.wrong_count);
            assert_eq!(counts, (1, 0), "{report}");
            assert!(report.combinations == 1 || !state.is_certain, "{state:?} is not met");
            met += report.combinations;
        }
    }
    if met == 0 {
        V::skip("with one device, and without capture modes, no state is changed");
    }
}

/// All calls fail forever: each returns an error, and the process survives.
fn driver_after_its_shutdown<V: FaultFixture>() {
    let device = V::Backend::device(0).expect("device 0");
    let stream = V::Backend::new_stream(device, Default::default()).expect("a stream");
    // Recorded by another stream: a stream need not ask the driver to wait for itself.
    let other = V::Backend::new_stream(device, Default::default()).expect("another stream");
    let event = other.record_event().expect("a record");
    V::controls().set("*", At::Always, Threads::All, InjectedFault::Answer(4));
    let answers = [
        stream.query().map(drop),
        stream.synchronize(),
        stream.record(&event),
        stream.wait_event(&event),
        event.query().map(drop),
        stream.launch_host_func(Box::new(|| ())),
        stream.record_event().map(drop),
    ];
    drop((stream, other, event));
    V::controls().clear();
    for answer in answers {
        let error = answer.expect_err("nothing works");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Driver, Some(4)), "{error}");
    }
}

fn fault_sweep<V: FaultFixture>() {
    let full = std::env::var("GPU_STREAM_FAULT_SWEEP").is_ok_and(|extent| extent == "full");
    let report = run::<V>(if full { Extent::Full } else { Extent::Quick });
    println!("{report}");
    assert_eq!(report.wrong_count, 0, "see above");
    assert!(report.combinations >= 2_000, "{} combinations", report.combinations);
}
