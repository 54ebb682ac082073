//! What the tests on a device share: a `main` that skips with a reason where there is none, and the
//! runtime without the backend under test.
//!
//! The device is a GPU of AMD's if the machine has one, else the simulated one of `tests/hsa-sim`,
//! under which AMD's own runtime runs.

#![allow(dead_code, reason = "no test uses all of it")]

pub mod bare;
pub mod capture;
pub mod fake;
pub mod operations;

use std::path::Path;
use std::process::ExitCode;

use gpu_stream_core::{Backend, Device, Error, ErrorKind, RawStream};
use gpu_stream_hip::{Hip, HipError, HipStream};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

pub type Case = (&'static str, fn());

/// Runs the cases one after the other; each fails by a panic. Without a device all are skipped,
/// which is a failure if `GPU_STREAM_REQUIRE` names hip.
pub fn main(cases: &[Case]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    prepare();
    let missing = Hip::probe().err().map(|error| error.to_string());
    let required = required();
    let trials = cases.iter().map(|&(name, case)| {
        let missing = missing.clone();
        Trial::ignorable_test(name, move || match missing {
            None => {
                // A thread that has never called the runtime.
                let end = std::thread::Builder::new().name(name.into()).spawn(case)?.join();
                match end.map_err(|panic| panic.downcast::<Skipped>()) {
                    Ok(()) => Ok(Completion::Completed),
                    Err(Ok(skipped)) => Ok(Completion::ignored_with(skipped.0)),
                    Err(Err(_)) => Err(Failed::from("see the panic above")),
                }
            }
            Some(reason) if required => Err(Failed::from(format!(
                "skipped, and GPU_STREAM_REQUIRE says that hip must not skip: {reason}"
            ))),
            Some(reason) => Ok(Completion::ignored_with(reason)),
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

struct Skipped(String);

/// Ends a case that cannot be run here. It is counted and its reason printed.
pub fn skip(reason: &str) -> ! {
    std::panic::resume_unwind(Box::new(Skipped(reason.into())))
}

/// Ends a case that needs two devices, where there is one.
pub fn need_two_devices() {
    if devices() < 2 {
        skip("there is one device");
    }
}

/// Brings the simulated devices where there is no GPU of AMD's. Called while the process has one
/// thread.
pub fn prepare() {
    let set = |name: &str, value: &str| {
        if std::env::var_os(name).is_none() {
            // SAFETY: no other thread is running yet.
            unsafe { std::env::set_var(name, value) };
        }
    };
    // A stream that is held back holds back those that share its queue.
    set("GPU_MAX_HW_QUEUES", "32");
    set("HSA_SIM_GPUS", "2");
    // AMD's kernel driver.
    if !Path::new("/dev/kfd").exists()
        && let Err(reason) = hsa_sim::preload()
    {
        eprintln!("note: no AMD GPU, and no simulation of one: {reason}");
    }
}

/// In a process of its own: runs the case that the variable names, if one is.
pub fn run_as_child(cases: &[Case]) -> bool {
    let Ok(name) = std::env::var("GPU_STREAM_HIP_CHILD") else { return false };
    prepare();
    // On the main thread: else HIP 6.4 crashes at the end of the process.
    Hip::probe().expect("a device");
    let case = cases.iter().find(|(case, _)| *case == name).expect("a case");
    if let Err(panic) = std::panic::catch_unwind(case.1) {
        let Ok(skipped) = panic.downcast::<Skipped>() else { std::process::exit(1) };
        eprint!("{}", skipped.0);
        std::process::exit(SKIPPED);
    }
    true
}

/// What a process says by its exit code.
const SKIPPED: i32 = 77;

/// Runs this program again as `child`, where freed memory is filled, so that who still looks at it
/// meets what is no pointer. A panic if it does not end well.
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

/// Whether this runtime has interprocess events: HIP's NVIDIA platform.
pub fn has_interprocess() -> bool {
    bare::version() < 1_000_000
}

/// How many devices there are.
pub fn devices() -> i32 {
    Hip::devices().expect("devices").len() as i32
}

/// Whether `GPU_STREAM_REQUIRE` names hip.
pub fn required() -> bool {
    let required = std::env::var("GPU_STREAM_REQUIRE").unwrap_or_default();
    required.split(',').any(|item| item.trim().split(':').next() == Some("hip"))
}

/// The first device.
pub fn device() -> Device {
    Hip::device(0).expect("device 0")
}

/// A wrapper of a stream that the tests never destroy before it.
pub fn wrap(stream: bare::Ptr) -> HipStream {
    // SAFETY: the tests leave their streams alive until the process ends.
    unsafe { Hip::stream_from_raw(RawStream::from_ptr(stream), None) }.expect("wrapping a stream")
}

#[track_caller]
pub fn expect_kind<T>(what: &str, result: Result<T, HipError>, kind: ErrorKind) -> String {
    match result {
        Ok(_) => panic!("{what} succeeded, and should be refused with {kind}"),
        Err(error) => {
            assert_eq!(error.kind(), kind, "{what}: {error}");
            error.to_string()
        }
    }
}
