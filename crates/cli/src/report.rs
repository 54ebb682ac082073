//! What came of a run, before it is drawn or written.

use std::time::Duration;

use gpu_stream::{BackendInfo, BackendKind};
use gpu_stream_conformance::{CaseInfo, Outcome, Verdict};

use crate::environment::Variables;
use crate::select::LeftOut;

/// A whole run.
#[derive(Clone)]
pub struct Report {
    /// How often each case was to be run.
    pub repeat: u32,
    /// The backends, in the order of the cells of each row.
    pub columns: Vec<Column>,
    /// The cases, in the order of the list.
    pub rows: Vec<Row>,
    /// The backends that were not checked.
    pub left_out: Vec<LeftOut>,
    /// The backends that were asked for by name, with `--backend`.
    pub named: Vec<BackendKind>,
    /// The environment variables that the command set for this run.
    pub set: Variables,
    /// The environment variables of drivers and backends that the user has set.
    pub environment: Variables,
}

/// A backend that was checked.
#[derive(Clone, Debug)]
pub struct Column {
    /// Which.
    pub backend: BackendKind,
    /// What it says of itself; `None` if it is not ready.
    pub info: Option<BackendInfo>,
}

/// A case.
#[derive(Clone)]
pub struct Row {
    /// Which.
    pub case: &'static CaseInfo,
    /// Its place in the list of all cases.
    pub index: usize,
    /// What came of it, one for each backend.
    pub cells: Vec<Cell>,
}

/// A case on a backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cell {
    /// Passed, or why not. If it was to be repeated, a failure's text names the round.
    pub outcome: Outcome,
    /// How often it was run. It stops at the first round that does not pass.
    pub rounds: u32,
    /// How long all rounds took together, by the wall clock.
    pub duration: Duration,
    /// Whether it did not come to an end, and its thread was left behind.
    pub is_hung: bool,
    /// Whether it ran in a process of its own, since an earlier case hung.
    pub own_process: bool,
}

impl Cell {
    /// `passed`, `failed` or `skipped`.
    pub fn word(&self) -> &'static str {
        match &self.outcome {
            Ok(()) => "passed",
            Err(Verdict::Failed(_)) => "failed",
            Err(Verdict::Skipped(_)) => "skipped",
        }
    }

    /// Why it did not pass.
    pub fn reason(&self) -> Option<&str> {
        self.outcome.as_ref().err().map(Verdict::reason)
    }

    /// Whether the backend has nothing to check here, whatever the machine.
    pub fn is_inapplicable(&self) -> bool {
        matches!(&self.outcome, Err(Verdict::Skipped(skip)) if skip.is_by_nature())
    }

    /// Whether it failed.
    pub fn is_failed(&self) -> bool {
        self.outcome.as_ref().err().is_some_and(Verdict::is_failed)
    }
}

/// How many cells came out how.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Totals {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
    /// Skipped.
    pub skipped: usize,
}

impl Report {
    /// The count over all cases and backends.
    pub fn totals(&self) -> Totals {
        let cells = || self.rows.iter().flat_map(|row| &row.cells);
        let count = |word| cells().filter(|cell| cell.word() == word).count();
        Totals { passed: count("passed"), failed: count("failed"), skipped: count("skipped") }
    }
}

impl Report {
    /// Whether a case hung in this process, so that its thread is still there.
    pub fn has_thread_left(&self) -> bool {
        self.rows.iter().flat_map(|row| &row.cells).any(|cell| cell.is_hung && !cell.own_process)
    }

    /// Returns a text for each backend that was named and on which no case ran, with the way out.
    ///
    /// If none was named, returns one for each backend if no case ran on any: a check that has checked
    /// nothing must not pass.
    pub fn nothing_ran(&self) -> Vec<String> {
        let named = &self.named;
        let columns = self.columns.iter().enumerate();
        let idle: Vec<_> = columns.filter(|(index, _)| !self.has_run(*index)).collect();
        if named.is_empty() && idle.len() < self.columns.len() {
            return Vec::new();
        }
        let wanted = |backend| named.is_empty() || named.contains(&backend);
        let idle = idle.into_iter().filter(|(_, column)| wanted(column.backend));
        idle.map(|(index, column)| self.idle_text(index, column.backend)).collect()
    }

    /// Whether the check failed: a case did, or no case ran where some were to.
    pub fn is_failed(&self) -> bool {
        self.totals().failed > 0 || !self.nothing_ran().is_empty()
    }

    fn has_run(&self, column: usize) -> bool {
        let word = |row: &Row| row.cells.get(column).map(Cell::word);
        self.rows.iter().any(|row| word(row).is_some_and(|word| word != "skipped"))
    }

    fn idle_text(&self, column: usize, backend: BackendKind) -> String {
        let cells = || self.rows.iter().filter_map(|row| row.cells.get(column));
        let reason = cells().find_map(Cell::reason).unwrap_or("there is none");
        let advice = if cells().all(Cell::is_inapplicable) {
            "choose cases that the backend can run with --case"
        } else {
            "mend that (`gpu-stream info` says what was found), or leave the backend out"
        };
        let count = cells().count();
        format!("{backend}: no case ran: all {count} were skipped: {reason}; {advice}")
    }
}

/// The last line of `check`.
impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}
