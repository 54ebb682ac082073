//! The suite on a checked backend: [`CheckedSuite`].

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use gpu_stream_checked::{Checked, FindingKind, Report};
use gpu_stream_core::{Backend, BackendKind, PlainHandles};

use crate::fixtures::CheckedFixture;
use crate::harness::IntoSuite;
use crate::{CaseInfo, CaseReport, Fixture, Missing, Outcome, Suite, SuiteOf, Verdict};

/// The suite on `Checked<B>`, which also fails a case if the check finds in it what is not wrong.
///
/// `F` is a fixture of `B`. Some cases are wrong on purpose: they wait for an event without a record, or use a stream
/// with a fault. [`expected`] lists them.
pub struct CheckedSuite<F: Fixture<Backend: PlainHandles>>(SuiteOf<CheckedFixture<F>>);

impl<F: Fixture<Backend: PlainHandles>> CheckedSuite<F> {
    /// Creates the suite. Findings are kept for it, and not printed.
    pub fn new(fixture: F) -> Self {
        Checked::<F::Backend>::set_hook(Some(Arc::new(|_| {})));
        CheckedSuite(SuiteOf::new(CheckedFixture(fixture)))
    }

    /// Sets another time limit for each case.
    #[must_use]
    pub fn limit(self, limit: Duration) -> Self {
        CheckedSuite(self.0.limit(limit))
    }
}

impl<F: Fixture<Backend: PlainHandles>> IntoSuite for CheckedSuite<F> {
    fn into_suite(self) -> Box<dyn Suite> {
        Box::new(self)
    }
}

impl<F: Fixture<Backend: PlainHandles>, E: Display> IntoSuite for Result<CheckedSuite<F>, E> {
    fn into_suite(self) -> Box<dyn Suite> {
        match self {
            Ok(suite) => suite.into_suite(),
            Err(reason) => Box::new(Missing::new(F::Backend::KIND, reason.to_string())),
        }
    }
}

impl<F: Fixture<Backend: PlainHandles>> Suite for CheckedSuite<F> {
    fn backend(&self) -> BackendKind {
        self.0.backend()
    }

    fn run(&self, index: usize) -> CaseReport {
        // What the fixture and the earlier cases have left.
        drop(Checked::<F::Backend>::report());
        let mut report = self.0.run(index);
        let found = Checked::<F::Backend>::report();
        if let (Ok(()), Some(case)) = (&report.outcome, self.cases().get(index)) {
            report.outcome = compare(case, &found);
        }
        report
    }
}

/// The kinds of findings that a case has on purpose, by area or name. In the last one, two threads change a number without
/// an order, and only their futures matter.
pub const EXPECTED: &[(&str, &[FindingKind])] = &[
    ("wait_for_an_unrecorded_event", &[FindingKind::UnrecordedWait]),
    ("wait_before_the_first_record", &[FindingKind::WaitBeforeRecord]),
    ("no_wake_up_is_lost", &[FindingKind::WriteAfterWrite]),
];

/// Returns the kinds of findings that a case may have, because it is wrong on purpose.
pub fn expected(case: &CaseInfo) -> impl Iterator<Item = FindingKind> {
    let listed = EXPECTED.iter().filter(|(name, _)| *name == case.name || *name == case.area);
    listed.flat_map(|(_, kinds)| kinds.iter().copied())
}

/// Returns a failure if a finding is not expected.
fn compare(case: &CaseInfo, found: &Report) -> Outcome {
    let is_expected = |kind| expected(case).any(|expected| expected == kind);
    let wrong = found.findings.iter().filter(|finding| !is_expected(finding.kind));
    let wrong: Vec<_> = wrong.map(|finding| finding.to_string()).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    let wrong = wrong.join("\n");
    Err(Verdict::failed(format_args!("the check finds what is not wrong:\n{wrong}")))
}
