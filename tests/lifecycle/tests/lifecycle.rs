//! Runs every scenario on every available backend.
//!
//! Without an AMD GPU, HIP is AMD's own library over `crates/hsa-sim`.

use std::process::ExitCode;
#[cfg(unix)]
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(unix)]
use gpu_stream_conformance::Required;
#[cfg(unix)]
use gpu_stream_core::BackendKind;
#[cfg(unix)]
use gpu_stream_lifecycle::supervisor::ScenarioOutcome;
#[cfg(unix)]
use gpu_stream_lifecycle::{child, list, supervisor, table};
#[cfg(unix)]
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Says that the scenarios need Unix, and runs none.
#[cfg(not(unix))]
fn main() -> ExitCode {
    eprintln!("the scenarios fork, and send signals: they are for Unix only");
    ExitCode::SUCCESS
}

#[cfg(unix)]
fn main() -> ExitCode {
    if let Some(code) = child::run_if_selected() {
        return code;
    }
    let arguments = Arguments::from_args();
    let required = match Required::from_env(&[]) {
        Ok(required) => Arc::new(required),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let cells = Arc::new(Mutex::new(Vec::new()));
    let mut trials = Vec::new();
    for scenario in list::all() {
        for &backend in BackendKind::KNOWN {
            let (cells, required) = (Arc::clone(&cells), Arc::clone(&required));
            let name = format!("{backend}::{}", scenario.name);
            trials.push(Trial::ignorable_test(name, move || {
                let result = supervisor::run(scenario, backend);
                let outcome = result.outcome.clone();
                let mut cells = cells.lock().unwrap_or_else(PoisonError::into_inner);
                cells.push((scenario, backend, result));
                match outcome {
                    ScenarioOutcome::Passed => Ok(Completion::Completed),
                    ScenarioOutcome::Skipped(why) if required.contains(backend) => {
                        Err(Failed::from(format!(
                            "skipped, but GPU_STREAM_REQUIRE forbids a skip of {backend}: {why}"
                        )))
                    }
                    ScenarioOutcome::Skipped(why) | ScenarioOutcome::NotApplicable(why) => {
                        Ok(Completion::ignored_with(why))
                    }
                    ScenarioOutcome::Failed(why) => Err(Failed::from(why)),
                }
            }));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    let mut cells = cells.lock().unwrap_or_else(PoisonError::into_inner);
    cells.sort_by_key(|(scenario, ..)| {
        list::all().iter().position(|other| other.name == scenario.name)
    });
    print!("{}", table::draw(&cells, BackendKind::KNOWN));
    conclusion.exit_code()
}
