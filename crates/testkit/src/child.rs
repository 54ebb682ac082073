//! The process of a test: [`run`].

use std::io::Read;
use std::thread;
use std::time::Instant;

use gpu_stream::{BackendInfo, ErrorKind};
use gpu_stream_conformance::Verdict;
use gpu_stream_conformance::runner::{end_process, outcome_of};

use crate::messages::{Message, Over, Ready};
use crate::run::Test;
use crate::target::Target;
use crate::{Kit, TestBackend, TestResult, required};

/// The variable that a process of a test has: a word for its messages, a colon, and the test's name.
pub const VARIABLE: &str = "GPU_STREAM_TESTKIT_CHILD";

/// The variable with which the user names AMD's HIP library.
const HIP_LIBRARY: &str = "GPU_STREAM_HIP_LIBRARY";

/// The exit code of a process whose parent has ended.
const ABANDONED: i32 = 101;

/// Returns the word for messages if this is the process of the test `name`.
pub fn word(name: &str) -> Option<String> {
    let value = std::env::var(VARIABLE).ok()?;
    let (word, of) = value.split_once(':')?;
    (of == name).then(|| word.to_owned())
}

/// Runs the test in this process. Sends what happens as messages that begin with `word`.
pub fn run<B: TestBackend>(
    test: &Test,
    target: Target,
    body: fn(&Kit<B>) -> TestResult,
    word: &str,
) -> TestResult {
    if !word.is_empty() {
        end_with_parent();
    }
    let mut seconds = 0.0;
    let required = required::required();
    let outcome = kit::<B>(target).and_then(|kit| {
        Message::Ready(Ready::of(kit.info())).send(word);
        if let Ok(required) = &required {
            required.check_devices(target.kind(), kit.devices().len())?;
        }
        let start = Instant::now();
        let outcome = on_a_new_thread(&test.name_on(target), || body(&kit));
        seconds = start.elapsed().as_secs_f64();
        kit.findings().apply(outcome)
    });
    let outcome = match required {
        Ok(required) => required.apply(target.kind(), outcome),
        Err(reason) => Err(Verdict::Failed(reason)),
    };
    flush_c_output();
    Message::Over(Over::of(&outcome, seconds)).send(word);
    outcome
}

/// Writes what C code has printed and the C library still holds. At the process's end, it would come after the last
/// message, and be taken for the test harness's.
fn flush_c_output() {
    #[cfg(unix)]
    // SAFETY: null stands for all open streams, and the C library locks each.
    unsafe {
        libc::fflush(std::ptr::null_mut());
    }
}

/// Ends this process when the one that started it has ended: its stdin is closed then.
fn end_with_parent() {
    thread::spawn(|| {
        let mut buffer = [0; 64];
        while std::io::stdin().read(&mut buffer).is_ok_and(|count| count > 0) {}
        end_group();
        end_process(ABANDONED);
    });
}

/// Kills this process and those that the test has started, which Ctrl-C in a terminal does not reach: they are in a
/// process group of their own. Does nothing where they are not.
fn end_group() {
    #[cfg(unix)]
    // SAFETY: the functions have no requirements. 0 stands for this process's group.
    unsafe {
        if libc::getpgrp() == libc::getpid() {
            libc::kill(0, libc::SIGKILL);
        }
    }
}

/// Starts the driver, and returns the kit.
///
/// # Errors
/// A skip if the machine lacks the driver or a device; a failure if a variable or a simulator is wrong.
fn kit<B: TestBackend>(target: Target) -> Result<Kit<B>, Verdict> {
    if target.is_simulated() && !cfg!(target_os = "linux") {
        return Err(Verdict::skipped("the simulators are for Linux only"));
    }
    target.load_simulator().map_err(Verdict::Failed)?;
    let info = B::probe().map_err(|error| not_ready(target, &error))?;
    match (target.is_simulated(), target.has_loaded_simulator()) {
        (true, false) => {
            return Err(Verdict::Failed(format!("the driver is not the simulator: {info:?}")));
        }
        (false, true) => return Err(Verdict::skipped(simulator_in_place_of_gpu(target))),
        _ => {}
    }
    let BackendInfo { devices, .. } = &info;
    if devices.is_empty() {
        return Err(Verdict::skipped("the driver reports no device"));
    }
    let fixture = B::fixture().map_err(|error| {
        Verdict::Failed(format!("the streams and gates of the test kit do not work: {error}"))
    })?;
    Ok(Kit::new(fixture, target, info))
}

fn simulator_in_place_of_gpu(target: Target) -> String {
    format!(
        "the loaded driver is the simulator, over which {name}_sim runs; \
         unset GPU_STREAM_CUDA_LIBRARY, LD_LIBRARY_PATH or LD_PRELOAD to run {name}",
        name = target.name()
    )
}

/// Converts the error of a probe.
fn not_ready(target: Target, error: &impl gpu_stream::Error) -> Verdict {
    let kind = error.kind();
    let is_missing = match target.is_simulated() {
        // AMD's HIP library is the user's to install, and a file that the user names is there. All else comes with
        // the simulator.
        true => {
            let is_named = std::env::var_os(HIP_LIBRARY).is_some_and(|file| !file.is_empty());
            let is_hip = target.unchecked().name() == "hip_sim";
            kind == ErrorKind::LibraryNotFound && is_hip && !is_named
        }
        false => !matches!(kind, ErrorKind::InvalidOptions | ErrorKind::AmbiguousLibrary),
    };
    match (is_missing, target.is_simulated()) {
        (false, _) => Verdict::Failed(error.to_string()),
        (true, true) => Verdict::skipped(format_args!(
            "{error}; install AMD's HIP library, on Debian and Ubuntu the package libamdhip64-5"
        )),
        (true, false) => Verdict::skipped(error),
    }
}

/// Runs a test on a thread that has not called the driver before. A panic is a failure.
fn on_a_new_thread(name: &str, body: impl FnOnce() -> TestResult + Send) -> TestResult {
    thread::scope(|scope| {
        match thread::Builder::new().name(name.into()).spawn_scoped(scope, body) {
            Ok(running) => outcome_of(running.join()),
            Err(error) => Err(Verdict::Failed(format!("no thread for the test: {error}"))),
        }
    })
}
