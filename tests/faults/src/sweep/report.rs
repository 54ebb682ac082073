//! The results of a fault sweep: [`Report`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::AllowedOutcome;

/// The results of a fault sweep.
pub struct Report {
    /// The number of the backend's operations.
    pub operations: usize,
    /// The reasons for which operations were left out, each with their number.
    pub skipped: Vec<(&'static str, usize)>,
    /// The number of combinations in which the fault was met. A combination is an operation, a
    /// driver call, a code, and whether the driver did its work.
    pub combinations: usize,
    /// The number of combinations in which the fault was not met, because the backend called the
    /// driver less often than in the baseline.
    pub not_met: usize,
    /// The driver's functions that failed.
    pub functions: BTreeSet<String>,
    /// The codes that they failed with.
    pub codes: BTreeSet<i32>,
    /// The kinds of outcome, with their counts.
    pub outcomes: BTreeMap<String, usize>,
    /// The entries of the table of allowed outcomes, each with the number of its uses.
    pub allowed: Vec<(&'static AllowedOutcome, usize)>,
    /// The findings, up to a limit.
    pub wrong: Vec<String>,
    /// The number of findings. The list `wrong` has the first ones.
    pub wrong_count: usize,
}

impl Report {
    pub(super) fn new(allowed: &'static [AllowedOutcome]) -> Self {
        Report {
            operations: 0,
            skipped: Vec::new(),
            combinations: 0,
            not_met: 0,
            functions: BTreeSet::new(),
            codes: BTreeSet::new(),
            outcomes: BTreeMap::new(),
            allowed: allowed.iter().map(|entry| (entry, 0)).collect(),
            wrong: Vec::new(),
            wrong_count: 0,
        }
    }

    pub(super) fn wrong(&mut self, what: String) {
        const LIMIT: usize = 200_000;
        self.wrong_count += 1;
        if self.wrong.len() < LIMIT {
            self.wrong.push(what);
        }
    }

    pub(super) fn count(&mut self, outcome: &str) {
        if let Some(count) = self.outcomes.get_mut(outcome) {
            *count += 1;
        } else {
            self.outcomes.insert(outcome.to_owned(), 1);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} combinations: {} calls of the backend, {} functions of the driver, {} codes; {} not reached",
            self.combinations,
            self.operations,
            self.functions.len(),
            self.codes.len(),
            self.not_met
        )?;
        for (reason, count) in &self.skipped {
            writeln!(f, "{count:>8}  calls of the backend skipped: {reason}")?;
        }
        for (outcome, count) in &self.outcomes {
            writeln!(f, "{count:>8}  {outcome}")?;
        }
        for (entry, count) in self.allowed.iter().filter(|(_, count)| *count > 0) {
            writeln!(f, "{count:>8}  allowed: {}", entry.reason)?;
        }
        if self.wrong_count > 0 {
            writeln!(f, "{} findings:", self.wrong_count)?;
        }
        self.wrong.iter().try_for_each(|what| writeln!(f, "  {what}"))
    }
}
