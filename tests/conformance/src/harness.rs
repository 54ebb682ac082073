//! The suite as a test target of cargo: [`main!`](crate::main).

use std::fmt::Display;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gpu_stream_core::{Backend, BackendKind};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::runner::{self, end_process};
use crate::{Fixture, Missing, Required, Suite, SuiteOf, Verdict};

/// The argument of [`main!`](crate::main): a fixture, or a result with one where making it can
/// fail.
pub trait IntoSuite {
    /// Returns the suite on the fixture's backend. If there is no fixture, every case is skipped
    /// with that reason.
    fn into_suite(self) -> Box<dyn Suite>;
}

impl<F: Fixture> IntoSuite for F {
    fn into_suite(self) -> Box<dyn Suite> {
        Box::new(SuiteOf::new(self))
    }
}

impl<F: Fixture, E: Display> IntoSuite for Result<F, E> {
    fn into_suite(self) -> Box<dyn Suite> {
        match self {
            Ok(fixture) => fixture.into_suite(),
            Err(reason) => Box::new(Missing::new(F::Backend::KIND, reason.to_string())),
        }
    }
}

/// Runs the suite as `cargo test` runs tests: filters, `--list`, `--exact` and `--skip` work. A
/// skipped case is counted and printed as ignored, with its reason; `GPU_STREAM_REQUIRE` makes it
/// fail.
///
/// Each case is called `area::name`. Blocks until all have run.
///
/// If a case hangs, its thread stays and can hold what later cases need. The later cases are not
/// run, and count as ignored. The process then ends inside this call, without destructors, with
/// code 101.
pub fn main(suite: impl IntoSuite) -> ExitCode {
    let suite: Arc<dyn Suite> = suite.into_suite().into();
    let backend = suite.backend();
    let required = match Required::from_env(&[backend]) {
        Ok(required) => required,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut arguments = Arguments::from_args();
    // Only one case runs at a time anyway, and one thread prints them in the order of the list.
    arguments.test_threads = Some(1);
    let is_hung = Arc::new(AtomicBool::new(false));
    let trials = suite.cases().iter().enumerate().map(|(index, case)| {
        let (suite, required) = (Arc::clone(&suite), required.clone());
        let is_hung = Arc::clone(&is_hung);
        let name = format!("{}::{}", case.area, case.name);
        Trial::ignorable_test(name.clone(), move || match is_hung.load(Ordering::SeqCst) {
            true => Ok(Completion::ignored_with(format!("{AFTER_A_HANG}: --exact {name}"))),
            false => finish(backend, &required, &*suite, index, &is_hung),
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if is_hung.load(Ordering::SeqCst) {
        end_process(FAILED);
    }
    conclusion.exit_code()
}

/// The exit code of a test target in which a test failed.
const FAILED: i32 = 101;

const AFTER_A_HANG: &str =
    "not run, since an earlier case hung and its thread is still there; run it alone";

fn finish(
    backend: BackendKind,
    required: &Required,
    suite: &dyn Suite,
    index: usize,
    is_hung: &AtomicBool,
) -> Result<Completion, Failed> {
    let outcome = suite.run(index).outcome;
    is_hung.fetch_or(runner::is_hang(&outcome), Ordering::SeqCst);
    match required.apply(backend, outcome) {
        Ok(()) => Ok(Completion::Completed),
        Err(Verdict::Skipped(skip)) => Ok(Completion::ignored_with(skip.reason())),
        Err(Verdict::Failed(reason)) => {
            let rules = suite.cases()[index].rules.iter();
            let rules: Vec<_> = rules.map(|rule| format!("\n  {rule}")).collect();
            Err(Failed::from(format!("{reason}\nrules checked:{}", rules.concat())))
        }
    }
}

/// Defines the `main` of a test target (`harness = false`) that runs the suite on one backend.
///
/// It takes a [`Fixture`](crate::Fixture), or a `Result` with one. An error is the reason for which
/// every case is skipped.
///
/// The [crate's documentation](crate#for-backend-authors) shows it in use.
#[macro_export]
macro_rules! main {
    ($fixture:expr) => {
        fn main() -> ::std::process::ExitCode {
            $crate::harness::main($fixture)
        }
    };
}

#[cfg(all(test, feature = "host"))]
mod tests {
    use super::*;
    use crate::fixtures::HostFixture;

    #[test]
    fn without_a_fixture_every_case_is_skipped_or_fails_where_required() {
        let suite = Err::<HostFixture, _>("no driver").into_suite();
        assert_eq!(suite.backend(), BackendKind::Host);
        let (free, no_hang) = (Required::default(), AtomicBool::new(false));
        let required = Required::parse("host", &[]).unwrap();
        for index in 0..suite.cases().len() {
            let skipped = finish(BackendKind::Host, &free, &*suite, index, &no_hang);
            assert!(
                matches!(skipped, Ok(Completion::Ignored { reason: Some(why) }) if why == "no driver")
            );
            let failed =
                finish(BackendKind::Host, &required, &*suite, index, &no_hang).err().unwrap();
            let text = failed.message().unwrap_or_default();
            assert!(text.contains("must not skip: no driver"), "{text}");
        }
    }
}
