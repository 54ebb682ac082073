//! A runtime that does not start at first. A failure that can be temporary is not kept. Over the fake
//! runtime, each case in a process of its own.

#[path = "support/fake.rs"]
#[allow(dead_code, reason = "this test needs only part of it")]
mod fake;

use std::process::ExitCode;
use std::sync::Barrier;

use gpu_stream_core::{Backend, Error, ErrorKind, Event, Stream, StreamOptions};
use gpu_stream_hip::Hip;
use gpu_stream_test_support::{Case, cases};
use libtest_mimic::{Arguments, Trial};

const LIBRARY: &str = "GPU_STREAM_HIP_LIBRARY";

const CASES: [Case; 6] = cases![
    failed_call_is_repeated,
    device_added_later_is_found,
    library_installed_later_is_found,
    threads_that_start_at_once_start_one_runtime,
    failure_of_an_old_runtime_is_kept,
    runtime_of_another_vendor_is_rejected
];

fn main() -> ExitCode {
    if let Some(case) = fake::CHILDREN.case(&CASES) {
        case();
        return ExitCode::SUCCESS;
    }
    let library = fake::compile(false);
    let trials = CASES.map(|(name, _)| {
        let library = library.clone();
        Trial::ignorable_test(name, move || fake::in_child(name, &library, &[]))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

/// Checks that the runtime starts, and that a record works.
fn expect_works() {
    let device = Hip::device(0).expect("device 0");
    let stream = Hip::new_stream(device, StreamOptions::new()).expect("new_stream");
    stream.record_event().and_then(|event| event.synchronize()).expect("a record");
}

/// Checks that the runtime does not start: the kind, and the `parts` of the text.
#[track_caller]
fn expect_error(kind: ErrorKind, parts: &[&str]) {
    let error = Hip::probe().expect_err("the runtime does not start");
    assert_eq!(error.kind(), kind, "{error}");
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "the text names {part}: {text}");
    }
}

fn failed_call_is_repeated() {
    let library = std::env::var(LIBRARY).unwrap();
    let fake = fake::Fake::open();
    for (function, code, kind, name) in [
        ("hipRuntimeGetVersion", 3, ErrorKind::Driver, "hipErrorNotInitialized"),
        ("hipInit", 3, ErrorKind::Driver, "hipErrorNotInitialized"),
        ("hipInit", 2, ErrorKind::OutOfMemory, "hipErrorOutOfMemory"),
        ("hipInit", 999, ErrorKind::Driver, "hipErrorUnknown"),
        ("hipGetDeviceCount", 3, ErrorKind::Driver, "hipErrorNotInitialized"),
        ("hipDeviceGet", 999, ErrorKind::Driver, "hipErrorUnknown"),
    ] {
        fake.fail(function, code);
        expect_error(kind, &[&library, function, name]);
        if function != "hipRuntimeGetVersion" {
            expect_error(kind, &["version 7.2"]);
        }
    }
    for function in ["hipRuntimeGetVersion", "hipInit", "hipGetDeviceCount"] {
        for code in [100, 101] {
            fake.fail(function, code);
            expect_error(ErrorKind::NoDevice, &[&library]);
        }
    }
    fake.work();
    expect_works();
}

fn device_added_later_is_found() {
    // SAFETY: no other thread is running.
    unsafe { std::env::set_var("FAKE_HIP_DEVICES", "0") };
    for _ in 0..3 {
        expect_error(ErrorKind::NoDevice, &["HIP_VISIBLE_DEVICES"]);
    }
    // SAFETY: no other thread is running.
    unsafe { std::env::set_var("FAKE_HIP_DEVICES", "2") };
    expect_works();
}

fn library_installed_later_is_found() {
    let library = std::env::var(LIBRARY).unwrap();
    let later = format!("{library}.later.so");
    let _ = std::fs::remove_file(&later);
    // SAFETY: no other thread is running.
    unsafe { std::env::set_var(LIBRARY, &later) };
    expect_error(ErrorKind::LibraryNotFound, &[&later]);
    std::fs::copy(&library, &later).unwrap();
    expect_works();
    std::fs::remove_file(&later).unwrap();
}

fn threads_that_start_at_once_start_one_runtime() {
    let fake = fake::Fake::open();
    fake.fail("hipInit", 3);
    let barrier = Barrier::new(8);
    let start_all = || {
        std::thread::scope(|scope| {
            let start = || {
                barrier.wait();
                Hip::devices().map(|devices| devices.len())
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        })
    };
    assert!(start_all().iter().all(Result::is_err));
    fake.work();
    fake.calls("");
    assert!(start_all().iter().all(|answer| matches!(answer, Ok(2))));
    assert_eq!(fake.calls("hipInit"), 1, "one thread starts the runtime");
}

fn failure_of_an_old_runtime_is_kept() {
    let fake = fake::Fake::open();
    // SAFETY: no other thread is running.
    unsafe { std::env::set_var("FAKE_HIP_VERSION", "40421401") };
    expect_error(ErrorKind::DriverTooOld, &["4.4.21401"]);
    fake.calls("");
    expect_error(ErrorKind::DriverTooOld, &["4.4.21401"]);
    let calls = fake.calls("hipRuntimeGetVersion");
    assert_eq!(calls, 0, "the version of a loaded library cannot change");
}

fn runtime_of_another_vendor_is_rejected() {
    let library = std::env::var(LIBRARY).unwrap();
    // SAFETY: no other thread is running.
    unsafe { std::env::set_var("FAKE_HIP_VERSION", "10100000") };
    expect_error(ErrorKind::Unsupported, &[&library, "is not AMD's: it numbers itself 1.1.0"]);
}
