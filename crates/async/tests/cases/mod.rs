//! What the tests of all backends check. Each case names the rule of `docs/async.md` that it checks.

#![allow(dead_code, reason = "no test program uses all of it")]

pub mod executors;
pub mod failures;
pub mod many;
pub mod order;
pub mod owners;
pub mod support;
pub mod values;

use std::mem::ManuallyDrop;
use std::panic::UnwindSafe;
use std::process::ExitCode;
use std::sync::Arc;

use gpu_stream_conformance::{Fixture, Outcome};
use gpu_stream_test_support::{Children, expect_success, run, run_to_exit, skip};
use support::{Awaiter, Ours};

/// A case on a fixture.
pub type Case<F> = (&'static str, fn(&F) -> Outcome);

/// The cases of rules W1 to W5, with the future under test. [`Ours`], or one that breaks a rule.
pub fn of_rules<F: Fixture, A: Awaiter>() -> Vec<Case<F>> {
    vec![
        ("w1_pending_until_the_work_is_done", order::pending_until_the_work_is_done::<F, A>),
        ("w1_later_work_is_not_waited_for", order::later_work_is_not_waited_for::<F, A>),
        ("w2_task_is_woken", order::task_is_woken::<F, A>),
        ("w2_latest_waker_is_woken", order::latest_waker_is_woken::<F, A>),
        ("w3_fault_is_an_error", failures::fault_is_an_error::<F, A>),
        ("w4_blocking_waker_holds_no_stream", order::blocking_waker_holds_no_stream::<F, A>),
        ("w5_captured_stream_is_refused", order::captured_stream_is_refused::<F, A>),
        (
            "w5_capture_that_has_the_record_is_refused",
            order::capture_that_has_the_record_is_refused::<F, A>,
        ),
    ]
}

/// All cases that every backend runs.
pub fn all<F: Fixture>() -> Vec<Case<F>> {
    let mut cases = of_rules::<F, Ours>();
    cases.extend::<[Case<F>; 19]>([
        ("idle_stream_is_ready_at_once", order::idle_stream_is_ready_at_once),
        ("per_thread_stream", order::per_thread_stream),
        ("capture_of_another_thread_lives", order::capture_of_another_thread_lives),
        ("capture_that_begins_later_is_outlasted", order::capture_that_begins_later_is_outlasted),
        ("capture_within_the_call_is_an_error", order::capture_within_the_call_is_an_error),
        ("resolved_future_returns_an_error", failures::resolved_future_returns_an_error),
        ("waker_that_panics_loses_no_other", failures::waker_that_panics_loses_no_other),
        ("waker_that_awaits", failures::waker_that_awaits),
        ("dropped_at_every_point", values::dropped_at_every_point),
        ("value_comes_back", values::value_comes_back),
        ("value_outlives_a_dropped_future", values::value_outlives_a_dropped_future),
        ("destructor_may_panic_and_must_not_wait", values::destructor_may_panic_and_must_not_wait),
        ("value_behind_a_fault", values::value_behind_a_fault),
        ("owner_of_a_dropped_future", owners::owner_of_a_dropped_future),
        ("thousand_in_flight", many::thousand_in_flight),
        ("no_wake_up_is_lost", many::no_wake_up_is_lost),
        ("futures_executor", executors::futures_executor),
        ("tokio_on_one_and_on_four_threads", executors::tokio),
        ("smol", executors::smol),
    ]);
    cases
}

const CHILDREN: Children =
    Children { variable: "GPU_STREAM_AWAIT_CASE", program: hsa_sim::this_program };

/// Runs the case of a child process and ends it. Returns if this is not one.
pub fn run_child<F: Fixture>(
    alone: &[Case<F>],
    fixture: impl FnOnce() -> Result<F, String> + UnwindSafe,
) {
    if let Some(case) = CHILDREN.case(alone) {
        run_to_exit(|| match fixture() {
            // Not dropped: its context may be gone.
            Ok(fixture) => expect_pass(case(&ManuallyDrop::new(fixture))),
            Err(reason) => panic!("{reason}"),
        });
        std::process::exit(0);
    }
}

/// Runs the cases on a fixture, and those of `alone` in processes of their own.
pub fn main<F: Fixture>(
    fixture: Result<F, String>,
    cases: Vec<Case<F>>,
    alone: &'static [Case<F>],
) -> ExitCode {
    type Trial = Box<dyn FnOnce() + Send>;
    let fixture = Arc::new(fixture);
    let is_alone = |name| alone.iter().any(|(other, _)| *other == name);
    let cases = cases.into_iter().filter(|(name, _)| !is_alone(*name)).map(|(name, case)| {
        let fixture = Arc::clone(&fixture);
        let trial: Trial = Box::new(move || match &*fixture {
            Ok(fixture) => expect_pass(case(fixture)),
            Err(reason) => panic!("there is a backend and no fixture: {reason}"),
        });
        (name, trial)
    });
    let alone = alone.iter().map(|&(name, _)| {
        let trial: Trial = Box::new(move || {
            expect_success(name, &CHILDREN.command(name).output().expect("this program runs"));
        });
        (name, trial)
    });
    run::<F::Backend, _>(cases.chain(alone))
}

/// Panics if the case failed, and skips it if it was skipped.
pub fn expect_pass(outcome: Outcome) {
    match outcome {
        Ok(()) => {}
        Err(verdict) if verdict.is_failed() => panic!("{}", verdict.reason()),
        Err(verdict) => skip(verdict.reason()),
    }
}
