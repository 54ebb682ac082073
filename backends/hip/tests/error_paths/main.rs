//! Every call over a runtime that fails on demand. The thread is restored whichever runtime function
//! fails, nothing leaks, and the checks before a query are made.
//!
//! The runtime is the one of `tests/fake`. It needs no GPU, and shows nothing about one.

mod captures;
mod costs;
mod failures;
mod lifetimes;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use gpu_stream_test_support::cases;
use libtest_mimic::Arguments;

use captures::*;
use costs::*;
use failures::*;
use lifetimes::*;
use support::fake;

const CASES: [fake::Case; 13] = cases![
    every_call_succeeds,
    every_function_fails,
    captures_survive,
    capture_that_begins_after_the_check_is_noticed,
    captured_events_stay_intact_until_the_capture_ends,
    events_return_to_the_pool,
    runtime_calls_of_frequent_operations,
    destroyed_streams_are_not_used,
    event_query_keeps_the_stream_alive,
    busy_streams_are_destroyed_once_idle,
    unknown_codes_are_reported,
    callers_last_error_is_preserved,
    every_call_returns_the_fault
];

/// The versions of the fake. They differ in the last error (replaced by every call, or kept) and in the
/// calls that are unsafe beside captures (none, some, more). On the NVIDIA platform and in an untested
/// version all such calls are unsafe.
const VERSIONS: [fake::Version; 5] = [
    fake::Version { title: "5", number: "50731921" },
    fake::Version { title: "6", number: "60443484" },
    fake::Version { title: "7", number: "70253211" },
    fake::Version { title: "on_cuda", number: "12090" },
    fake::Version { title: "new", number: "90000000" },
];

/// Additional cases for HIP 5.2, which has more ways to lose an event of a capture.
const CASES_OF_5_2: [fake::Case; 1] = cases![captured_events_stay_intact_until_the_capture_ends];
const VERSION_5_2: fake::Version = fake::Version { title: "5_2", number: "50221153" };

fn main() -> ExitCode {
    if fake::run_as_child(&CASES) {
        return ExitCode::SUCCESS;
    }
    let library = fake::compile(false);
    let all = VERSIONS.into_iter().flat_map(|version| fake::trials(&CASES, version, &library));
    let trials = all.chain(fake::trials(&CASES_OF_5_2, VERSION_5_2, &library)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
