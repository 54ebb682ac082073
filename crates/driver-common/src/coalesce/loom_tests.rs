//! Loom runs these in every order that the memory model allows, with a bounded number of preemptions.
//!
//! `RUSTFLAGS="--cfg gpu_stream_loom" cargo test -p gpu-stream-driver-common --lib --release`
//!
//! The model is one stream, to which each thread submits work. A record notes how much of each thread's
//! work it covers. The notes lie in loom's `UnsafeCell`, which fails the model if a note is overwritten
//! while another thread may read it. The counters of work are `Relaxed`, so a record sees a caller's work
//! only if the protocol orders them.

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
    scratch_events: Pool,
    made: Count,
    /// Work that each thread submitted to the stream.
    submitted: [AtomicUsize; THREADS],
    /// The work that each event's record covers.
    records: [UnsafeCell<[usize; THREADS]>; EVENTS],
    captured: bool,
}

// SAFETY: this is what the model checks. Loom fails it if two threads access a cell without an order.
unsafe impl Sync for Model {}
// SAFETY: the same check covers it.
unsafe impl Send for Model {}

/// The calls of one thread.
struct Caller<'a> {
    model: &'a Model,
    me: usize,
    submitted: usize,
}

impl EventOps for Caller<'_> {
    type Error = ();

    fn acquire(&self) -> Result<usize, ()> {
        let pooled = self.model.scratch_events.take(self.me);
        let new = || self.model.made.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        Ok(pooled.unwrap_or_else(new))
    }

    fn release(&self, event: usize) {
        let _ = self.model.scratch_events.give(event, self.me);
    }

    fn can_coalesce(&self) -> bool {
        !self.model.captured
    }

    fn record(&self, event: usize) -> Result<(), ()> {
        let all =
            std::array::from_fn(|thread| self.model.submitted[thread].load(Ordering::Relaxed));
        // SAFETY: loom checks that no access is concurrent.
        self.model.records[event - 1].with_mut(|record| unsafe { *record = all });
        Ok(())
    }

    fn wait(&self, event: usize) -> Result<(), ()> {
        // SAFETY: loom checks that no write is concurrent.
        let record = self.model.records[event - 1].with(|record| unsafe { *record });
        assert!(
            record[self.me] >= self.submitted,
            "a record was shared that was made before the caller arrived"
        );
        Ok(())
    }
}

impl Model {
    fn new(broken: Option<Broken>, captured: bool, fair: bool) -> Arc<Self> {
        let fair = fair.then(|| loom::sync::Mutex::new(()));
        Arc::new(Model {
            coalescer: RecordCoalescer { broken, fair, ..RecordCoalescer::new() },
            scratch_events: Pool::new(),
            made: Count::new(0),
            submitted: std::array::from_fn(|_| AtomicUsize::new(0)),
            records: std::array::from_fn(|_| UnsafeCell::new([0; THREADS])),
            captured,
        })
    }

    /// Submits work and waits for the stream, `times` times.
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
fn two_threads_call_twice() {
    check(3, None, false, [2, 2, 0]);
}

/// With more preemptions loom may schedule the two claimed waiters in turn forever, and never their leader.
/// See [`three_threads_terminate`].
#[test]
fn three_threads_call_once() {
    check(2, None, false, [1, 1, 1]);
}

/// Checks termination. A claimed waiter blocks until its leader has served it, instead of spinning, and
/// nothing else differs. Loom would report a deadlock or an endless execution.
#[test]
fn three_threads_terminate() {
    explore(3, || Model::new(None, false, true), [1, 1, 1]);
}

#[test]
fn capturing_stream_is_not_coalesced() {
    check(2, None, true, [1, 1, 1]);
}

#[test]
#[should_panic = "a record was shared that was made before the caller arrived"]
fn record_before_the_claim_is_detected() {
    check(3, Some(Broken::RecordsTooEarly), false, [1, 1, 1]);
}

#[test]
#[should_panic = "Causality violation"]
fn event_released_too_early_is_detected() {
    check(3, Some(Broken::ReleasesTooEarly), false, [2, 1, 1]);
}
