//! What came of a walk: [`Report`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::AllowedOutcome;

/// What came of a walk.
pub struct Report {
    /// How many calls of the backend there are.
    pub operations: usize,
    /// How many combinations of a call of the backend, a call of the driver, a code, and whether the
    /// driver did its work, were made and met.
    pub combinations: usize,
    /// How many were not met, since the backend called the driver less often than before.
    pub not_met: usize,
    /// The driver's functions that failed.
    pub functions: BTreeSet<String>,
    /// The codes that they failed with.
    pub codes: BTreeSet<i32>,
    /// What was answered, and how often.
    pub outcomes: BTreeMap<String, usize>,
    /// The excuses of the table, and how often each was needed.
    pub excused: Vec<(&'static AllowedOutcome, usize)>,
    /// What is wrong.
    pub wrong: Vec<String>,
    /// How many things are wrong; the list has the first ones.
    pub wrong_count: usize,
}

impl Report {
    pub(super) fn new(excuses: &'static [AllowedOutcome]) -> Self {
        Report {
            operations: 0,
            combinations: 0,
            not_met: 0,
            functions: BTreeSet::new(),
            codes: BTreeSet::new(),
            outcomes: BTreeMap::new(),
            excused: excuses.iter().map(|excuse| (excuse, 0)).collect(),
            wrong: Vec::new(),
            wrong_count: 0,
        }
    }

    pub(super) fn wrong(&mut self, what: String) {
        const MOST: usize = 200_000;
        self.wrong_count += 1;
        if self.wrong.len() < MOST {
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
            "{} combinations: {} calls of the backend, {} functions of the driver, {} codes; {} not met",
            self.combinations,
            self.operations,
            self.functions.len(),
            self.codes.len(),
            self.not_met
        )?;
        for (outcome, count) in &self.outcomes {
            writeln!(f, "{count:>8}  {outcome}")?;
        }
        for (excuse, count) in self.excused.iter().filter(|(_, count)| *count > 0) {
            writeln!(f, "{count:>8}  excused: {}", excuse.reason)?;
        }
        if self.wrong_count > 0 {
            writeln!(f, "{} things are wrong:", self.wrong_count)?;
        }
        self.wrong.iter().try_for_each(|what| writeln!(f, "  {what}"))
    }
}
