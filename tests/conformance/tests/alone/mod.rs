//! Cases that run in a process of their own, because each destroys the context: [`main`].

use std::env;
use std::process::ExitCode;

use gpu_stream_conformance::required::Required;
use gpu_stream_conformance::{Outcome, Suite, Verdict, cases};
use gpu_stream_core::BackendKind;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// The environment variable that names the case to run in the child process.
const CASE: &str = "CONFORMANCE_CASE";

const PASSED: i32 = 0;
const FAILED: i32 = 1;
const SKIPPED: i32 = 2;

/// Runs the named cases on the suite that `make` creates in the process of each, and prints them as `cargo test` does.
///
/// `make` is called while the process has no other thread.
pub fn main(
    backend: BackendKind,
    names: &'static [&'static str],
    make: fn() -> Result<Box<dyn Suite>, Verdict>,
) -> ExitCode {
    match env::var(CASE) {
        Ok(name) => run_alone(backend, &name, make),
        Err(_) => run_all(names),
    }
}

fn run_all(names: &[&str]) -> ExitCode {
    let arguments = Arguments::from_args();
    let listed = cases::ALL.iter().filter(|case| names.contains(&case.name));
    let trials = listed.map(|case| {
        let name = format!("{}::{}", case.area, case.name);
        Trial::ignorable_test(name, || in_a_process(case.name))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn in_a_process(name: &str) -> Result<Completion, Failed> {
    // The path of the program, also where the simulator has started it by another loader.
    let output = hsa_sim::this_program()?.env(CASE, name).output()?;
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.code() {
        Some(PASSED) => Ok(Completion::Completed),
        Some(SKIPPED) => Ok(Completion::ignored_with(text)),
        _ => Err(Failed::from(format!("{}\n{text}", output.status))),
    }
}

/// Runs one case, and returns its outcome as the exit code.
fn run_alone(
    backend: BackendKind,
    name: &str,
    make: fn() -> Result<Box<dyn Suite>, Verdict>,
) -> ExitCode {
    let outcome = Required::from_env(&[])
        .map_err(Verdict::failed)
        .and_then(|required| required.apply(backend, make().and_then(|suite| run(&*suite, name))));
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
