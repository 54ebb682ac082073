//! The results of a run, before they are rendered: [`Report`].

use std::time::Duration;

use gpu_stream::{BackendInfo, BackendKind};
use gpu_stream_conformance::{CaseInfo, Outcome, Verdict};

use crate::environment::Variables;
use crate::select::LeftOut;

/// The results of a whole run.
#[derive(Clone)]
pub struct Report {
    /// The number of times that each case was to run.
    pub repeat: u32,
    /// The backends, in the order of the cells of each row.
    pub columns: Vec<Column>,
    /// The cases, in the order of the list.
    pub rows: Vec<Row>,
    /// The backends that were not checked.
    pub left_out: Vec<LeftOut>,
    /// The backends that `--backend` names.
    pub named: Vec<BackendKind>,
    /// The environment variables that the command set for this run.
    pub set: Variables,
    /// The environment variables of drivers and backends that the user has set.
    pub environment: Variables,
    /// `true` if the cases ran with a check of the order of accesses.
    pub has_order_check: bool,
}

/// A checked backend.
#[derive(Clone, Debug)]
pub struct Column {
    /// The backend's kind.
    pub backend: BackendKind,
    /// The result of its probe. `None` if it is not available.
    pub info: Option<BackendInfo>,
}

/// A case with its results.
#[derive(Clone)]
pub struct Row {
    /// The case.
    pub case: &'static CaseInfo,
    /// The index in the list of all cases.
    pub index: usize,
    /// The results, one for each backend.
    pub cells: Vec<Cell>,
}

/// The result of a case on a backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cell {
    /// The outcome. If the case was repeated, the text of a failure names the round.
    pub outcome: Outcome,
    /// The number of rounds that ran. The first round that does not pass is the last.
    pub rounds: u32,
    /// The wall-clock time of all rounds together.
    pub duration: Duration,
    /// `true` if the case hung, and its thread is still running.
    pub is_hung: bool,
    /// `true` if it ran in a separate process, because an earlier case hung.
    pub own_process: bool,
}

impl Cell {
    /// Returns `passed`, `failed` or `skipped`.
    pub fn word(&self) -> &'static str {
        match &self.outcome {
            Ok(()) => "passed",
            Err(Verdict::Failed(_)) => "failed",
            Err(Verdict::Skipped(_)) => "skipped",
        }
    }

    /// Returns the reason why the case did not pass. `None` if it passed.
    pub fn reason(&self) -> Option<&str> {
        self.outcome.as_ref().err().map(Verdict::reason)
    }

    /// Returns `true` if the backend has nothing to check here, on any machine.
    pub fn is_inapplicable(&self) -> bool {
        matches!(&self.outcome, Err(Verdict::Skipped(skip)) if skip.is_by_nature())
    }

    /// Returns `true` if the case failed.
    pub fn is_failed(&self) -> bool {
        self.outcome.as_ref().err().is_some_and(Verdict::is_failed)
    }
}

/// The numbers of results by outcome.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Totals {
    /// The number that passed.
    pub passed: usize,
    /// The number that failed.
    pub failed: usize,
    /// The number that were skipped because something is missing.
    pub skipped: usize,
    /// The number that do not apply: the backend has nothing to check there, on any machine.
    pub inapplicable: usize,
}

impl Report {
    /// Counts the results of all cases on all backends.
    pub fn totals(&self) -> Totals {
        let cells = || self.rows.iter().flat_map(|row| &row.cells);
        let count = |word| cells().filter(|cell| cell.word() == word).count();
        let inapplicable = cells().filter(|cell| cell.is_inapplicable()).count();
        Totals {
            passed: count("passed"),
            failed: count("failed"),
            skipped: count("skipped") - inapplicable,
            inapplicable,
        }
    }
}

impl Report {
    /// Returns `true` if a case hung in this process, so that its thread is still running.
    pub fn has_thread_left(&self) -> bool {
        self.rows.iter().flat_map(|row| &row.cells).any(|cell| cell.is_hung && !cell.own_process)
    }

    /// Returns a text with a remedy for each named backend on which no case ran.
    ///
    /// If no backend was named and no case ran on any, returns a text for each backend, because a check
    /// that checked nothing must not pass.
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

    /// Returns `true` if a case failed, or if no case ran on a backend that was to be checked.
    pub fn is_failed(&self) -> bool {
        self.totals().failed > 0 || !self.nothing_ran().is_empty()
    }

    /// Returns `true` if a case ran on the backend of `column`.
    fn has_run(&self, column: usize) -> bool {
        let word = |row: &Row| row.cells.get(column).map(Cell::word);
        self.rows.iter().any(|row| word(row).is_some_and(|word| word != "skipped"))
    }

    /// Returns the text for a backend on which no case ran.
    fn idle_text(&self, column: usize, backend: BackendKind) -> String {
        let cells = || self.rows.iter().filter_map(|row| row.cells.get(column));
        let reason = cells().find_map(Cell::reason).unwrap_or("there is none");
        let advice = if cells().all(Cell::is_inapplicable) {
            "use --case to select cases that the backend can run"
        } else {
            "fix that (`gpu-stream info` shows what was found), or omit the backend"
        };
        let count = cells().count();
        format!("{backend}: no case ran: all {count} were skipped: {reason}; {advice}")
    }
}

/// Formats the last line of `check`.
impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Totals { passed, failed, skipped, inapplicable } = self;
        write!(
            f,
            "{passed} passed, {failed} failed, {skipped} skipped, {inapplicable} do not apply"
        )
    }
}
