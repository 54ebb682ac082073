//! What other environments change, measured in child processes: `bench --environments`.
//!
//! A child process is this command again, as `bench --only-pairs --json -`. Its figures stand in the report under
//! the variables that were set for it, and nowhere else.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use gpu_stream::BackendKind;
use gpu_stream_bench::environments::{label, of_backend, summarize};
use gpu_stream_bench::report::{EnvironmentReport, Report};

use crate::args::Bench;

/// The number of processes in each environment, because one process may be faster than the next by chance.
const TURNS: usize = 3;

/// Measures each backend in each of its environments. Blocks until all child processes have ended.
///
/// The environments take turns, so that a machine that becomes slower or busier affects all of them.
pub fn measure(
    arguments: &Bench,
    backends: &[BackendKind],
    progress: &mut dyn FnMut(&str),
) -> Vec<EnvironmentReport> {
    let turns = if arguments.quick { 1 } else { TURNS };
    let mut found = Vec::new();
    for backend in backends {
        let environments = of_backend(backend.name());
        let mut outcomes = vec![(Vec::new(), Vec::new()); environments.len()];
        for turn in 0..turns {
            for (set, (reports, failed)) in environments.iter().zip(&mut outcomes) {
                progress(&format!("{backend} queues {}, {} of {turns}", label(set), turn + 1));
                match run(arguments, *backend, set) {
                    Ok(report) => reports.push(report),
                    Err(reason) => failed.push(reason),
                }
            }
        }
        let summaries = environments
            .into_iter()
            .zip(outcomes)
            .map(|(set, (reports, failed))| summarize(backend.name(), set, &reports, failed));
        found.extend(summaries);
    }
    found
}

/// Measures a backend in a child process with the variables set. Blocks until it has ended.
///
/// # Errors
/// The reason if the process did not start, or has no report.
fn run(
    arguments: &Bench,
    backend: BackendKind,
    set: &BTreeMap<String, String>,
) -> Result<Report, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(["bench", "--backend", backend.name(), "--only-pairs", "--json", "-"]);
    match arguments.quick {
        true => command.arg("--quick"),
        false => command.args(["--rounds", &arguments.rounds.to_string()]),
    };
    for pattern in &arguments.operation {
        command.args(["--operation", pattern]);
    }
    command.envs(set).stdin(Stdio::null()).stderr(Stdio::piped());
    let output = command.output().map_err(|error| error.to_string())?;
    // A process in which a contender failed has a report and the exit status 1.
    let report: Report = serde_json::from_slice(&output.stdout).map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("its process ended with {}: {}", output.status, said.trim())
    })?;
    let has = |(name, value): (&String, &String)| {
        report.variables.iter().any(|one| one.name == *name && one.value == *value)
    };
    match set.iter().find(|one| !has(*one)) {
        Some((name, value)) => Err(format!("its process did not get {name}={value}")),
        None => Ok(report),
    }
}
