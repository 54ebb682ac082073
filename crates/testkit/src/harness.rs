//! A test target without libtest, whose skips are listed as ignored: [`main`].

use std::process::ExitCode;

use gpu_stream_conformance::Verdict;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::TestResult;
use crate::run::{Target, Test};

/// A variant of a test.
pub struct Variant {
    /// The test.
    pub test: Test,
    /// What it runs on.
    pub target: Target,
    /// `true` if the source says `#[ignore]`.
    pub is_ignored: bool,
    /// Runs it.
    pub run: fn() -> TestResult,
}

/// Runs the tests as `cargo test` does: filters, `--list`, `--exact` and `--skip` work. A skipped test is
/// counted and printed as ignored, with its reason.
pub fn main(variants: Vec<Variant>) -> ExitCode {
    let trials = variants.into_iter().map(|variant| {
        let Variant { test, target, is_ignored, run } = variant;
        let trial = Trial::ignorable_test(test.name_on(target), move || finish(run()));
        trial.with_ignored_flag(is_ignored)
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn finish(outcome: TestResult) -> Result<Completion, Failed> {
    match outcome {
        Ok(()) => Ok(Completion::Completed),
        Err(Verdict::Skipped(skip)) => Ok(Completion::ignored_with(skip.reason())),
        Err(Verdict::Failed(reason)) => Err(Failed::from(reason)),
    }
}
