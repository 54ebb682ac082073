//! `gpu-stream check`: runs the conformance suite.

use std::panic;
use std::process::ExitCode;
use std::time::Duration;

use gpu_stream::{Availability, BackendKind};
use gpu_stream_conformance::runner::{end_process, is_hang};
use gpu_stream_conformance::{Outcome, Required, Suite, Verdict};

use crate::args::Check;
use crate::environment::{self, Variables};
use crate::live::Live;
use crate::output::{self, OutputStyle};
use crate::report::{Cell, Column, Report, Row};
use crate::select::{self, Backends};
use crate::{CommandError, fresh, json, list, matrix, suites};

/// Runs the command. Blocks until all cases have run.
///
/// `set` has the environment variables that were set for it. If a case hung, ends the process with
/// [`end_process`] instead of returning.
///
/// # Errors
/// [`CommandError`] if the arguments name something that does not exist, or if the output cannot be
/// written.
pub fn command(
    arguments: &Check,
    set: Variables,
    style: &OutputStyle,
) -> Result<ExitCode, CommandError> {
    if arguments.list {
        return list::command(arguments, style);
    }
    let available = select::probe(&arguments.backend);
    let required = Required::from_env(BackendKind::KNOWN)?;
    let chosen = select::backends(&available, &arguments.backend, &required)?;
    let checked: Vec<&Availability> =
        available.iter().filter(|item| chosen.checked.contains(&item.backend)).collect();
    quiet_panics_of_other_threads();
    let plan = Plan { patterns: &arguments.case, repeat: arguments.repeat.get(), required };
    if let Some(index) = arguments.single {
        let item =
            checked.first().ok_or_else(|| CommandError("--single needs a --backend".into()))?;
        let suite = suites::suite(item, arguments.limit, arguments.checked);
        let cell = plan.run_case(&*suite, index, &Live::new(style, None));
        output::put(&mut std::io::stdout(), &fresh::answer(&cell)?)?;
        // Skips destructors: a driver that crashes at process exit must not change the exit status.
        end_process(0);
    }
    let mut json_target = arguments.json.as_deref().map(output::json_target).transpose()?;
    let only_json = arguments.json.as_deref() == Some("-");
    let suite = |item: &&Availability| suites::suite(item, arguments.limit, arguments.checked);
    let suites: Vec<_> = checked.iter().map(suite).collect();
    let columns = checked
        .iter()
        .map(|item| Column { backend: item.backend, info: item.probe.as_ref().ok().cloned() });
    let mut report = plan.report(&suites, columns.collect(), chosen)?;
    report.environment = environment::of_user(&set);
    report.set = set;
    report.named.clone_from(&arguments.backend);
    report.has_order_check = arguments.checked;

    let mut stdout = std::io::stdout();
    let mut live = Live::new(style, if only_json { None } else { Some(&mut stdout) });
    live.say(&(matrix::head(&report, style.width) + "\n"))?;
    let in_fresh_process = |backend, index| fresh::run(arguments, backend, index);
    plan.fill(&mut report, &suites, &mut live, &in_fresh_process)?;

    if let Some(target) = &mut json_target {
        output::put(&mut **target, &json::of_report(&report)?)?;
    }
    if !only_json {
        output::put(&mut std::io::stdout(), &format!("\n{}", matrix::body(&report, style)))?;
    }
    report.nothing_ran().iter().for_each(|text| output::complain(text));
    let is_failed = report.is_failed();
    if report.has_thread_left() {
        end_process(is_failed.into());
    }
    Ok(if is_failed { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// The cases to run, and how often.
pub struct Plan<'a> {
    /// The patterns of `--case`.
    pub patterns: &'a [String],
    /// The number of `--repeat`.
    pub repeat: u32,
    /// The backends whose skips are failures.
    pub required: Required,
}

/// A function that runs a case, given by backend and index, in a separate process. The error is the
/// reason why the case did not run.
pub type InFreshProcess<'a> = &'a dyn Fn(BackendKind, usize) -> Result<Cell, String>;

impl Plan<'_> {
    /// Runs the cases of `suites`, one suite for each of `columns`. Blocks until all have run.
    ///
    /// The cases after a case that hung do not run, and count as skipped.
    ///
    /// # Errors
    /// [`CommandError`] if a pattern matches no case.
    pub fn run(
        &self,
        suites: &[Box<dyn Suite>],
        columns: Vec<Column>,
        chosen: Backends,
        style: &OutputStyle,
    ) -> Result<Report, CommandError> {
        let mut report = self.report(suites, columns, chosen)?;
        let unavailable = |_, _| Err("separate processes are not available here".into());
        self.fill(&mut report, suites, &mut Live::new(style, None), &unavailable)?;
        Ok(report)
    }

    /// Creates a report of the cases to run, without results.
    ///
    /// # Errors
    /// [`CommandError`] if a pattern matches no case.
    pub fn report(
        &self,
        suites: &[Box<dyn Suite>],
        columns: Vec<Column>,
        chosen: Backends,
    ) -> Result<Report, CommandError> {
        let all = suites.first().map_or(&[][..], |suite| suite.cases());
        let row = |index: usize| Row { case: &all[index], index, cells: Vec::new() };
        Ok(Report {
            repeat: self.repeat,
            columns,
            rows: select::cases(all, self.patterns)?.into_iter().map(row).collect(),
            left_out: chosen.left_out,
            named: Vec::new(),
            set: Variables::new(),
            environment: Variables::new(),
            has_order_check: false,
        })
    }

    /// Runs the cases of `report`, and shows each result as it arrives. Blocks until all have run.
    ///
    /// The thread of a case that hung keeps running, and can hold resources that later cases need. Each
    /// later case, on any backend, therefore runs with `in_fresh_process`.
    ///
    /// # Errors
    /// [`CommandError`] if a result cannot be written.
    pub fn fill(
        &self,
        report: &mut Report,
        suites: &[Box<dyn Suite>],
        live: &mut Live<'_>,
        in_fresh_process: InFreshProcess<'_>,
    ) -> Result<(), CommandError> {
        live.start(suites.len() * report.rows.len() * self.repeat as usize);
        let mut is_clean = true;
        for suite in suites {
            let backend = suite.backend();
            for row in &mut report.rows {
                live.case_begins(backend, row.case);
                let (cell, left_out) = if is_clean {
                    let cell = self.run_case(&**suite, row.index, live);
                    let left_out = self.repeat - cell.rounds;
                    (cell, left_out)
                } else {
                    let cell = in_fresh_process(backend, row.index);
                    (cell.unwrap_or_else(|why| not_run(&why)), self.repeat)
                };
                is_clean &= !cell.is_hung;
                live.case_ends(backend, row.case, &cell, left_out)?;
                row.cells.push(cell);
            }
        }
        live.end();
        Ok(())
    }

    /// Runs one case `repeat` times, or until it does not pass.
    fn run_case(&self, suite: &dyn Suite, index: usize, live: &Live<'_>) -> Cell {
        let (mut rounds, mut duration, mut outcome) = (0, Duration::ZERO, Ok(()));
        let mut is_hung = false;
        while rounds < self.repeat && outcome.is_ok() {
            let report = suite.run(index);
            rounds += 1;
            live.round_ends();
            duration += report.duration;
            is_hung = is_hang(&report.outcome);
            outcome = self.required.apply(suite.backend(), self.in_round(rounds, report.outcome));
        }
        Cell { outcome, rounds, duration, is_hung, own_process: false }
    }

    /// Adds the round to the text of a failure if the case is repeated.
    fn in_round(&self, round: u32, outcome: Outcome) -> Outcome {
        match outcome {
            Err(Verdict::Failed(reason)) if self.repeat > 1 => {
                Err(Verdict::Failed(format!("in round {round} of {}: {reason}", self.repeat)))
            }
            other => other,
        }
    }
}

/// Returns the result of a case that did not run because no separate process could be started.
fn not_run(why: &str) -> Cell {
    let reason =
        format!("not run, since an earlier case hung and its thread is still running: {why}");
    Cell {
        outcome: Err(Verdict::skipped(reason)),
        rounds: 0,
        duration: Duration::ZERO,
        is_hung: false,
        own_process: false,
    }
}

/// Suppresses the panic messages of all threads but the calling one.
///
/// A panic in a case is a failure, and the report has its text. The message must not also appear in the
/// middle of the progress bar. A panic of the command itself is still printed.
fn quiet_panics_of_other_threads() {
    let this_thread = std::thread::current().id();
    let default_hook = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if std::thread::current().id() == this_thread {
            default_hook(panic);
        }
    }));
}
