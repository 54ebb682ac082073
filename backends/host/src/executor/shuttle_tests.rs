//! Shuttle runs these in many orders, chosen by chance: longer programs, with more threads, than loom
//! can run in all orders. It takes every memory order for the strongest; what the weaker ones allow
//! is loom's part.
//!
//! `RUSTFLAGS="--cfg gpu_stream_shuttle" cargo test -p gpu-stream-host --lib --release`
//!
//! `GPU_STREAM_SHUTTLE_SCHEDULES=100000` runs more; a schedule that fails is printed, and
//! `GPU_STREAM_SHUTTLE_REPLAY=…` runs it again.

use gpu_stream_core::StreamOptions;
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::{Config, Runner, thread};

use super::fault::Fault;
use super::parker::Parker;
use super::pool::Pool;
use super::progress::Waiter;
use super::queue::{Queue, SubmitError, wake};
use super::record::Record;
use super::settle::wait_quiescent;
use super::streams::{Entry, Origin, Streams};
use crate::sync::{Arc, UnsafeCell};

/// Schedules of each program, unless the variable says how many.
const SCHEDULES: usize = 3_000;

/// Runs half of the schedules by chance, and half with a few changes of priority, which finds what
/// needs a thread to be stopped for long.
fn check(program: impl Fn() + Send + Sync + 'static) {
    if let Ok(schedule) = std::env::var("GPU_STREAM_SHUTTLE_REPLAY") {
        shuttle::replay(program, &schedule);
        return;
    }
    let schedules = std::env::var("GPU_STREAM_SHUTTLE_SCHEDULES");
    let schedules = schedules.map_or(SCHEDULES, |text| text.parse().expect("a count of schedules"));
    let mut config = Config::new();
    config.stack_size = 1 << 17;
    let program = Arc::new(program);
    let again = Arc::clone(&program);
    let random = RandomScheduler::new(schedules.div_ceil(2));
    Runner::new(random, config.clone()).run(move || program());
    let priorities = PctScheduler::new(4, schedules / 2);
    Runner::new(priorities, config).run(move || again());
}

/// What each item of a stream finds and leaves, without a lock: one at a time, and in order.
struct Steps {
    next: UnsafeCell<u64>,
    ran: AtomicUsize,
}

// SAFETY: that is what the programs are to show; the cell checks it.
unsafe impl Sync for Steps {}
// SAFETY: as above.
unsafe impl Send for Steps {}

impl Steps {
    fn new() -> Arc<Self> {
        Arc::new(Steps { next: UnsafeCell::new(0), ran: AtomicUsize::new(0) })
    }

    /// Takes a step of a stream's own.
    fn step(&self) {
        // SAFETY: the cell checks that nobody else is there.
        self.next.with_mut(|next| unsafe { *next += 1 });
        self.ran.fetch_add(1, Ordering::SeqCst);
    }

    fn ran(&self) -> usize {
        self.ran.load(Ordering::SeqCst)
    }
}

/// Threads of a pool, streams, and how many items each was given.
struct World {
    pool: Arc<Pool>,
    streams: Arc<Streams>,
    entries: Vec<Arc<Entry>>,
    steps: Vec<Arc<Steps>>,
    given: Vec<AtomicUsize>,
}

impl World {
    fn new(streams: usize) -> Arc<Self> {
        let pool = Pool::new();
        let all = Arc::new(Streams::new(0, &pool));
        let create = |index: usize| {
            let options = StreamOptions::new().priority(index as i32 % 3 - 1);
            all.create(&pool, 0, options, Origin::Owned)
        };
        Arc::new(World {
            entries: (0..streams).map(create).collect(),
            steps: (0..streams).map(|_| Steps::new()).collect(),
            given: (0..streams).map(|_| AtomicUsize::new(0)).collect(),
            streams: all,
            pool,
        })
    }

    fn workers(self: &Arc<Self>, count: usize) -> Vec<thread::JoinHandle<()>> {
        let work = |_| {
            let pool = Arc::clone(&self.pool);
            thread::spawn(move || pool.work())
        };
        (0..count).map(work).collect()
    }

    fn queue(&self, stream: usize) -> &Arc<Queue> {
        &self.entries[stream].queue
    }

    fn launch(&self, stream: usize) -> Result<u64, SubmitError> {
        let steps = Arc::clone(&self.steps[stream]);
        let number = self.queue(stream).launch(move || steps.step())?;
        self.given[stream].fetch_add(1, Ordering::SeqCst);
        Ok(number)
    }

    /// A record of all that was submitted.
    fn record(&self, stream: usize) -> Record {
        let queue = self.queue(stream);
        Record::new(Arc::clone(queue), queue.submitted(), None)
    }

    /// Does something by chance, as a thread of a program would.
    fn act(&self) {
        let mut chance = thread_rng();
        let (one, other) =
            (chance.gen_range(0..self.entries.len()), chance.gen_range(0..self.entries.len()));
        match chance.gen_range(0..6) {
            0 | 1 => drop(self.launch(one)),
            // A wait, and work that must find the other stream's done.
            2 | 3 if one != other => {
                let before = self.steps[other].ran();
                let (record, steps) = (self.record(other), Arc::clone(&self.steps[other]));
                let promised = record.clone();
                let _ = self.queue(one).wait(record);
                let _ = self.queue(one).launch(move || {
                    assert!(matches!(promised.is_complete(), Ok(true)), "a wait was passed early");
                    assert!(steps.ran() >= before);
                });
            }
            4 => {
                let number = self.queue(one).submitted();
                assert!(self.queue(one).wait_for(number, chance.gen_bool(0.5)).is_ok());
            }
            _ => {
                let record = self.record(one);
                let parker = Parker::new();
                if record.watch(Waiter::Thread(Arc::clone(&parker))) {
                    parker.wait();
                }
                assert!(matches!(record.is_complete(), Ok(true)));
            }
        }
    }

    /// All that was submitted has run, once.
    fn finish(&self, workers: Vec<thread::JoinHandle<()>>) {
        for (index, entry) in self.entries.iter().enumerate() {
            assert!(entry.queue.wait_for(entry.queue.submitted(), true).is_ok());
            assert_eq!(self.steps[index].ran(), self.given[index].load(Ordering::SeqCst));
        }
        self.pool.stop();
        workers.into_iter().for_each(|worker| worker.join().expect("worker"));
    }
}

/// Three threads submit, wait and block on three streams, which two others run.
#[test]
fn streams_by_chance() {
    check(|| {
        let world = World::new(3);
        let workers = world.workers(2);
        let users: Vec<_> = (0..3)
            .map(|_| {
                let world = Arc::clone(&world);
                thread::spawn(move || (0..5).for_each(|_| world.act()))
            })
            .collect();
        users.into_iter().for_each(|user| user.join().expect("user"));
        world.finish(workers);
    });
}

/// With one thread in the pool, so that whoever blocks runs most of the streams.
#[test]
fn streams_run_by_those_who_block() {
    check(|| {
        let world = World::new(2);
        let workers = world.workers(1);
        let user = |world: &Arc<World>| {
            let world = Arc::clone(world);
            thread::spawn(move || {
                for _ in 0..4 {
                    drop(world.launch(0));
                    drop(world.launch(1));
                    let _ = world.queue(1).wait(world.record(0));
                    let number = world.queue(1).submitted();
                    assert!(world.queue(1).wait_for(number, true).is_ok());
                }
            })
        };
        let users = [user(&world), user(&world), user(&world)];
        users.into_iter().for_each(|user| user.join().expect("user"));
        world.finish(workers);
    });
}

/// Gates are shut and opened while streams come to them and threads block behind them.
#[test]
fn gates_by_chance() {
    check(|| {
        let world = World::new(3);
        let workers = world.workers(2);
        let gates: Vec<_> = (0..3).map(|_| Queue::held(&world.pool)).collect();
        for (index, gate) in gates.iter().enumerate() {
            let _ = world.queue(index).wait(Record::new(Arc::clone(gate), 1, None));
            drop(world.launch(index));
            let _ = world.queue((index + 1) % 3).wait(world.record(index));
            drop(world.launch((index + 1) % 3));
        }
        let opener = thread::spawn(move || gates.iter().for_each(|gate| gate.release()));
        let theirs = Arc::clone(&world);
        let user = thread::spawn(move || (0..3).for_each(|_| theirs.act()));
        opener.join().expect("opener");
        user.join().expect("user");
        world.finish(workers);
    });
}

/// A stream fails while others wait for it, submit to it and block on it: each is told, and the rest
/// goes on.
#[test]
fn a_fault_by_chance() {
    check(|| {
        let world = World::new(3);
        let workers = world.workers(2);
        let gate = Queue::held(&world.pool);
        let _ = world.queue(0).wait(Record::new(Arc::clone(&gate), 1, None));
        let failed = Arc::clone(&gate);
        let breaker = thread::spawn(move || {
            failed.progress.fail(Fault::new(1, "by chance"), |waiter| wake(waiter, None));
        });
        let theirs = Arc::clone(&world);
        // Behind the wait in any case, whether the stream has failed by then or not.
        let user = thread::spawn(move || {
            drop(theirs.launch(0));
            let _ = theirs.queue(1).wait(theirs.record(0));
            let number = theirs.queue(1).submitted();
            theirs.queue(1).wait_for(number, true)
        });
        assert!(user.join().expect("user").is_err());
        breaker.join().expect("breaker");
        assert!(world.queue(0).wait_for(1, true).is_err());
        assert_eq!(world.steps[0].ran(), 0, "what stands behind a fault is not run");
        drop(world.launch(2));
        assert!(world.queue(2).wait_for(world.queue(2).submitted(), true).is_ok());
        world.pool.stop();
        workers.into_iter().for_each(|worker| worker.join().expect("worker"));
    });
}

/// Streams are made, given work and destroyed by several threads; then the process ends.
#[test]
fn the_end_of_the_process_loses_nothing() {
    check(|| {
        let world = World::new(2);
        let workers = world.workers(2);
        let (submitted, steps) = (Arc::new(AtomicUsize::new(0)), Steps::new());
        let user = || {
            let (world, submitted) = (Arc::clone(&world), Arc::clone(&submitted));
            let ran = Arc::clone(&steps);
            thread::spawn(move || {
                for _ in 0..2 {
                    let entry =
                        world.streams.create(&world.pool, 0, StreamOptions::new(), Origin::Owned);
                    let _ = entry.queue.wait(world.record(0));
                    let ran = Arc::clone(&ran);
                    let taken = entry.queue.launch(move || {
                        ran.ran.fetch_add(1, Ordering::SeqCst);
                    });
                    assert!(taken.is_ok());
                    submitted.fetch_add(1, Ordering::SeqCst);
                    assert!(world.streams.destroy(entry.handle()));
                    assert!(!world.streams.destroy(entry.handle()));
                    drop(world.launch(0));
                }
            })
        };
        let users = [user(), user()];
        let before = submitted.load(Ordering::SeqCst);
        wait_quiescent(|| world.streams.all(), || false);
        assert!(steps.ran() >= before, "the process ends, and work is lost");
        users.into_iter().for_each(|user| user.join().expect("user"));
        wait_quiescent(|| world.streams.all(), || false);
        assert_eq!(steps.ran(), 4);
        world.finish(workers);
    });
}
