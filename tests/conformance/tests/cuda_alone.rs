//! Cases about failing work and about resets on the CUDA backend. They run on a GPU if there is a
//! driver, and otherwise over the simulated driver of `crates/cuda-sim`. Each destroys the
//! context, so each runs in a process of its own.
//!
//! The other cases about failing work need a stream that survives the fault, and CUDA has none.

use std::env;
use std::process::{Command, ExitCode};

use gpu_stream_conformance::fixtures::CudaFixture;
use gpu_stream_conformance::{Outcome, Suite, SuiteOf, Verdict, cases};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// The environment variable that names the case to run in the child process.
const CASE: &str = "CONFORMANCE_CASE";

const PASSED: i32 = 0;
const FAILED: i32 = 1;
const SKIPPED: i32 = 2;

const CASES: [&str; 10] = [
    "functions_after_a_fault_are_dropped",
    "work_after_a_fault_is_not_run",
    "waiter_gets_the_fault",
    "reset_is_reported_and_survived",
    "reset_is_reported_by_elapsed_since",
    "reset_is_reported_by_wait_event",
    "reset_is_reported_by_record",
    "reset_leaves_nothing_stale",
    "fault_keeps_its_values",
    "reset_keeps_the_values",
];

fn main() -> ExitCode {
    match env::var(CASE) {
        Ok(name) => run_alone(&name),
        Err(_) => run_all(),
    }
}

/// Runs every case of the list, and prints them as `cargo test` does.
fn run_all() -> ExitCode {
    let arguments = Arguments::from_args();
    let listed = cases::ALL.iter().filter(|case| CASES.contains(&case.name));
    let trials = listed.map(|case| {
        let name = format!("{}::{}", case.area, case.name);
        Trial::ignorable_test(name, || in_a_process(case.name))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn in_a_process(name: &str) -> Result<Completion, Failed> {
    let program = env::current_exe()?;
    let output = Command::new(program).env(CASE, name).output()?;
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.code() {
        Some(PASSED) => Ok(Completion::Completed),
        Some(SKIPPED) => Ok(Completion::ignored_with(text)),
        _ => Err(Failed::from(format!("{}\n{text}", output.status))),
    }
}

/// Runs one case, and returns its outcome as the exit code.
fn run_alone(name: &str) -> ExitCode {
    let ready = if cuda_sim::no_driver_here() {
        // SAFETY: no other thread is running yet.
        unsafe { cuda_sim::install(1) }
    } else {
        Ok(())
    };
    let outcome = ready
        .and_then(|()| CudaFixture::with_faults())
        .map_err(Verdict::failed)
        .and_then(|fixture| run(&SuiteOf::new(fixture), name));
    let (code, text) = match &outcome {
        Ok(()) => (PASSED, ""),
        Err(verdict) if verdict.is_failed() => (FAILED, verdict.reason()),
        Err(verdict) => (SKIPPED, verdict.reason()),
    };
    eprintln!("{text}");
    // Skips destructors: the driver's threads have no more work, and another test covers its exit
    // handlers.
    std::process::exit(code)
}

fn run(suite: &dyn Suite, name: &str) -> Outcome {
    let index = suite.cases().iter().position(|case| case.name == name);
    let index = index.ok_or_else(|| Verdict::failed(format_args!("there is no case {name}")))?;
    suite.run(index).outcome
}
