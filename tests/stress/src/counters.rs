//! What all threads count together, and what they found wrong.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gpu_stream_conformance::Verdict;

/// How many findings are kept; there is no end to them once something is broken.
const MOST: usize = 20;

/// Counts of one run, and its findings.
#[derive(Default, Debug)]
pub struct Counters {
    /// Closures that a stream took.
    pub submitted: AtomicU64,
    /// Closures that ran.
    pub ran: AtomicU64,
    /// Closures that were dropped, after they ran or not.
    pub dropped: AtomicU64,
    /// Owners of foreign streams that were made.
    pub owners: AtomicU64,
    /// Owners that were dropped.
    pub owners_dropped: AtomicU64,
    /// Events that were asked for with `new_event`.
    pub events: AtomicU64,
    /// Calls of the contract.
    pub calls: AtomicU64,
    /// Whether all are to stop.
    stop: AtomicBool,
    findings: Mutex<Vec<String>>,
}

impl Counters {
    /// Notes what was found wrong, and has all threads stop.
    pub fn found(&self, what: impl Into<String>) {
        let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        if findings.len() < MOST {
            findings.push(what.into());
        }
        drop(findings);
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Notes what a call answered, if that is no success.
    pub fn note(&self, thread: usize, outcome: Result<(), Verdict>) {
        if let Err(verdict) = outcome {
            self.found(format!("thread {thread}: {}", verdict.reason()));
        }
    }

    /// Whether all are to stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// What was found so far.
    pub fn findings(&self) -> Vec<String> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes closures that were lost, run twice or not dropped. Only while nobody submits.
    ///
    /// Blocks until all are dropped, but no longer than `limit`: a stream that was dropped with work
    /// in it can be waited for by nobody.
    pub fn check_closures(&self, limit: Duration) {
        let of = |count: &AtomicU64| count.load(Ordering::SeqCst);
        let since = Instant::now();
        while of(&self.dropped) < of(&self.submitted) && since.elapsed() < limit {
            std::thread::yield_now();
        }
        let [submitted, ran, dropped] = [&self.submitted, &self.ran, &self.dropped].map(of);
        if ran != submitted || dropped != submitted {
            self.found(format!(
                "{submitted} closures were submitted, {ran} ran and {dropped} were dropped"
            ));
        }
    }

    /// Notes owners that were not dropped, or twice. Only when nobody has a stream any more.
    pub fn check_owners(&self) {
        let [made, dropped] =
            [&self.owners, &self.owners_dropped].map(|count| count.load(Ordering::SeqCst));
        if made != dropped {
            self.found(format!("{made} owners were made, and {dropped} were dropped"));
        }
    }
}

/// Counts one closure: made with it, and dropped with it.
#[derive(Debug)]
pub(crate) struct Closure(Arc<Counters>);

impl Closure {
    pub(crate) fn new(counters: &Arc<Counters>) -> Self {
        counters.submitted.fetch_add(1, Ordering::Relaxed);
        Closure(Arc::clone(counters))
    }

    pub(crate) fn runs(&self) -> &Counters {
        self.0.ran.fetch_add(1, Ordering::Relaxed);
        &self.0
    }
}

impl Drop for Closure {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// A number without a lock and without atomics: what keeps its users apart is the order of streams.
/// If that does not hold, the value is wrong, or a sanitizer sees two at once.
#[derive(Default)]
pub(crate) struct Plain(UnsafeCell<u64>);

// SAFETY: those who share one are ordered by the contract, which is what is tested here. A broken
// backend makes this a data race on a number, in a test program.
unsafe impl Sync for Plain {}
// SAFETY: as above.
unsafe impl Send for Plain {}

impl Plain {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn get(&self) -> u64 {
        // SAFETY: see above.
        unsafe { *self.0.get() }
    }

    pub(crate) fn set(&self, value: u64) {
        // SAFETY: see above.
        unsafe { *self.0.get() = value };
    }
}
