//! Every scenario on every backend that is there. On a machine without GPUs, HIP is AMD's own
//! library over `tests/hsa-sim`.

#![cfg(unix)]

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use gpu_stream_conformance::Required;
use gpu_stream_core::BackendKind;
use gpu_stream_lifecycle::watch::Outcome;
use gpu_stream_lifecycle::{list, run, table, watch};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() -> ExitCode {
    if let Some(code) = run::as_child() {
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
                let seen = watch::run(scenario, backend);
                let outcome = seen.outcome.clone();
                let mut cells = cells.lock().unwrap_or_else(PoisonError::into_inner);
                cells.push((scenario, backend, seen));
                match outcome {
                    Outcome::Passed => Ok(Completion::Completed),
                    Outcome::Skipped(why) if required.contains(backend) => {
                        Err(Failed::from(format!(
                            "skipped, and GPU_STREAM_REQUIRE says that {backend} must not skip: {why}"
                        )))
                    }
                    Outcome::Skipped(why) | Outcome::NotHere(why) => {
                        Ok(Completion::ignored_with(why))
                    }
                    Outcome::Failed(why) => Err(Failed::from(why)),
                }
            }));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    let mut cells = cells.lock().unwrap_or_else(PoisonError::into_inner);
    cells
        .sort_by_key(|(scenario, ..)| list::all().iter().position(|one| one.name == scenario.name));
    print!("{}", table::draw(&cells, BackendKind::KNOWN));
    conclusion.exit_code()
}
