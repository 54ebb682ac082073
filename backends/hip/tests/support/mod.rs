//! Shared by the tests on a device: a `main` that skips with a reason if there is no device, and the
//! runtime without the backend under test.
//!
//! The device is an AMD GPU if the machine has one, else the simulated one of `tests/hsa-sim`, under
//! which AMD's own runtime runs.

#![allow(dead_code, reason = "no test program uses all of it")]

pub mod bare;
pub mod capture;
pub mod fake;
pub mod operations;

use std::path::Path;
use std::process::ExitCode;

use gpu_stream_core::{Backend, Device, Error, ErrorKind, EventOptions, RawStream, StreamOptions};
use gpu_stream_hip::{Hip, HipError, HipEvent, HipStream};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// A test case: its name, and its function.
pub type Case = (&'static str, fn());

/// Runs the cases one after the other. A case fails by a panic. Without a device all are skipped, which is a
/// failure if `GPU_STREAM_REQUIRE` names hip.
pub fn main(cases: &[Case]) -> ExitCode {
    run(cases.iter().copied())
}

/// Runs each case as [`main`] does, but in a process of its own with freed memory filled.
pub fn main_in_children(cases: &'static [Case]) -> ExitCode {
    if run_as_child(cases) {
        return ExitCode::SUCCESS;
    }
    run(cases.iter().map(|&(name, _)| (name, move || run_child(name))))
}

fn run<F: FnOnce() + Send + 'static>(cases: impl Iterator<Item = (&'static str, F)>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    prepare();
    let missing = Hip::probe().err().map(|error| error.to_string());
    let required = required();
    let trials = cases.map(|(name, case)| {
        let missing = missing.clone();
        Trial::ignorable_test(name, move || match missing {
            None => {
                // A new thread, which has never called the runtime.
                let outcome = std::thread::Builder::new().name(name.into()).spawn(case)?.join();
                match outcome.map_err(|panic| panic.downcast::<Skipped>()) {
                    Ok(()) => Ok(Completion::Completed),
                    Err(Ok(skipped)) => Ok(Completion::ignored_with(skipped.0)),
                    Err(Err(_)) => Err(Failed::from("see the panic above")),
                }
            }
            Some(reason) if required => {
                Err(Failed::from(format!("skipped, but GPU_STREAM_REQUIRE names hip: {reason}")))
            }
            Some(reason) => Ok(Completion::ignored_with(reason)),
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// The panic payload of [`skip`].
struct Skipped(String);

/// Ends a case that cannot run here. It counts as ignored, and the reason is printed.
pub fn skip(reason: &str) -> ! {
    std::panic::resume_unwind(Box::new(Skipped(reason.into())))
}

/// Skips the case if there is only one device.
pub fn need_two_devices() {
    if devices() < 2 {
        skip("there is one device");
    }
}

/// Loads the simulated devices if there is no AMD GPU. Must be called while the process has one thread.
pub fn prepare() {
    let set = |name: &str, value: &str| {
        if std::env::var_os(name).is_none() {
            // SAFETY: no other thread is running yet.
            unsafe { std::env::set_var(name, value) };
        }
    };
    // Streams that share a hardware queue also block each other.
    set("GPU_MAX_HW_QUEUES", "32");
    set("HSA_SIM_GPUS", "2");
    // The device node of AMD's kernel driver.
    if !Path::new("/dev/kfd").exists()
        && let Err(reason) = hsa_sim::preload()
    {
        eprintln!("note: no AMD GPU, and no simulation of one: {reason}");
    }
}

/// Runs the case that `GPU_STREAM_HIP_CHILD` names, in a child process. Returns `false` if it names
/// none.
pub fn run_as_child(cases: &[Case]) -> bool {
    let Ok(name) = std::env::var("GPU_STREAM_HIP_CHILD") else { return false };
    prepare();
    // Starts the runtime on the main thread. Otherwise HIP 6.4 crashes at process exit.
    Hip::probe().expect("a device");
    let case = cases.iter().find(|(case, _)| *case == name).expect("a case");
    if let Err(panic) = std::panic::catch_unwind(case.1) {
        let Ok(skipped) = panic.downcast::<Skipped>() else { std::process::exit(1) };
        eprint!("{}", skipped.0);
        std::process::exit(SKIPPED);
    }
    true
}

/// The exit code of a child process that skips its case.
const SKIPPED: i32 = 77;

/// Runs this program again as `child`, with freed memory filled, so that a use after free does not find
/// a valid pointer. Panics if the child fails.
#[track_caller]
pub fn run_child(child: &str) {
    let output = hsa_sim::this_program()
        .expect("this program")
        .env("GPU_STREAM_HIP_CHILD", child)
        .env("GLIBC_TUNABLES", "glibc.malloc.perturb=165")
        .output()
        .expect("this program runs a second time");
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(SKIPPED) {
        skip(&errors);
    }
    assert!(output.status.success(), "{child}: {}\n{errors}", output.status);
}

/// Reuses freed heap memory, so that a freed object does not look alive by chance.
pub fn churn(blocks: usize) {
    let size = |index: usize| 64 + index * 5 % 2_048;
    let blocks: Vec<Vec<u8>> = (0..blocks).map(|index| vec![0xEE; size(index)]).collect();
    std::hint::black_box(&blocks);
}

/// Returns `true` if this runtime has interprocess events: only HIP's NVIDIA platform does.
pub fn has_interprocess() -> bool {
    bare::version() < 1_000_000
}

/// Returns the number of devices.
pub fn devices() -> i32 {
    Hip::devices().expect("devices").len() as i32
}

/// Returns `true` if `GPU_STREAM_REQUIRE` names hip.
pub fn required() -> bool {
    let required = std::env::var("GPU_STREAM_REQUIRE").unwrap_or_default();
    required.split(',').any(|item| item.trim().split(':').next() == Some("hip"))
}

/// Returns the first device.
pub fn device() -> Device {
    Hip::device(0).expect("device 0")
}

/// Creates a stream on the first device.
#[track_caller]
pub fn own_stream() -> HipStream {
    Hip::new_stream(device(), StreamOptions::new()).expect("a stream")
}

/// Creates an event on the first device.
#[track_caller]
pub fn own_event(options: EventOptions) -> HipEvent {
    Hip::new_event(device(), options).expect("an event")
}

/// Wraps a stream that the tests do not destroy before the wrapper.
pub fn wrap(stream: bare::Ptr) -> HipStream {
    // SAFETY: the tests' streams are alive until the process ends.
    unsafe { Hip::stream_from_raw(RawStream::from_ptr(stream), None) }.expect("wrapping a stream")
}

/// Checks that `result` is an error of this kind. Returns its text.
#[track_caller]
pub fn expect_kind<T>(what: &str, result: Result<T, HipError>, kind: ErrorKind) -> String {
    match result {
        Ok(_) => panic!("{what} succeeded, but should be rejected with {kind}"),
        Err(error) => {
            assert_eq!(error.kind(), kind, "{what}: {error}");
            error.to_string()
        }
    }
}
