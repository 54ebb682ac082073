//! A driver that does not start at first. A temporary failure is not kept. Over the simulated driver.

mod support;

use std::process::ExitCode;

use gpu_stream_core::{Backend, Error, ErrorKind};
use gpu_stream_cuda::Cuda;
use gpu_stream_faults::{At, InjectedFault, Threads};
use gpu_stream_test_support::{Vendor, main_over_faults, shared_cases};
use support::OnCuda;

fn main() -> ExitCode {
    let shared = shared_cases![OnCuda, start_again:
        failed_call_is_repeated,
        device_added_later_is_found,
        library_installed_later_is_found,
        threads_that_start_at_once_start_one_driver,
        failure_of_an_old_driver_is_kept
    ];
    let retained: support::Case =
        ("primary_context_is_retained_again", primary_context_is_retained_again);
    main_over_faults::<OnCuda>(&[&shared[..], &[retained]].concat(), &[])
}

fn primary_context_is_retained_again() {
    let controls = OnCuda::controls();
    let retain = ("cuDevicePrimaryCtxRetain", InjectedFault::Answer(2));
    controls.set(retain.0, At::Always, Threads::All, retain.1);
    let error = Cuda::default_stream(support::device()).expect_err("there is no memory");
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    controls.clear();
    Cuda::default_stream(support::device()).expect("there is again");
}
