//! What came of the scenarios, for people.

use std::fmt::Write;

use gpu_stream_core::BackendKind;

use crate::list::Scenario;
use crate::watch::{Outcome, Seen};

/// One scenario on one backend.
pub type Cell = (&'static Scenario, BackendKind, Seen);

fn word(seen: &Seen) -> &'static str {
    match seen.outcome {
        Outcome::Passed => "ok",
        Outcome::Failed(_) => "FAILED",
        Outcome::Skipped(_) | Outcome::NotHere(_) => "skipped",
    }
}

/// One line for one process, and what it had to tell.
pub fn line(scenario: &Scenario, backend: BackendKind, seen: &Seen) -> String {
    let milliseconds = seen.took.as_millis();
    let mut text = format!("{:<36} {backend:<5} {} ({milliseconds} ms)", scenario.name, word(seen));
    if let Outcome::Failed(why) | Outcome::Skipped(why) | Outcome::NotHere(why) = &seen.outcome {
        let _ = write!(text, ": {why}");
    }
    for note in &seen.notes {
        let _ = write!(text, "\n    {note}");
    }
    text
}

/// All of them: a row for each scenario and a column for each backend.
pub fn draw(cells: &[Cell], backends: &[BackendKind]) -> String {
    let mut text = format!("\n{:<36}", "scenario");
    for backend in backends {
        let _ = write!(text, " {:<8}", backend.name());
    }
    let mut last = "";
    for (scenario, ..) in cells {
        if std::mem::replace(&mut last, scenario.name) == scenario.name {
            continue;
        }
        let _ = write!(text, "\n{:<36}", scenario.name);
        for backend in backends {
            let cell = cells.iter().find(|(s, b, _)| s.name == scenario.name && b == backend);
            let _ = write!(text, " {:<8}", cell.map_or("", |(.., seen)| word(seen)));
        }
    }
    let count = |wanted: &str| cells.iter().filter(|(.., seen)| word(seen) == wanted).count();
    let (ok, failed, skipped) = (count("ok"), count("FAILED"), count("skipped"));
    let _ = writeln!(text, "\n{ok} ok, {failed} failed, {skipped} skipped");
    text
}
