//! Cases about failing work and about resets on the CUDA backend: on a GPU where there is a driver, and
//! else over the simulated driver of `tests/driver-sim`. Each takes the context down with it, so each
//! runs in a process of its own.
//!
//! The other cases about failing work need a stream that lives beside the fault, which CUDA has not.

use std::env;
use std::process::{Command, ExitCode};

use gpu_stream_conformance::fixtures::CudaFixture;
use gpu_stream_conformance::{Outcome, Suite, SuiteOf, Verdict, cases};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Names the case that a process of its own runs.
const CASE: &str = "CONFORMANCE_CASE";

const PASSED: i32 = 0;
const FAILED: i32 = 1;
const SKIPPED: i32 = 2;

const CASES: [&str; 8] = [
    "functions_behind_a_fault_are_dropped",
    "work_behind_a_fault_is_not_run",
    "waiter_gets_the_fault",
    "reset_is_told_and_got_over",
    "reset_is_told_by_elapsed_since",
    "reset_is_told_by_wait_event",
    "reset_is_told_by_record",
    "reset_leaves_nothing_stale",
];

fn main() -> ExitCode {
    match env::var(CASE) {
        Ok(name) => alone(&name),
        Err(_) => all(),
    }
}

/// Runs every case of the list, and prints them as `cargo test` does.
fn all() -> ExitCode {
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
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.code() {
        Some(PASSED) => Ok(Completion::Completed),
        Some(SKIPPED) => Ok(Completion::ignored_with(said)),
        _ => Err(Failed::from(format!("{}\n{said}", output.status))),
    }
}

/// Runs one case, and says in the exit code what came of it.
fn alone(name: &str) -> ExitCode {
    let ready = if driver_sim::no_driver_here() {
        // SAFETY: no other thread is running yet.
        unsafe { driver_sim::install(1) }
    } else {
        Ok(())
    };
    let outcome = ready
        .and_then(|()| CudaFixture::with_faults())
        .map_err(Verdict::failed)
        .and_then(|fixture| run(&SuiteOf::new(fixture), name));
    let (code, said) = match &outcome {
        Ok(()) => (PASSED, ""),
        Err(verdict) if verdict.is_failed() => (FAILED, verdict.reason()),
        Err(verdict) => (SKIPPED, verdict.reason()),
    };
    eprintln!("{said}");
    // The driver's own threads have nothing more to do; its exit handlers are another test's.
    std::process::exit(code)
}

fn run(suite: &dyn Suite, name: &str) -> Outcome {
    let index = suite.cases().iter().position(|case| case.name == name);
    let index = index.ok_or_else(|| Verdict::failed(format_args!("there is no case {name}")))?;
    suite.run(index).outcome
}
