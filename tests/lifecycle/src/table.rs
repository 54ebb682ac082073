//! Results of the scenarios as text: [`line()`], [`draw`].

use std::fmt::Write;

use gpu_stream_core::BackendKind;

use crate::list::Scenario;
use crate::supervisor::{ScenarioOutcome, ScenarioResult};

/// Result of one scenario on one backend.
pub type Cell = (&'static Scenario, BackendKind, ScenarioResult);

/// Returns the word for a result.
fn word(result: &ScenarioResult) -> &'static str {
    match result.outcome {
        ScenarioOutcome::Passed => "ok",
        ScenarioOutcome::Failed(_) => "FAILED",
        ScenarioOutcome::Skipped(_) | ScenarioOutcome::NotApplicable(_) => "skipped",
    }
}

/// Formats the result of one process as one line, followed by its notes.
pub fn line(scenario: &Scenario, backend: BackendKind, result: &ScenarioResult) -> String {
    let milliseconds = result.took.as_millis();
    let mut text =
        format!("{:<36} {backend:<5} {} ({milliseconds} ms)", scenario.name, word(result));
    if let ScenarioOutcome::Failed(why)
    | ScenarioOutcome::Skipped(why)
    | ScenarioOutcome::NotApplicable(why) = &result.outcome
    {
        let _ = write!(text, ": {why}");
    }
    for note in &result.notes {
        let _ = write!(text, "\n    {note}");
    }
    text
}

/// Formats all results as a table: a row for each scenario and a column for each backend.
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
            let _ = write!(text, " {:<8}", cell.map_or("", |(.., result)| word(result)));
        }
    }
    let count =
        |expected: &str| cells.iter().filter(|(.., result)| word(result) == expected).count();
    let (ok, failed, skipped) = (count("ok"), count("FAILED"), count("skipped"));
    let _ = writeln!(text, "\n{ok} ok, {failed} failed, {skipped} skipped");
    text
}
