//! Runs the scenarios, each in a process of its own, and prints the results.

use std::process::ExitCode;

#[cfg(unix)]
use gpu_stream_core::BackendKind;
#[cfg(unix)]
use gpu_stream_lifecycle::{child, list, supervisor, table};

#[cfg(unix)]
const USAGE: &str = "usage: gpu-stream-lifecycle [--backend NAME]... [NAME]...\n\
    Runs the scenarios whose names contain one of the NAMEs, on the named backends. Default: all scenarios, all backends.";

/// Says that the scenarios need Unix.
#[cfg(not(unix))]
fn main() -> ExitCode {
    eprintln!("the scenarios fork, and send signals: they are for Unix only");
    ExitCode::from(2)
}

#[cfg(unix)]
fn main() -> ExitCode {
    if let Some(code) = child::run_if_selected() {
        return code;
    }
    let (mut backends, mut words) = (Vec::new(), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--backend" {
            match arguments.next().map(|name| name.parse::<BackendKind>()) {
                Some(Ok(backend)) => backends.push(backend),
                _ => return usage_error(),
            }
        } else if argument.starts_with('-') {
            return usage_error();
        } else {
            words.push(argument);
        }
    }
    if backends.is_empty() {
        backends = BackendKind::KNOWN.to_vec();
    }
    let is_selected = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
    let mut cells = Vec::new();
    for scenario in list::all().iter().filter(|scenario| is_selected(scenario.name)) {
        for &backend in &backends {
            let result = supervisor::run(scenario, backend);
            println!("{}", table::line(scenario, backend, &result));
            cells.push((scenario, backend, result));
        }
    }
    print!("{}", table::draw(&cells, &backends));
    if cells.iter().any(|(_, _, result)| result.is_failed()) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Prints the usage, and returns exit status 2.
#[cfg(unix)]
fn usage_error() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
