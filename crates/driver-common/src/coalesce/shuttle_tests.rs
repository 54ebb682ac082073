//! Shuttle runs these in many random orders, with more threads and calls than loom can explore. Weak memory
//! is tested by loom.
//!
//! `RUSTFLAGS="--cfg gpu_stream_shuttle" cargo test -p gpu-stream-driver-common --lib --release`
//!
//! `GPU_STREAM_SHUTTLE_SCHEDULES=100000` runs more schedules. A failing schedule is printed, and
//! `GPU_STREAM_SHUTTLE_REPLAY=…` runs it again.

use std::sync::Arc;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::Mutex;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::{Config, Runner, thread};

use super::{Broken, EventOps, RecordCoalescer};
use crate::pool::Pool;

/// The number of schedules of each program, unless the variable sets it.
const SCHEDULES: usize = 3_000;

const THREADS: usize = 5;
const TIMES: usize = 3;
const EVENTS: usize = 32;

/// Two streams, which share one bucket.
const STREAMS: [usize; 2] = [0x100, 0x200];

/// What an event's record covers: a stream, and each thread's work on it.
#[derive(Clone, Copy, Default)]
struct Record {
    stream: usize,
    work: [usize; THREADS],
}

struct Model {
    coalescer: RecordCoalescer,
    scratch_events: Pool,
    made: AtomicUsize,
    /// The work that each thread submitted, by stream.
    submitted: [[AtomicUsize; THREADS]; 2],
    records: [Mutex<Record>; EVENTS],
}

struct Caller<'a> {
    model: &'a Model,
    me: usize,
    stream: usize,
    submitted: usize,
}

impl EventOps for Caller<'_> {
    type Error = ();

    fn acquire(&self) -> Result<usize, ()> {
        let pooled = self.model.scratch_events.take(self.me);
        Ok(pooled.unwrap_or_else(|| self.model.made.fetch_add(1, Ordering::SeqCst) + 1))
    }

    fn release(&self, event: usize) {
        let _ = self.model.scratch_events.give(event, self.me);
    }

    fn can_coalesce(&self) -> bool {
        true
    }

    fn record(&self, event: usize) -> Result<(), ()> {
        let work = std::array::from_fn(|thread| {
            self.model.submitted[self.stream][thread].load(Ordering::SeqCst)
        });
        *self.model.records[event - 1].lock().expect("a lock") =
            Record { stream: self.stream, work };
        Ok(())
    }

    fn wait(&self, event: usize) -> Result<(), ()> {
        let record = *self.model.records[event - 1].lock().expect("a lock");
        assert_eq!(
            record.stream, self.stream,
            "an event was recorded again before all callers had waited"
        );
        assert!(
            record.work[self.me] >= self.submitted,
            "a record was shared that was made before the caller arrived"
        );
        Ok(())
    }
}

/// Runs threads that submit work to one of the streams and wait for it, [`TIMES`] times each.
fn program(broken: Option<Broken>) {
    let model = Arc::new(Model {
        coalescer: RecordCoalescer { broken, ..RecordCoalescer::new() },
        scratch_events: Pool::new(),
        made: AtomicUsize::new(0),
        submitted: std::array::from_fn(|_| std::array::from_fn(|_| AtomicUsize::new(0))),
        records: std::array::from_fn(|_| Mutex::new(Record::default())),
    });
    let threads: Vec<_> = (0..THREADS)
        .map(|me| {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                for time in 0..TIMES {
                    // Three threads stay on the first stream, so that some of them contend.
                    let stream = if me < 3 { 0 } else { (me + time) % 2 };
                    let work = &model.submitted[stream][me];
                    let submitted = work.fetch_add(1, Ordering::SeqCst) + 1;
                    let caller = Caller { model: &model, me, stream, submitted };
                    model.coalescer.wait_for(STREAMS[stream], &caller).expect("no call fails");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("a thread"));
}

/// Runs half of the schedules at random, and half with a few changes of priority (PCT).
fn check(broken: Option<Broken>) {
    if let Ok(schedule) = std::env::var("GPU_STREAM_SHUTTLE_REPLAY") {
        shuttle::replay(move || program(broken), &schedule);
        return;
    }
    let schedules = std::env::var("GPU_STREAM_SHUTTLE_SCHEDULES");
    let schedules = schedules.map_or(SCHEDULES, |text| text.parse().expect("a count of schedules"));
    let mut config = Config::new();
    config.stack_size = 1 << 17;
    let random = RandomScheduler::new(schedules.div_ceil(2));
    Runner::new(random, config.clone()).run(move || program(broken));
    let priorities = PctScheduler::new(4, schedules / 2);
    Runner::new(priorities, config).run(move || program(broken));
}

#[test]
fn five_threads_use_two_streams() {
    check(None);
}

#[test]
#[should_panic = "a record was shared that was made before the caller arrived"]
fn record_before_the_claim_is_detected() {
    check(Some(Broken::RecordsTooEarly));
}

#[test]
#[should_panic = "an event was recorded again before all callers had waited"]
fn event_released_too_early_is_detected() {
    check(Some(Broken::ReleasesTooEarly));
}
