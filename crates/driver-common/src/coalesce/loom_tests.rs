//! Loom runs these in every order that the memory model allows, up to so many preemptions.
//!
//! `RUSTFLAGS="--cfg gpu_stream_loom" cargo test -p gpu-stream-driver-common --lib --release`
//!
//! The driver is one stream that is waited for, of which each thread submits work. A record notes
//! how much of each thread's work it stands for; these notes lie in loom's `UnsafeCell`, which
//! fails the model if one is made anew while somebody may still read it. Work is counted without an
//! order (`Relaxed`), so that a record sees a caller's work only if the protocol makes it so.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize as Count;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::{Broken, EventOps, RecordCoalescer};
use crate::pool::Pool;

const THREADS: usize = 3;
const EVENTS: usize = 6;
const STREAM: usize = 0x100;

struct Model {
    coalescer: RecordCoalescer,
    relays: Pool,
    made: Count,
    /// Work that each thread submitted to the stream.
    submitted: [AtomicUsize; THREADS],
    /// What each event's record stands for.
    records: [UnsafeCell<[usize; THREADS]>; EVENTS],
    captured: bool,
}

// SAFETY: that is what the model is to show; loom fails it if two threads touch a cell without an
// order.
unsafe impl Sync for Model {}
// SAFETY: as above.
unsafe impl Send for Model {}

/// One thread's calls.
struct Caller<'a> {
    model: &'a Model,
    me: usize,
    submitted: usize,
}

impl EventOps for Caller<'_> {
    type Error = ();

    fn take(&self) -> Result<usize, ()> {
        let pooled = self.model.relays.take(self.me);
        let new = || self.model.made.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        Ok(pooled.unwrap_or_else(new))
    }

    fn give(&self, event: usize) {
        let _ = self.model.relays.give(event, self.me);
    }

    fn can_coalesce(&self) -> bool {
        !self.model.captured
    }

    fn record(&self, event: usize) -> Result<(), ()> {
        let all =
            std::array::from_fn(|thread| self.model.submitted[thread].load(Ordering::Relaxed));
        // SAFETY: checked by loom.
        self.model.records[event - 1].with_mut(|record| unsafe { *record = all });
        Ok(())
    }

    fn wait(&self, event: usize) -> Result<(), ()> {
        // SAFETY: checked by loom.
        let record = self.model.records[event - 1].with(|record| unsafe { *record });
        assert!(
            record[self.me] >= self.submitted,
            "a record was shared that was made before the caller came"
        );
        Ok(())
    }
}

impl Model {
    fn new(broken: Option<Broken>, captured: bool, fair: bool) -> Arc<Self> {
        let fair = fair.then(|| loom::sync::Mutex::new(()));
        Arc::new(Model {
            coalescer: RecordCoalescer { broken, fair, ..RecordCoalescer::new() },
            relays: Pool::new(),
            made: Count::new(0),
            submitted: std::array::from_fn(|_| AtomicUsize::new(0)),
            records: std::array::from_fn(|_| UnsafeCell::new([0; THREADS])),
            captured,
        })
    }

    /// A thread submits work and waits for the stream, so often.
    fn run(&self, me: usize, times: usize) {
        for submitted in 1..=times {
            self.submitted[me].store(submitted, Ordering::Relaxed);
            let caller = Caller { model: self, me, submitted };
            self.coalescer.wait_for(STREAM, &caller).expect("no call fails");
        }
    }
}

fn check(preemptions: usize, broken: Option<Broken>, captured: bool, times: [usize; THREADS]) {
    explore(preemptions, move || Model::new(broken, captured, false), times);
}

fn explore(
    preemptions: usize,
    new: impl Fn() -> Arc<Model> + Sync + Send + 'static,
    times: [usize; THREADS],
) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        let model = new();
        let others: Vec<_> = (1..THREADS)
            .filter(|&thread| times[thread] != 0)
            .map(|thread| {
                let model = Arc::clone(&model);
                thread::spawn(move || model.run(thread, times[thread]))
            })
            .collect();
        model.run(0, times[0]);
        others.into_iter().for_each(|other| other.join().expect("a thread"));
    });
}

#[test]
fn two_threads_and_again() {
    check(3, None, false, [2, 2, 0]);
}

/// With more preemptions loom lets the two that were taken look for ever, each in its turn, and the
/// one that they look at never runs: see [`three_threads_always_end`].
#[test]
fn three_threads() {
    check(2, None, false, [1, 1, 1]);
}

/// Who was taken sleeps until the leader has served, instead of looking, and nothing else is
/// different: so it ends, however the threads are run, or loom would say "deadlock", or that there is
/// no end.
#[test]
fn three_threads_always_end() {
    explore(3, || Model::new(None, false, true), [1, 1, 1]);
}

#[test]
fn a_captured_stream_is_not_shared() {
    check(2, None, true, [1, 1, 1]);
}

#[test]
#[should_panic = "a record was shared that was made before the caller came"]
fn a_record_made_too_early_is_caught() {
    check(3, Some(Broken::RecordsTooEarly), false, [1, 1, 1]);
}

#[test]
#[should_panic = "Causality violation"]
fn an_event_given_back_too_early_is_caught() {
    check(3, Some(Broken::GivesBackTooEarly), false, [2, 1, 1]);
}
