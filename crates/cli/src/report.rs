//! What came of a run, before it is drawn or written.

use std::time::Duration;

use gpu_stream::{BackendInfo, BackendKind};
use gpu_stream_conformance::{CaseInfo, Outcome, Verdict};

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

/// The last line of `check`.
impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}
