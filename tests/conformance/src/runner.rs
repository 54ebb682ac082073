//! Running cases: [`run`], and the object-safe [`Suite`].

use std::any::Any;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use gpu_stream_core::{Backend, BackendKind};

use crate::cases::{self, Case, CaseInfo};
use crate::{Fixture, Outcome, Verdict};

/// The time after which a case counts as hung: far more than any case needs.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The result of one case.
#[derive(Clone, Debug)]
pub struct CaseReport {
    /// Whether the case passed, or why not.
    pub outcome: Outcome,
    /// The duration, by the wall clock.
    pub duration: Duration,
}

// A case may use the default stream, or read what is current: two cases at once would disturb each
// other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs one case on a thread of its own. Blocks until it ends, or until `limit` has passed.
///
/// A panic is a failure. A case that is still running after `limit` is a failure, too. Its thread
/// keeps running, since a thread cannot be stopped, and the next case can run.
pub fn run<F: Fixture>(fixture: &Arc<F>, case: &Case<F>, limit: Duration) -> CaseReport {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let start = Instant::now();
    let (done, result) = channel();
    let body = {
        let (fixture, run) = (Arc::clone(fixture), case.run);
        move || {
            let outcome = run(&fixture);
            // The driver state that the case's thread holds must not outlive the case.
            drop(fixture);
            // The receiver is dropped only if the case already counts as hung.
            let _ = done.send(outcome);
        }
    };
    let outcome = match thread::Builder::new().name(case.info.name.into()).spawn(body) {
        Err(error) => Err(Verdict::failed(format_args!("no thread for the case: {error}"))),
        Ok(running) => match result.recv_timeout(limit) {
            Ok(outcome) => join(running).and(outcome),
            Err(RecvTimeoutError::Disconnected) => join(running),
            Err(RecvTimeoutError::Timeout) => {
                Err(Verdict::Failed(format!("{STILL_RUNNING} {limit:?}; its thread keeps running")))
            }
        },
    };
    CaseReport { outcome, duration: start.elapsed() }
}

const STILL_RUNNING: &str = "still running after";

/// Returns `true` if a case failed because it did not end.
pub fn is_hang(outcome: &Outcome) -> bool {
    matches!(outcome, Err(Verdict::Failed(reason)) if reason.starts_with(STILL_RUNNING))
}

/// Ends the process at once with `code`, after it has flushed stdout and stderr.
///
/// For a process in which the thread of a hung case still runs. No function of `atexit` and no
/// static destructor runs, since it would run beside that thread and free what the thread uses.
pub fn end_process(code: i32) -> ! {
    // A closed pipe loses the output in any case.
    let _ = std::io::stdout().flush();
    let _ = std::io::stderr().flush();
    #[cfg(unix)]
    // SAFETY: `_exit` takes any code, and ends the process without running code of this process.
    unsafe {
        libc::_exit(code)
    }
    #[cfg(not(unix))]
    std::process::exit(code)
}

/// Returns the outcome of a thread that ran a case. A panic is a failure, with the panic's text.
///
/// # Errors
/// The outcome itself, or [`Verdict::Failed`].
pub fn outcome_of(joined: thread::Result<Outcome>) -> Outcome {
    joined.unwrap_or_else(|panic| {
        let verdict = Verdict::Failed(format!("panicked: {}", text_of(&*panic)));
        drop_quietly(panic);
        Err(verdict)
    })
}

fn join(running: thread::JoinHandle<()>) -> Outcome {
    outcome_of(running.join().map(Ok))
}

/// Drops the payload of a panic. If that panics as well, the second payload is leaked.
fn drop_quietly(panic: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "with a value that is no text"
    }
}

/// The suite on one backend, without its types, for a program that runs several suites.
pub trait Suite: Send + Sync {
    /// Returns the backend under test.
    fn backend(&self) -> BackendKind;

    /// Returns the cases, in the order of the list. They are the same for every backend.
    fn cases(&self) -> &'static [CaseInfo] {
        cases::ALL
    }

    /// Runs the case at `index` of [`cases`](Self::cases). Blocks until it ends, or until the
    /// suite's limit has passed.
    ///
    /// An index that is too high returns a failure that says so.
    fn run(&self, index: usize) -> CaseReport;
}

/// The suite on the backend of fixture `F`.
pub struct SuiteOf<F: Fixture> {
    fixture: Arc<F>,
    cases: Vec<Case<F>>,
    limit: Duration,
}

impl<F: Fixture> SuiteOf<F> {
    /// Creates the suite with all cases and the usual [`LIMIT`].
    pub fn new(fixture: F) -> Self {
        SuiteOf { fixture: Arc::new(fixture), cases: cases::all(), limit: LIMIT }
    }

    /// Sets another time limit for each case.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
}

impl<F: Fixture> Suite for SuiteOf<F> {
    fn backend(&self) -> BackendKind {
        F::Backend::KIND
    }

    fn run(&self, index: usize) -> CaseReport {
        match self.cases.get(index) {
            Some(case) => run(&self.fixture, case, self.limit),
            None => CaseReport {
                outcome: Err(Verdict::failed(format_args!("there is no case {index}"))),
                duration: Duration::ZERO,
            },
        }
    }
}

/// A backend that cannot be tested here: every case is skipped, for one reason.
pub struct Missing {
    backend: BackendKind,
    reason: String,
}

impl Missing {
    /// Creates the suite of a missing backend. `reason` says what is missing, in the words of the
    /// backend's error.
    pub fn new(backend: BackendKind, reason: impl Into<String>) -> Self {
        Missing { backend, reason: reason.into() }
    }
}

impl Suite for Missing {
    fn backend(&self) -> BackendKind {
        self.backend
    }

    fn run(&self, _index: usize) -> CaseReport {
        CaseReport { outcome: Err(Verdict::skipped(&self.reason)), duration: Duration::ZERO }
    }
}

#[cfg(all(test, feature = "host"))]
mod tests {
    use super::*;
    use crate::fixtures::HostFixture;

    fn run_it(body: fn(&HostFixture) -> Outcome, limit: Duration) -> Outcome {
        let case = Case { info: &cases::ALL[0], run: body };
        run(&Arc::new(HostFixture), &case, limit).outcome
    }

    #[test]
    fn a_panic_is_a_failure_with_its_message() {
        let outcome = run_it(|_| std::panic::resume_unwind(Box::new("oh")), LIMIT);
        assert_eq!(outcome, Err(Verdict::Failed("panicked: oh".into())));
    }

    #[test]
    fn a_panic_whose_value_panics_is_a_failure() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                std::panic::resume_unwind(Box::new("dropping this panics"));
            }
        }
        let outcome = run_it(|_| std::panic::resume_unwind(Box::new(Bomb)), LIMIT);
        assert!(outcome.unwrap_err().reason().starts_with("panicked: "));
    }

    #[test]
    fn a_case_that_does_not_end_fails_and_the_next_one_runs() {
        let hangs = |_: &HostFixture| loop {
            thread::park();
        };
        let outcome = run_it(hangs, Duration::from_millis(10));
        assert!(is_hang(&outcome), "{outcome:?}");
        assert_eq!(run_it(|_| Ok(()), LIMIT), Ok(()));
    }

    #[test]
    fn a_failure_and_a_skip_are_returned_unchanged() {
        let failed = run_it(|_| Err(Verdict::Failed("seen".into())), LIMIT);
        assert_eq!(failed, Err(Verdict::Failed("seen".into())));
        let skipped = run_it(|_| Err(Verdict::skipped("none here")), LIMIT);
        assert_eq!(skipped, Err(Verdict::skipped("none here")));
    }

    #[test]
    fn an_index_that_is_too_high_fails() {
        let suite = SuiteOf::new(HostFixture);
        assert_eq!(suite.cases().len(), cases::ALL.len());
        assert!(suite.run(cases::ALL.len()).outcome.is_err());
    }

    #[test]
    fn a_missing_backend_skips_every_case() {
        let suite = Missing::new(BackendKind::Cuda, "no driver");
        assert_eq!(suite.run(0).outcome, Err(Verdict::skipped("no driver")));
    }
}
