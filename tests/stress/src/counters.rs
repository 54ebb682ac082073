//! Counters and findings that all threads share: [`Counters`].

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gpu_stream_conformance::Verdict;

/// Limit of kept findings. A broken backend produces them without end.
const MAX_FINDINGS: usize = 20;

/// Counts of one run, and its findings.
#[derive(Default, Debug)]
pub struct Counters {
    /// Closures that were submitted to a stream.
    pub submitted: AtomicU64,
    /// Closures that ran.
    pub ran: AtomicU64,
    /// Closures that were dropped, whether they ran or not.
    pub dropped: AtomicU64,
    /// Owners of foreign streams that were created.
    pub owners: AtomicU64,
    /// Owners that were dropped.
    pub owners_dropped: AtomicU64,
    /// Events that were created with `new_event`.
    pub events: AtomicU64,
    /// Calls of the contract.
    pub calls: AtomicU64,
    /// `true` once all threads must stop.
    stop: AtomicBool,
    findings: Mutex<Vec<String>>,
}

impl Counters {
    /// Records a finding, and makes all threads stop.
    pub fn found(&self, what: impl Into<String>) {
        let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        if findings.len() < MAX_FINDINGS {
            findings.push(what.into());
        }
        drop(findings);
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Records a finding if `outcome` is a failure.
    pub fn note(&self, thread: usize, outcome: Result<(), Verdict>) {
        if let Err(verdict) = outcome {
            self.found(format!("thread {thread}: {}", verdict.reason()));
        }
    }

    /// Returns `true` if all threads must stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Returns the findings so far.
    pub fn findings(&self) -> Vec<String> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records a finding if a closure was lost, ran twice or was not dropped.
    ///
    /// Call only while no thread submits. Blocks until all closures are dropped, but no longer than `limit`: no
    /// thread can wait for a stream that was dropped with pending work.
    pub fn check_closures(&self, limit: Duration) {
        let load = |count: &AtomicU64| count.load(Ordering::SeqCst);
        let since = Instant::now();
        while load(&self.dropped) < load(&self.submitted) && since.elapsed() < limit {
            std::thread::yield_now();
        }
        let [submitted, ran, dropped] = [&self.submitted, &self.ran, &self.dropped].map(load);
        if ran != submitted || dropped != submitted {
            self.found(format!(
                "{submitted} closures were submitted, but {ran} ran and {dropped} were dropped"
            ));
        }
    }

    /// Records a finding if an owner was not dropped exactly once. Call only after all streams were dropped.
    pub fn check_owners(&self) {
        let [created, dropped] =
            [&self.owners, &self.owners_dropped].map(|count| count.load(Ordering::SeqCst));
        if created != dropped {
            self.found(format!("{created} owners were created, but {dropped} were dropped"));
        }
    }
}

/// Token that a submitted closure captures, so that its run and its drop are counted.
#[derive(Debug)]
pub(crate) struct Closure(Arc<Counters>);

impl Closure {
    /// Counts a submission.
    pub(crate) fn new(counters: &Arc<Counters>) -> Self {
        counters.submitted.fetch_add(1, Ordering::Relaxed);
        Closure(Arc::clone(counters))
    }

    /// Counts a run.
    pub(crate) fn count_run(&self) -> &Counters {
        self.0.ran.fetch_add(1, Ordering::Relaxed);
        &self.0
    }
}

impl Drop for Closure {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// Number without a lock and without atomics: only the order of streams synchronizes its users.
///
/// If that order does not hold, the value is wrong, or a sanitizer reports a data race.
#[derive(Default)]
pub(crate) struct UnsyncCell(UnsafeCell<u64>);

// SAFETY: the stream contract orders all accesses, and that contract is under test here. A broken
// backend makes this a data race on a number, in a test program.
unsafe impl Sync for UnsyncCell {}
// SAFETY: a `u64` may be sent to another thread.
unsafe impl Send for UnsyncCell {}

impl UnsyncCell {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn get(&self) -> u64 {
        // SAFETY: the stream contract orders this read after the write (see `Sync`).
        unsafe { *self.0.get() }
    }

    pub(crate) fn set(&self, value: u64) {
        // SAFETY: the stream contract orders this write before all reads (see `Sync`).
        unsafe { *self.0.get() = value };
    }
}
