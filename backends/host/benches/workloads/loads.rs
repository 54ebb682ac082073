//! The workloads: implementations of [`Load`].
//!
//! A task is an increment, as small as it can be, so that the stream is measured and not the work.
//! Streams are created before the clock starts, and dropped after it has stopped. One thread
//! submits all tasks, unless a load says otherwise.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Contender, Queue};

/// The number of streams that [`Join`] waits for.
const BRANCHES: usize = 64;

/// The number of threads that submit tasks in [`SharedStream`] and [`OwnStreams`].
const PRODUCERS: u64 = 4;

/// Spins for `time`. The caller's core stays awake, and all other threads have time to fall asleep.
pub fn rest(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        spin_loop();
    }
}

/// A workload for a contender.
pub trait Load<C: Contender> {
    /// Creates the streams for runs of this size.
    fn new(contender: &C, size: u64) -> Self;

    /// Returns the number of tasks, hops or rounds in one run. The time is given for one of them.
    fn units(&self) -> u64;

    /// Performs one run, from the first call of the contender to the return of the last
    /// `synchronize`. This is the timed part.
    fn run(&mut self);

    /// Asserts that all runs so far have done all of their work, in order.
    fn check(&self);
}

/// Creates the tasks of one load, and checks that they all ran.
struct TaskCounter {
    counts: &'static Counts,
    expected: u64,
}

/// The counts of one load, on cache lines of their own.
#[repr(align(128))]
struct Counts {
    ran: AtomicU64,
    /// The number of tasks that ran before an earlier task.
    early: AtomicU64,
}

impl TaskCounter {
    fn new() -> Self {
        // Leaked, so that a task holds a plain reference: a reference count would be more work than
        // the task itself.
        let counts =
            Box::leak(Box::new(Counts { ran: AtomicU64::new(0), early: AtomicU64::new(0) }));
        TaskCounter { counts, expected: 0 }
    }

    /// Returns a task that increments the count.
    fn task(&mut self) -> impl FnOnce() + Send + 'static {
        self.expected += 1;
        let counts = self.counts;
        move || {
            black_box(counts).ran.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns a task that increments the count, and records if it does not run right after the
    /// previous one.
    fn next_task(&mut self) -> impl FnOnce() + Send + 'static {
        let (turn, counts) = (self.expected, self.counts);
        self.expected += 1;
        move || {
            if black_box(counts).ran.fetch_add(1, Ordering::Relaxed) != turn {
                counts.early.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Returns a counter for each producer, with the same counts.
    fn split(&self) -> Vec<TaskCounter> {
        (0..PRODUCERS).map(|_| TaskCounter { counts: self.counts, expected: 0 }).collect()
    }

    fn merge(&mut self, parts: Vec<TaskCounter>) {
        self.expected += parts.iter().map(|part| part.expected).sum::<u64>();
    }

    fn check(&self, contender: &str) {
        let (ran, early) = (self.counts.ran.load(Ordering::Relaxed), &self.counts.early);
        assert_eq!(ran, self.expected, "{contender}: tasks run (left) and submitted (right)");
        assert_eq!(early.load(Ordering::Relaxed), 0, "{contender}: tasks that did not wait");
    }
}

/// W1: one producer submits tasks to one stream, then waits.
///
/// The size is the number of tasks. With one task it is W4: a round trip to an idle stream.
pub struct OneStream<C: Contender> {
    stream: C::Stream,
    counter: TaskCounter,
    size: u64,
}

impl<C: Contender> Load<C> for OneStream<C> {
    fn new(contender: &C, size: u64) -> Self {
        OneStream { stream: contender.stream(), counter: TaskCounter::new(), size }
    }

    fn units(&self) -> u64 {
        self.size
    }

    fn run(&mut self) {
        for _ in 0..self.size {
            self.stream.launch(self.counter.task());
        }
        self.stream.synchronize();
    }

    fn check(&self) {
        self.counter.check(C::NAME);
    }
}

/// W2: as many tasks for each stream as there are streams, round robin, then a wait for each
/// stream.
///
/// The size is the number of streams.
pub struct ManyStreams<C: Contender> {
    streams: Vec<C::Stream>,
    counter: TaskCounter,
}

impl<C: Contender> Load<C> for ManyStreams<C> {
    fn new(contender: &C, size: u64) -> Self {
        ManyStreams {
            streams: (0..size).map(|_| contender.stream()).collect(),
            counter: TaskCounter::new(),
        }
    }

    fn units(&self) -> u64 {
        let streams = self.streams.len() as u64;
        streams * streams
    }

    fn run(&mut self) {
        for _ in 0..self.streams.len() {
            for stream in &self.streams {
                stream.launch(self.counter.task());
            }
        }
        self.streams.iter().for_each(Queue::synchronize);
    }

    fn check(&self) {
        self.counter.check(C::NAME);
    }
}

/// W1p: four producers submit tasks to one stream, each a quarter of the size, and each waits.
pub struct SharedStream<C: Contender> {
    stream: C::Stream,
    counter: TaskCounter,
    size: u64,
}

impl<C: Contender> Load<C> for SharedStream<C> {
    fn new(contender: &C, size: u64) -> Self {
        SharedStream {
            stream: contender.stream(),
            counter: TaskCounter::new(),
            size: size / PRODUCERS,
        }
    }

    fn units(&self) -> u64 {
        self.size * PRODUCERS
    }

    fn run(&mut self) {
        let (stream, size) = (&self.stream, self.size);
        let mut counters = self.counter.split();
        thread::scope(|scope| {
            for counter in &mut counters {
                scope.spawn(move || {
                    for _ in 0..size {
                        stream.launch(counter.task());
                    }
                    stream.synchronize();
                });
            }
        });
        self.counter.merge(counters);
    }

    fn check(&self) {
        self.counter.check(C::NAME);
    }
}

/// W2p: four producers submit tasks, each to a quarter of the streams, round robin.
///
/// Each stream gets as many tasks as there are streams in all. Then each producer waits for each of
/// its streams.
pub struct OwnStreams<C: Contender> {
    streams: Vec<C::Stream>,
    counter: TaskCounter,
}

impl<C: Contender> Load<C> for OwnStreams<C> {
    fn new(contender: &C, size: u64) -> Self {
        let size = size.next_multiple_of(PRODUCERS);
        OwnStreams {
            streams: (0..size).map(|_| contender.stream()).collect(),
            counter: TaskCounter::new(),
        }
    }

    fn units(&self) -> u64 {
        let streams = self.streams.len() as u64;
        streams * streams
    }

    fn run(&mut self) {
        let rounds = self.streams.len();
        let mut counters = self.counter.split();
        thread::scope(|scope| {
            let own = self.streams.chunks(rounds / PRODUCERS as usize);
            for (counter, own) in counters.iter_mut().zip(own) {
                scope.spawn(move || {
                    for _ in 0..rounds {
                        for stream in own {
                            stream.launch(counter.task());
                        }
                    }
                    own.iter().for_each(Queue::synchronize);
                });
            }
        });
        self.counter.merge(counters);
    }

    fn check(&self) {
        self.counter.check(C::NAME);
    }
}

/// W3: two streams alternate. Each task follows a wait for the other stream's last event.
///
/// The size is the number of rounds, of two hops each.
pub struct TakingTurns<C: Contender> {
    streams: [C::Stream; 2],
    counter: TaskCounter,
    size: u64,
}

impl<C: Contender> Load<C> for TakingTurns<C> {
    fn new(contender: &C, size: u64) -> Self {
        let streams = [contender.stream(), contender.stream()];
        TakingTurns { streams, counter: TaskCounter::new(), size }
    }

    fn units(&self) -> u64 {
        2 * self.size
    }

    fn run(&mut self) {
        let [first, second] = &self.streams;
        let mut last = second.record();
        for _ in 0..self.size {
            for stream in [first, second] {
                stream.wait(&last);
                stream.launch(self.counter.next_task());
                last = stream.record();
            }
        }
        second.synchronize();
    }

    fn check(&self) {
        self.counter.check(C::NAME);
    }
}

/// W5: 64 streams get a task each, one more stream waits for all of them, and the caller waits for
/// that one only.
///
/// The size has no effect: one run is one round.
pub struct Join<C: Contender> {
    branches: Vec<C::Stream>,
    trunk: C::Stream,
    counter: TaskCounter,
}

impl<C: Contender> Load<C> for Join<C> {
    fn new(contender: &C, _: u64) -> Self {
        let branches = (0..BRANCHES).map(|_| contender.stream()).collect();
        Join { branches, trunk: contender.stream(), counter: TaskCounter::new() }
    }

    fn units(&self) -> u64 {
        1
    }

    fn run(&mut self) {
        for branch in &self.branches {
            branch.launch(self.counter.task());
        }
        for branch in &self.branches {
            self.trunk.wait(&branch.record());
        }
        self.trunk.synchronize();
    }

    fn check(&self) {
        self.counter.check(C::NAME);
    }
}
