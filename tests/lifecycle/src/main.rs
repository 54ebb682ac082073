//! Plays all scenarios, each in a process of its own, and prints what came of them.

use std::process::ExitCode;

use gpu_stream_core::BackendKind;
use gpu_stream_lifecycle::{list, run, table, watch};

const USAGE: &str = "usage: gpu-stream-lifecycle [--backend NAME]... [NAME]...\n\
    Plays the scenarios whose names contain one of the words, on the backends named; without, all on all.";

fn main() -> ExitCode {
    if let Some(code) = run::as_child() {
        return code;
    }
    let (mut backends, mut words) = (Vec::new(), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--backend" {
            match arguments.next().map(|name| name.parse::<BackendKind>()) {
                Some(Ok(backend)) => backends.push(backend),
                _ => return refuse(),
            }
        } else if argument.starts_with('-') {
            return refuse();
        } else {
            words.push(argument);
        }
    }
    if backends.is_empty() {
        backends = BackendKind::KNOWN.to_vec();
    }
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
    let mut cells = Vec::new();
    for scenario in list::all().iter().filter(|scenario| wanted(scenario.name)) {
        for &backend in &backends {
            let seen = watch::run(scenario, backend);
            println!("{}", table::line(scenario, backend, &seen));
            cells.push((scenario, backend, seen));
        }
    }
    print!("{}", table::draw(&cells, &backends));
    if cells.iter().any(|(_, _, seen)| seen.is_failed()) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn refuse() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
