//! Shared by the tests on a GPU: a `main` that uses the simulated driver on a machine without one, and the
//! driver without the backend under test.

#![allow(dead_code, reason = "no test uses all of it")]

pub mod bare;
pub mod capture;
pub mod child;
pub mod fake;
pub mod operations;

use std::process::ExitCode;

use gpu_stream_core::{Backend, Device, Error, ErrorKind, RawStream};
use gpu_stream_cuda::{Cuda, CudaError, CudaStream};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

pub type Case = (&'static str, fn());

/// Runs the cases one after the other. A case fails by a panic. Without a driver, they run over the
/// simulated one. Without a device all are skipped, which is a failure if `GPU_STREAM_REQUIRE` names cuda.
pub fn main(cases: &[Case]) -> ExitCode {
    if driver_sim::no_driver_here() {
        // SAFETY: no other thread is running yet.
        match unsafe { driver_sim::install(1) } {
            Ok(()) => eprintln!("note: no CUDA driver; these tests run over a simulated one"),
            Err(reason) => eprintln!("note: no CUDA driver, and no simulated one: {reason}"),
        }
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let missing = Cuda::probe().err().map(|error| error.to_string());
    let required = std::env::var("GPU_STREAM_REQUIRE").unwrap_or_default();
    let required = required.split(',').any(|item| item.trim().split(':').next() == Some("cuda"));
    let trials = cases.iter().map(|&(name, case)| {
        let missing = missing.clone();
        Trial::ignorable_test(name, move || match missing {
            None => {
                // A thread that has never called the driver.
                let end = std::thread::Builder::new().name(name.into()).spawn(case)?.join();
                end.map(|()| Completion::Completed).map_err(|_| Failed::from("see the panic above"))
            }
            Some(reason) if required => Err(Failed::from(format!(
                "skipped, and GPU_STREAM_REQUIRE says that cuda must not skip: {reason}"
            ))),
            Some(reason) => Ok(Completion::ignored_with(reason)),
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Returns `true` if the tests run over the simulated driver.
pub fn is_simulated() -> bool {
    driver_sim::is_loaded()
}

/// Returns `GPU_STREAM_ROUNDS`, or a number that takes about a second.
pub fn rounds() -> u32 {
    let rounds = std::env::var("GPU_STREAM_ROUNDS").ok();
    let usual = if is_simulated() { 200 } else { 2_000 };
    rounds.map_or(usual, |text| text.parse().expect("GPU_STREAM_ROUNDS is a number"))
}

/// Returns the first device.
pub fn device() -> Device {
    Cuda::device(0).expect("device 0")
}

/// Wraps a stream that the tests do not destroy before the wrapper.
pub fn wrap(stream: bare::Ptr) -> CudaStream {
    // SAFETY: the tests' streams are alive until the process ends.
    unsafe { Cuda::stream_from_raw(RawStream::from_ptr(stream), None) }.expect("wrapping a stream")
}

#[track_caller]
pub fn expect_kind<T>(what: &str, result: Result<T, CudaError>, kind: ErrorKind) -> String {
    match result {
        Ok(_) => panic!("{what} succeeded, and should fail with {kind}"),
        Err(error) => {
            assert_eq!(error.kind(), kind, "{what}: {error}");
            error.to_string()
        }
    }
}
