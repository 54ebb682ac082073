//! What calls leave behind, in the thread, in captures and in the runtime, and the calls that they make. Failing
//! calls are the subject of `fault_sweep`.
//!
//! The runtime is AMD's own, behind a layer that fails, blocks and counts calls.

mod captures;
mod costs;
mod lifetimes;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use gpu_stream_faults::built;
use gpu_stream_test_support::shared::pool::{
    events_return_to_the_pool, unknown_codes_are_reported,
};
use gpu_stream_test_support::{
    Vendor, cases, completion, over, run_to_exit, run_trials, trials_over_faults,
};
use libtest_mimic::Trial;

use captures::*;
use costs::*;
use lifetimes::*;
use support::{Case, OnHip, VERSIONS};

/// Cases that depend on how the real library treats captures and destroyed streams.
const CASES: [Case; 10] = cases![
    runtime_takes_an_event_of_a_past_capture_for_complete,
    capture_that_begins_during_a_record_is_noticed,
    event_is_destroyed_before_its_stream,
    wait_for_a_captured_event_is_noticed_in_time,
    every_call_succeeds,
    captured_events_stay_intact_until_the_capture_ends,
    destroyed_streams_are_not_used,
    event_query_keeps_the_stream_alive,
    busy_streams_are_destroyed_once_idle,
    streams_are_destroyed_once_the_runtime_can_tell
];

/// Cases that depend only on the version that the layer presents.
const OF_EACH_VERSION: [Case; 6] = [
    ("runtime_calls_of_frequent_operations", runtime_calls_of_frequent_operations),
    ("runtime_calls_of_side_streams", runtime_calls_of_side_streams),
    ("callers_last_error_is_preserved", callers_last_error_is_preserved),
    ("wait_for_a_captured_stream_is_noticed", wait_for_a_captured_stream_is_noticed),
    ("events_return_to_the_pool", events_return_to_the_pool::<OnHip>),
    ("unknown_codes_are_reported", unknown_codes_are_reported::<OnHip>),
];

const NOT_SUPPORTED: Case =
    ("optional_function_is_not_supported", optional_function_is_not_supported);

fn main() -> ExitCode {
    support::prepare();
    let all = [&CASES[..], &OF_EACH_VERSION, &[NOT_SUPPORTED]].concat();
    if let Some(case) = OnHip::CHILDREN.case(&all) {
        run_to_exit(case);
        return ExitCode::SUCCESS;
    }
    let mut trials = trials_over_faults::<OnHip>(&CASES, &[]);
    trials.extend(trials_over_faults::<OnHip>(&OF_EACH_VERSION, &support::playable(&VERSIONS)));
    // The layer itself has the functions that this runtime lacks.
    trials.push(Trial::ignorable_test(NOT_SUPPORTED.0, || {
        let mut command = over::<OnHip>(NOT_SUPPORTED.0, &built("libhip_faults.so")?);
        completion(&command.env("HIP_FAULTS_VERSION", "70300000").output()?)
    }));
    run_trials(trials)
}
