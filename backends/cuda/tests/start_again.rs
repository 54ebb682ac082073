//! A driver that does not start at first: a temporary failure is not kept. Over the fake driver, each case
//! in a process of its own.

#[path = "support/fake.rs"]
#[allow(dead_code, reason = "this test needs no more of it")]
mod fake;

use std::process::ExitCode;
use std::sync::Barrier;

use gpu_stream_core::{Backend, Error, ErrorKind, Event, Stream, StreamOptions};
use gpu_stream_cuda::Cuda;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

const LIBRARY: &str = "GPU_STREAM_CUDA_LIBRARY";

type Case = (&'static str, fn());

const CASES: [Case; 5] = [
    ("failed_call_is_repeated", failed_call_is_repeated),
    ("device_added_later_is_found", device_added_later_is_found),
    ("library_installed_later_is_found", library_installed_later_is_found),
    ("threads_that_start_at_once_share_one_driver", threads_that_start_at_once_share_one_driver),
    ("failure_of_an_old_driver_is_kept", failure_of_an_old_driver_is_kept),
];

fn main() -> ExitCode {
    if let Ok(name) = std::env::var("GPU_STREAM_CUDA_CHILD") {
        CASES.iter().find(|(case, _)| *case == name).expect("a case").1();
        return ExitCode::SUCCESS;
    }
    let library = fake::compile(false);
    let trials = CASES.map(|(name, _)| {
        let library = library.clone();
        Trial::ignorable_test(name, move || match &library {
            Ok(library) => in_child(name, library.to_str().ok_or("the path is no text")?),
            Err(reason) => Ok(Completion::ignored_with(reason.clone())),
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

fn in_child(case: &str, library: &str) -> Result<Completion, Failed> {
    let output = fake::rerun(case, &[(LIBRARY, library)]);
    if output.status.success() {
        return Ok(Completion::Completed);
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
}

/// Checks that all calls work now.
fn expect_works() {
    let device = Cuda::device(0).expect("device 0");
    let stream = Cuda::new_stream(device, StreamOptions::new()).expect("new_stream");
    stream.record_event().and_then(|event| event.synchronize()).expect("a record");
}

#[track_caller]
fn expect_error(kind: ErrorKind, parts: &[&str]) {
    let error = Cuda::probe().expect_err("the driver does not start");
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
        ("cuDriverGetVersion", 3, ErrorKind::Driver, "CUDA_ERROR_NOT_INITIALIZED"),
        ("cuInit", 3, ErrorKind::Driver, "CUDA_ERROR_NOT_INITIALIZED"),
        ("cuInit", 2, ErrorKind::OutOfMemory, "CUDA_ERROR_OUT_OF_MEMORY"),
        ("cuInit", 802, ErrorKind::Driver, "CUDA_ERROR_SYSTEM_NOT_READY"),
        ("cuInit", 999, ErrorKind::Driver, "CUDA_ERROR_UNKNOWN"),
        ("cuDeviceGetCount", 3, ErrorKind::Driver, "CUDA_ERROR_NOT_INITIALIZED"),
        ("cuDeviceGet", 46, ErrorKind::Driver, "CUDA_ERROR_DEVICE_UNAVAILABLE"),
    ] {
        fake.fail(function, code);
        expect_error(kind, &[&library, function, name]);
        if function != "cuDriverGetVersion" {
            expect_error(kind, &["version 13.0"]);
        }
    }
    fake.work();
    expect_works();
    // The primary context is retained again, too.
    let device = Cuda::device(1).expect("device 1");
    fake.fail("cuDevicePrimaryCtxRetain", 2);
    let error = Cuda::default_stream(device).expect_err("there is no memory");
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    fake.work();
    Cuda::default_stream(device).expect("there is again");
}

fn device_added_later_is_found() {
    // SAFETY: no other thread is running.
    unsafe { std::env::set_var("FAKE_CUDA_DEVICES", "0") };
    for _ in 0..3 {
        expect_error(ErrorKind::NoDevice, &["CUDA_VISIBLE_DEVICES"]);
    }
    // SAFETY: no other thread is running.
    unsafe { std::env::set_var("FAKE_CUDA_DEVICES", "2") };
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

fn threads_that_start_at_once_share_one_driver() {
    let fake = fake::Fake::open();
    fake.fail("cuInit", 3);
    let barrier = Barrier::new(8);
    let start_all = || {
        std::thread::scope(|scope| {
            let start = || {
                barrier.wait();
                Cuda::devices().map(|devices| devices.len())
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        })
    };
    assert!(start_all().iter().all(Result::is_err));
    fake.work();
    fake.calls("");
    assert!(start_all().iter().all(|answer| matches!(answer, Ok(2))));
    assert_eq!(fake.calls("cuInit"), 1, "one thread starts the driver");
}

fn failure_of_an_old_driver_is_kept() {
    let fake = fake::Fake::open();
    // SAFETY: no other thread is running.
    unsafe { std::env::set_var("FAKE_CUDA_VERSION", "10020") };
    expect_error(ErrorKind::DriverTooOld, &["10.2"]);
    fake.calls("");
    expect_error(ErrorKind::DriverTooOld, &["10.2"]);
    assert_eq!(fake.calls("cuDriverGetVersion"), 0, "a loaded library gets no newer");
}
