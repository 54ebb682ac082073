//! The workloads.
//!
//! A task is as small as it can be, an increment, so that what is measured is the stream and not
//! the work. Streams are made before the clock starts and dropped after it has stopped. The
//! producer is one thread, but where a load says otherwise.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Contender, Queue};

/// How many streams [`Join`] waits for.
const BRANCHES: usize = 64;

/// How many threads give tasks in [`SharedStream`] and [`OwnStreams`].
const PRODUCERS: u64 = 4;

/// Spins for `time`: the caller's core stays awake, and everybody else has time to fall asleep.
pub fn rest(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        spin_loop();
    }
}

/// What a contender is asked to do.
pub trait Load<C: Contender> {
    /// Gets the streams ready for runs of this size.
    fn new(contender: &C, size: u64) -> Self;

    /// How many of the unit that its time is given in one run has: tasks, hops or rounds.
    fn units(&self) -> u64;

    /// One run: from the first call of the contender to the return of the last `synchronize`. This
    /// is what is timed.
    fn run(&mut self);

    /// Panics unless all runs so far have done all of their work, in order.
    fn check(&self);
}

/// What the tasks of one load do, and whether they all did.
struct Tally {
    counts: &'static Counts,
    expected: u64,
}

/// On cache lines of its own.
#[repr(align(128))]
struct Counts {
    ran: AtomicU64,
    /// Tasks that ran before one that they should have come after.
    early: AtomicU64,
}

impl Tally {
    fn new() -> Self {
        // Leaked, so that a task holds a plain reference: counting references would be more work
        // than the task itself.
        let counts =
            Box::leak(Box::new(Counts { ran: AtomicU64::new(0), early: AtomicU64::new(0) }));
        Tally { counts, expected: 0 }
    }

    /// The task: an increment.
    fn task(&mut self) -> impl FnOnce() + Send + 'static {
        self.expected += 1;
        let counts = self.counts;
        move || {
            black_box(counts).ran.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The same, and it takes note if it does not run right after the task that was made before it.
    fn next_task(&mut self) -> impl FnOnce() + Send + 'static {
        let (turn, counts) = (self.expected, self.counts);
        self.expected += 1;
        move || {
            if black_box(counts).ran.fetch_add(1, Ordering::Relaxed) != turn {
                counts.early.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// One for each producer, of the same counts.
    fn split(&self) -> Vec<Tally> {
        (0..PRODUCERS).map(|_| Tally { counts: self.counts, expected: 0 }).collect()
    }

    fn merge(&mut self, parts: Vec<Tally>) {
        self.expected += parts.iter().map(|part| part.expected).sum::<u64>();
    }

    fn check(&self, contender: &str) {
        let (ran, early) = (self.counts.ran.load(Ordering::Relaxed), &self.counts.early);
        assert_eq!(ran, self.expected, "{contender}: tasks run (left) and submitted (right)");
        assert_eq!(early.load(Ordering::Relaxed), 0, "{contender}: tasks that did not wait");
    }
}

/// W1: one producer gives tasks to one stream, then waits. The size is the number of tasks. With
/// one task it is W4: a trip to an idle stream and back.
pub struct OneStream<C: Contender> {
    stream: C::Stream,
    tally: Tally,
    size: u64,
}

impl<C: Contender> Load<C> for OneStream<C> {
    fn new(contender: &C, size: u64) -> Self {
        OneStream { stream: contender.stream(), tally: Tally::new(), size }
    }

    fn units(&self) -> u64 {
        self.size
    }

    fn run(&mut self) {
        for _ in 0..self.size {
            self.stream.launch(self.tally.task());
        }
        self.stream.synchronize();
    }

    fn check(&self) {
        self.tally.check(C::NAME);
    }
}

/// W2: as many tasks for each stream as there are streams, given round robin, then a wait for each
/// stream. The size is the number of streams.
pub struct ManyStreams<C: Contender> {
    streams: Vec<C::Stream>,
    tally: Tally,
}

impl<C: Contender> Load<C> for ManyStreams<C> {
    fn new(contender: &C, size: u64) -> Self {
        ManyStreams {
            streams: (0..size).map(|_| contender.stream()).collect(),
            tally: Tally::new(),
        }
    }

    fn units(&self) -> u64 {
        let streams = self.streams.len() as u64;
        streams * streams
    }

    fn run(&mut self) {
        for _ in 0..self.streams.len() {
            for stream in &self.streams {
                stream.launch(self.tally.task());
            }
        }
        self.streams.iter().for_each(Queue::synchronize);
    }

    fn check(&self) {
        self.tally.check(C::NAME);
    }
}

/// W1p: four producers give tasks to one stream, each a fourth of the size, and each waits.
pub struct SharedStream<C: Contender> {
    stream: C::Stream,
    tally: Tally,
    size: u64,
}

impl<C: Contender> Load<C> for SharedStream<C> {
    fn new(contender: &C, size: u64) -> Self {
        SharedStream { stream: contender.stream(), tally: Tally::new(), size: size / PRODUCERS }
    }

    fn units(&self) -> u64 {
        self.size * PRODUCERS
    }

    fn run(&mut self) {
        let (stream, size) = (&self.stream, self.size);
        let mut tallies = self.tally.split();
        thread::scope(|scope| {
            for tally in &mut tallies {
                scope.spawn(move || {
                    for _ in 0..size {
                        stream.launch(tally.task());
                    }
                    stream.synchronize();
                });
            }
        });
        self.tally.merge(tallies);
    }

    fn check(&self) {
        self.tally.check(C::NAME);
    }
}

/// W2p: four producers with a fourth of the streams each, to which they give tasks round robin, as
/// many for each stream as there are streams in all; then each waits for each of its own.
pub struct OwnStreams<C: Contender> {
    streams: Vec<C::Stream>,
    tally: Tally,
}

impl<C: Contender> Load<C> for OwnStreams<C> {
    fn new(contender: &C, size: u64) -> Self {
        let size = size.next_multiple_of(PRODUCERS);
        OwnStreams { streams: (0..size).map(|_| contender.stream()).collect(), tally: Tally::new() }
    }

    fn units(&self) -> u64 {
        let streams = self.streams.len() as u64;
        streams * streams
    }

    fn run(&mut self) {
        let rounds = self.streams.len();
        let mut tallies = self.tally.split();
        thread::scope(|scope| {
            let own = self.streams.chunks(rounds / PRODUCERS as usize);
            for (tally, own) in tallies.iter_mut().zip(own) {
                scope.spawn(move || {
                    for _ in 0..rounds {
                        for stream in own {
                            stream.launch(tally.task());
                        }
                    }
                    own.iter().for_each(Queue::synchronize);
                });
            }
        });
        self.tally.merge(tallies);
    }

    fn check(&self) {
        self.tally.check(C::NAME);
    }
}

/// W3: two streams by turns, each task behind a wait for the other stream's last event. The size is
/// the number of rounds, of two hops each.
pub struct TakingTurns<C: Contender> {
    streams: [C::Stream; 2],
    tally: Tally,
    size: u64,
}

impl<C: Contender> Load<C> for TakingTurns<C> {
    fn new(contender: &C, size: u64) -> Self {
        let streams = [contender.stream(), contender.stream()];
        TakingTurns { streams, tally: Tally::new(), size }
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
                stream.launch(self.tally.next_task());
                last = stream.record();
            }
        }
        second.synchronize();
    }

    fn check(&self) {
        self.tally.check(C::NAME);
    }
}

/// W5: 64 streams get a task each, one more stream waits for all of them, and the caller for that
/// one only. The size is of no matter: one run is one round.
pub struct Join<C: Contender> {
    branches: Vec<C::Stream>,
    trunk: C::Stream,
    tally: Tally,
}

impl<C: Contender> Load<C> for Join<C> {
    fn new(contender: &C, _: u64) -> Self {
        let branches = (0..BRANCHES).map(|_| contender.stream()).collect();
        Join { branches, trunk: contender.stream(), tally: Tally::new() }
    }

    fn units(&self) -> u64 {
        1
    }

    fn run(&mut self) {
        for branch in &self.branches {
            branch.launch(self.tally.task());
        }
        for branch in &self.branches {
            self.trunk.wait(&branch.record());
        }
        self.trunk.synchronize();
    }

    fn check(&self) {
        self.tally.check(C::NAME);
    }
}
