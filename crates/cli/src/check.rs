//! `gpu-stream check`: runs the cases.

use std::panic;
use std::process::ExitCode;
use std::time::Duration;

use gpu_stream::{Availability, available};
use gpu_stream_conformance::runner::is_hang;
use gpu_stream_conformance::{Outcome, Required, Suite, Verdict};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::Check;
use crate::report::{Cell, Column, Report, Row};
use crate::screen::{self, Screen};
use crate::select::{self, Backends};
use crate::{Refusal, json, list, matrix, suites};

/// Carries the command out. Blocks until all cases have run.
///
/// # Errors
/// If it is asked for something that is not there, or the output cannot be written.
pub fn command(arguments: &Check, screen: &Screen) -> Result<ExitCode, Refusal> {
    if arguments.list {
        return list::command(arguments, screen);
    }
    let available = available();
    let kinds: Vec<_> = available.iter().map(|item| item.backend).collect();
    let required = Required::from_env(&kinds)?;
    let chosen = select::backends(&available, &arguments.backend, &required)?;
    let checked: Vec<&Availability> =
        available.iter().filter(|item| chosen.checked.contains(&item.backend)).collect();
    let suites: Vec<_> = checked.iter().map(|item| suites::suite(item, arguments.limit)).collect();
    let columns = checked
        .iter()
        .map(|item| Column { backend: item.backend, info: item.probe.as_ref().ok().cloned() });

    let columns = columns.collect();
    let mut json_target = arguments.json.as_deref().map(screen::json_target).transpose()?;
    let only_json = arguments.json.as_deref() == Some("-");

    quiet_panics_of_other_threads();
    let plan = Plan { patterns: &arguments.case, repeat: arguments.repeat.get(), required };
    let report = plan.run(&suites, columns, chosen, screen)?;

    if let Some(target) = &mut json_target {
        screen::put(&mut **target, &json::of_report(&report)?)?;
    }
    if !only_json {
        screen::put(&mut std::io::stdout(), &matrix::draw(&report, screen))?;
    }
    if report.rows.iter().flat_map(|row| &row.cells).any(|cell| cell.is_hung) {
        // What hangs would keep the process from ending, since the host backend finishes its work
        // first.
        gpu_stream::host::abandon_at_exit();
    }
    Ok(if report.totals().failed > 0 { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// What to run, and how.
pub struct Plan<'a> {
    /// As `--case`.
    pub patterns: &'a [String],
    /// As `--repeat`.
    pub repeat: u32,
    /// Whose skips are failures.
    pub required: Required,
}

impl Plan<'_> {
    /// Runs the cases of `suites`, which belong to `columns` one by one. Blocks until all have run.
    ///
    /// # Errors
    /// A pattern that matches no case.
    pub fn run(
        &self,
        suites: &[Box<dyn Suite>],
        columns: Vec<Column>,
        chosen: Backends,
        screen: &Screen,
    ) -> Result<Report, Refusal> {
        let all = suites.first().map_or(&[][..], |suite| suite.cases());
        let cases = select::cases(all, self.patterns)?;
        let row = |&index: &usize| Row { case: &all[index], cells: Vec::new() };
        let mut rows: Vec<Row> = cases.iter().map(row).collect();

        let bar = progress_bar(suites.len() * cases.len() * self.repeat as usize, screen);
        for suite in suites {
            for (row, &index) in rows.iter_mut().zip(&cases) {
                let name = select::full_name(row.case);
                bar.set_message(format!("{} {name}", suite.backend()));
                let cell = self.run_case(&**suite, index, &bar);
                bar.inc((self.repeat - cell.rounds).into());
                row.cells.push(cell);
            }
        }
        bar.finish_and_clear();
        Ok(Report { repeat: self.repeat, columns, rows, left_out: chosen.left_out })
    }

    /// One case, as often as it is asked for, and no oftener than until it does not pass.
    fn run_case(&self, suite: &dyn Suite, index: usize, bar: &ProgressBar) -> Cell {
        let (mut rounds, mut duration, mut outcome) = (0, Duration::ZERO, Ok(()));
        let mut is_hung = false;
        while rounds < self.repeat && outcome.is_ok() {
            let report = suite.run(index);
            rounds += 1;
            bar.inc(1);
            duration += report.duration;
            is_hung = is_hang(&report.outcome);
            outcome = self.required.apply(suite.backend(), self.in_round(rounds, report.outcome));
        }
        Cell { outcome, rounds, duration, is_hung }
    }

    fn in_round(&self, round: u32, outcome: Outcome) -> Outcome {
        match outcome {
            Err(Verdict::Failed(reason)) if self.repeat > 1 => {
                Err(Verdict::Failed(format!("in round {round} of {}: {reason}", self.repeat)))
            }
            other => other,
        }
    }
}

fn progress_bar(length: usize, screen: &Screen) -> ProgressBar {
    if !screen.progress {
        return ProgressBar::hidden();
    }
    let colour = if screen.colour { ".cyan" } else { "" };
    let template = format!("{{bar:30{colour}}} {{pos}}/{{len}} {{wide_msg}}");
    // A template that cannot be read costs the looks and not the run.
    let style = ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─");
    let target = ProgressDrawTarget::stderr();
    ProgressBar::with_draw_target(Some(length as u64), target).with_style(style)
}

/// A panic in a case is a failure, whose text stands in the report: it should not come out a second
/// time, in the middle of the progress bar. One of the command itself should.
fn quiet_panics_of_other_threads() {
    let here = std::thread::current().id();
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if std::thread::current().id() == here {
            usual(panic);
        }
    }));
}
