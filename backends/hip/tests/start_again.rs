//! A runtime that does not start at first. A failure that can be temporary is not kept. Over AMD's own
//! runtime, behind a layer that fails on demand.

mod support;

use std::process::ExitCode;

use gpu_stream_test_support::shared_cases;
use support::OnHip;

fn main() -> ExitCode {
    let cases = shared_cases![OnHip, start_again:
        failed_call_is_repeated,
        device_added_later_is_found,
        library_installed_later_is_found,
        threads_that_start_at_once_start_one_driver,
        failure_of_an_old_driver_is_kept
    ];
    support::main_behind_layer(&cases, &[])
}
