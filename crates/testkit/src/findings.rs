//! What a check finds in a test: [`Findings`].

#[cfg(feature = "checked")]
use std::sync::Arc;

use crate::TestResult;

/// Collects and prints the findings of the check in this process. Collects nothing on a backend without a check.
#[derive(Clone, Default, Debug)]
pub struct Findings {
    #[cfg(feature = "checked")]
    check: Option<Arc<checked::Check>>,
}

#[cfg(feature = "checked")]
impl Findings {
    /// Collects what `Checked<B>` finds from now on, and prints it to standard error when it is found.
    pub fn of<B: gpu_stream::Backend>() -> Self {
        Findings { check: Some(checked::Check::start::<B>()) }
    }

    /// Returns `true` if the backend has a check.
    pub fn is_checked(&self) -> bool {
        self.check.is_some()
    }

    /// Allows findings of a kind from now on, by its name in reports.
    ///
    /// # Errors
    /// A failure if the backend has a check, and no kind has the name.
    #[track_caller]
    pub fn allow(&self, kind: &str) -> TestResult {
        match &self.check {
            Some(check) => check.allow(kind),
            None => Ok(()),
        }
    }

    /// Decides the kinds that are decided late, and returns the outcome of a test: a failure if anything was found that
    /// is not allowed. A skip stays one, because a test that ends early leaves streams without a join.
    pub fn apply(&self, outcome: TestResult) -> TestResult {
        match &self.check {
            Some(check) => check.apply(outcome),
            None => outcome,
        }
    }
}

#[cfg(not(feature = "checked"))]
impl Findings {
    /// Returns `false`: no backend of this build has a check.
    pub fn is_checked(&self) -> bool {
        false
    }

    /// Does nothing, because no backend of this build has a check.
    ///
    /// # Errors
    /// None.
    pub fn allow(&self, _kind: &str) -> TestResult {
        Ok(())
    }

    /// Returns the outcome of a test as it is.
    pub fn apply(&self, outcome: TestResult) -> TestResult {
        outcome
    }
}

#[cfg(feature = "checked")]
mod checked {
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

    use gpu_stream::checked::{
        Finding, FindingKind, InvalidLevel, Level, Severity, requested_level,
    };
    use gpu_stream::{Backend, Checked};

    use crate::{TestResult, Verdict};

    /// The check of the backend that a test runs on.
    #[derive(Debug)]
    pub struct Check {
        state: Mutex<State>,
        /// Takes the findings of the process, after it has decided the kinds that are decided late.
        finish: fn(),
        /// What `GPU_STREAM_CHECK` says.
        level: Result<Option<Level>, InvalidLevel>,
    }

    #[derive(Default, Debug)]
    struct State {
        allowed: Vec<FindingKind>,
        /// What was found and is not allowed, with its place.
        found: Vec<(FindingKind, String)>,
    }

    impl Check {
        pub fn start<B: Backend>() -> Arc<Self> {
            let finish = || drop(Checked::<B>::report());
            let check =
                Arc::new(Check { state: Mutex::default(), finish, level: requested_level() });
            let of_hook = Arc::clone(&check);
            // At once, and not at the end: a test can hang or crash because of what is found.
            Checked::<B>::set_hook(Some(Arc::new(move |finding| of_hook.note(finding))));
            check
        }

        fn state(&self) -> MutexGuard<'_, State> {
            self.state.lock().unwrap_or_else(PoisonError::into_inner)
        }

        fn note(&self, finding: &Finding) {
            let is_quiet = self.level == Ok(Some(Level::Error))
                && finding.kind.severity() == Severity::Warning;
            if is_quiet || self.state().allowed.contains(&finding.kind) {
                return;
            }
            let place = finding.second.place;
            let text = format!("{} at {}:{}", finding.kind.name(), place.file(), place.line());
            self.state().found.push((finding.kind, text));
            eprintln!("{}", finding.to_terminal());
        }

        #[track_caller]
        pub fn allow(&self, name: &str) -> TestResult {
            let kind = FindingKind::ALL.into_iter().find(|kind| kind.name() == name);
            let Some(kind) = kind else {
                let all = FindingKind::ALL.map(FindingKind::name).join(", ");
                return Err(Verdict::failed(format_args!(
                    "Kit::allow: {name:?} is no kind of finding; pass one of {all}"
                )));
            };
            self.state().allowed.push(kind);
            Ok(())
        }

        pub fn apply(&self, outcome: TestResult) -> TestResult {
            if let Err(error) = &self.level {
                return Err(Verdict::Failed(error.to_string()));
            }
            if matches!(outcome, Err(Verdict::Skipped(_))) {
                return outcome;
            }
            (self.finish)();
            let state = self.state();
            if state.found.is_empty() {
                return outcome;
            }
            let found: Vec<_> = state.found.iter().map(|(_, text)| text.as_str()).collect();
            let found = format!("the check found {}, see above", found.join(", "));
            let mut kinds = state.found.iter().map(|(kind, _)| kind);
            // An error cannot be meant.
            let warning = kinds.find(|kind| kind.severity() == Severity::Warning);
            Err(Verdict::Failed(match (outcome, warning) {
                (Err(verdict), _) => format!("{}; {found}", verdict.reason()),
                (Ok(()), None) => found,
                (Ok(()), Some(kind)) => format!(
                    "{found}; call `kit.allow(\"{}\")?` first if that is meant",
                    kind.name()
                ),
            }))
        }
    }
}
