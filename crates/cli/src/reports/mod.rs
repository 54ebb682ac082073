//! `gpu-stream matrix`: one table from the JSON reports of many runs and machines.
//!
//! [`read`] parses the files, [`Combined`] holds the table, and `text`, `markdown` and `html` render it.

pub mod html;
pub mod markdown;
pub mod read;
pub mod text;

use std::collections::{BTreeSet, HashMap};
use std::process::ExitCode;

use crate::CommandError;
use crate::args::Matrix;
use crate::output::{self, OutputStyle};

/// The reports of several runs: a column for each backend of each report, and a row for each case.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Combined {
    /// The columns, in the order of the files.
    pub columns: Vec<Column>,
    /// The rows, in the order in which the reports first name their cases, grouped by area.
    pub rows: Vec<Row>,
    /// The backends that were part of a build and not available on its machine.
    pub not_run: Vec<NotRun>,
    /// The reports in which no case ran on a backend that was to be checked: the file, and a text.
    pub nothing_ran: Vec<(String, String)>,
    /// The packages whose tests with gpu-stream-testkit are among the reports.
    pub packages: BTreeSet<String>,
    /// The title that the user gave.
    pub title: Option<String>,
}

/// A backend in a report.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Column {
    /// The report's file.
    pub file: String,
    /// The backend's name.
    pub backend: String,
    /// The version of the driver or runtime.
    pub version: String,
    /// The names of the devices, without repetition.
    pub devices: String,
    /// The system and the version of the kernel driver.
    pub machine: String,
    /// The day of the run, as in `2026-11-27`. Empty if the report has none.
    pub date: String,
    /// `true` if it is of gpu-stream-testkit, whose every test has a report of its own.
    pub is_of_tests: bool,
}

/// A backend that ran no case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotRun {
    /// The report's file.
    pub file: String,
    /// The backend's name.
    pub backend: String,
    /// Why it ran no case.
    pub reason: String,
}

/// A case and its results.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Row {
    /// The group of the case.
    pub area: String,
    /// The name of the case.
    pub name: String,
    /// A sentence on what the case checks.
    pub about: String,
    /// The rules that the case checks: each one's id and text.
    pub rules: Vec<(String, String)>,
    /// One result for each column. `None` if the report does not have the case.
    pub cells: Vec<Option<Cell>>,
}

/// The result of a case on a backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cell {
    /// The outcome.
    pub outcome: Outcome,
    /// Why the case did not pass.
    pub reason: String,
}

/// The outcome of a case. If a case has several on one backend, the table shows the greatest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Outcome {
    /// The backend has nothing to check in this case, on any machine.
    Inapplicable,
    /// The case did not run: something that it needs is missing.
    Skipped,
    /// The case passed.
    Passed,
    /// The case failed.
    Failed,
}

impl Outcome {
    /// Returns a sign of one character for a table.
    pub fn sign(self) -> &'static str {
        match self {
            Outcome::Passed => "✓",
            Outcome::Failed => "✗",
            Outcome::Skipped => "–",
            Outcome::Inapplicable => "·",
        }
    }
}

/// The number of cases of a column with each outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// The number of cases that passed.
    pub passed: usize,
    /// The number of cases that failed.
    pub failed: usize,
    /// The number of cases that did not run because something is missing.
    pub skipped: usize,
    /// The number of cases in which the backend has nothing to check.
    pub inapplicable: usize,
}

impl Combined {
    /// Returns the title that the user gave. Without one, names the package if all reports are of its tests.
    pub fn title(&self) -> Option<String> {
        let mut packages = self.packages.iter();
        let is_of_tests = self.columns.iter().all(|column| column.is_of_tests);
        let of_package = match (packages.next(), packages.next()) {
            (Some(one), None) if is_of_tests => Some(format!("{one}: what was tested on what")),
            _ => None,
        };
        self.title.clone().or(of_package)
    }

    /// Returns `true` if a case names a rule. Tests with gpu-stream-testkit name none.
    pub fn has_rules(&self) -> bool {
        self.rows.iter().any(|row| !row.rules.is_empty())
    }

    /// Counts the outcomes of a column.
    pub fn counts(&self, column: usize) -> Counts {
        let mut counts = Counts::default();
        for cell in self.rows.iter().filter_map(|row| row.cells[column].as_ref()) {
            *match cell.outcome {
                Outcome::Passed => &mut counts.passed,
                Outcome::Failed => &mut counts.failed,
                Outcome::Skipped => &mut counts.skipped,
                Outcome::Inapplicable => &mut counts.inapplicable,
            } += 1;
        }
        counts
    }

    /// Returns every failure, in the order of the rows: the column's index, the case and the reason.
    pub fn failures(&self) -> Vec<(usize, &Row, &str)> {
        self.all(|outcome| outcome == Outcome::Failed)
    }

    /// Returns each reason why cases did not run, with the columns and the cases.
    pub fn skips(&self) -> Vec<Skip<'_>> {
        let is_skip = |outcome| matches!(outcome, Outcome::Skipped | Outcome::Inapplicable);
        let mut skips: Vec<Skip<'_>> = Vec::new();
        let mut known = HashMap::new();
        for (column, row, reason) in self.all(is_skip) {
            let index = *known.entry(reason).or_insert_with(|| {
                skips.push(Skip { reason, columns: Vec::new(), cases: Vec::new() });
                skips.len() - 1
            });
            let skip = &mut skips[index];
            if !skip.columns.contains(&column) {
                skip.columns.push(column);
            }
            // The cells of a case come one after the other.
            if skip.cases.last() != Some(&row.name.as_str()) {
                skip.cases.push(&row.name);
            }
        }
        skips.iter_mut().for_each(|skip| skip.columns.sort_unstable());
        skips
    }

    fn all(&self, wanted: impl Fn(Outcome) -> bool) -> Vec<(usize, &Row, &str)> {
        let mut all = Vec::new();
        for row in &self.rows {
            for (column, cell) in row.cells.iter().enumerate() {
                if let Some(cell) = cell.as_ref().filter(|cell| wanted(cell.outcome)) {
                    all.push((column, row, cell.reason.as_str()));
                }
            }
        }
        all
    }
}

/// A reason why cases did not run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Skip<'a> {
    /// The reason.
    pub reason: &'a str,
    /// The indices of the columns, sorted.
    pub columns: Vec<usize>,
    /// The names of the cases.
    pub cases: Vec<&'a str>,
}

/// Returns the name of a column in a table: its number, counted from 1.
fn number(column: usize) -> String {
    (column + 1).to_string()
}

/// Runs the command.
///
/// # Errors
/// [`CommandError`] if a report cannot be read, or a file cannot be written.
pub fn command(arguments: &Matrix, style: &OutputStyle) -> Result<ExitCode, CommandError> {
    let outputs = [("--markdown", &arguments.markdown), ("--html", &arguments.html)];
    output::ensure_distinct(&outputs, &arguments.reports)?;
    let mut combined = read::files(&arguments.reports)?;
    combined.title.clone_from(&arguments.title);
    let mut is_stdout_used = false;
    if let Some(name) = &arguments.markdown {
        is_stdout_used |= name == "-";
        output::put(&mut *output::target("--markdown", name)?, &markdown::draw(&combined))?;
    }
    if let Some(name) = &arguments.html {
        is_stdout_used |= name == "-";
        output::put(&mut *output::target("--html", name)?, &html::draw(&combined))?;
    }
    if !is_stdout_used {
        output::put(&mut std::io::stdout(), &text::draw(&combined, style))?;
    }
    Ok(match combined.failures().is_empty() && combined.nothing_ran.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(1),
    })
}
