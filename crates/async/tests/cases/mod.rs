//! What the tests of all backends check, beyond the rules W1 to W5. Those are cases of the conformance suite.

#![allow(dead_code, reason = "no test program uses all of it")]

pub mod executors;
pub mod many;
pub mod owners;
pub mod polls;
pub mod support;
pub mod values;

use std::mem::ManuallyDrop;
use std::panic::UnwindSafe;
use std::process::ExitCode;
use std::sync::Arc;

use gpu_stream_conformance::{Fixture, Outcome};
use gpu_stream_test_support::{Children, expect_success, run, run_to_exit, skip};

/// A case on a fixture.
pub type Case<F> = (&'static str, fn(&F) -> Outcome);

/// All cases that every backend runs.
pub fn all<F: Fixture>() -> Vec<Case<F>> {
    vec![
        ("idle_stream_is_ready_at_once", polls::idle_stream_is_ready_at_once),
        ("resolved_future_returns_an_error", polls::resolved_future_returns_an_error),
        ("waker_that_panics_loses_no_other", polls::waker_that_panics_loses_no_other),
        ("waker_that_awaits", polls::waker_that_awaits),
        ("waker_that_polls_needs_few_threads", polls::waker_that_polls_needs_few_threads),
        ("waker_that_waits_for_a_future", polls::waker_that_waits_for_a_future),
        ("waker_that_blocks_is_left_behind", polls::waker_that_blocks_is_left_behind),
        ("waker_that_blocks_is_left_by_a_poll", polls::waker_that_blocks_is_left_by_a_poll),
        ("dropped_at_every_point", values::dropped_at_every_point),
        ("value_comes_back", values::value_comes_back),
        ("value_outlives_a_dropped_future", values::value_outlives_a_dropped_future),
        ("destructor_may_panic_and_must_not_wait", values::destructor_may_panic_and_must_not_wait),
        ("value_behind_a_fault", values::value_behind_a_fault),
        ("owner_of_a_dropped_future", owners::owner_of_a_dropped_future),
        ("thousand_in_flight", many::thousand_in_flight),
        ("futures_executor", executors::futures_executor),
        ("tokio_on_one_and_on_four_threads", executors::tokio),
        ("smol", executors::smol),
    ]
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
