//! Shuttle tests of the executor: random schedules of programs that are too large for loom.
//!
//! `RUSTFLAGS="--cfg gpu_stream_shuttle" cargo test -p gpu-stream-host --lib --release`
//!
//! Shuttle treats every memory ordering as the strongest one; the loom models cover the weaker
//! ones. `GPU_STREAM_SHUTTLE_SCHEDULES=100000` runs more schedules. A schedule that fails is
//! printed, and `GPU_STREAM_SHUTTLE_REPLAY=…` runs it again.

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
use super::streams::{Origin, StreamEntry, Streams};
use crate::sync::{Arc, UnsafeCell};

/// The default number of schedules of each program.
const SCHEDULES: usize = 3_000;

/// Runs half of the schedules at random, and half by PCT with a few priority changes. The latter
/// finds errors that need a thread to be preempted for long.
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

/// A counter that the items of one stream increment without a lock.
struct Steps {
    next: UnsafeCell<u64>,
    ran: AtomicUsize,
}

// SAFETY: the cell panics if two threads access it at once. That the streams prevent this is what
// the programs show.
unsafe impl Sync for Steps {}
// SAFETY: a `u64` and an atomic can be sent to another thread.
unsafe impl Send for Steps {}

impl Steps {
    fn new() -> Arc<Self> {
        Arc::new(Steps { next: UnsafeCell::new(0), ran: AtomicUsize::new(0) })
    }

    /// Counts one item.
    fn step(&self) {
        // SAFETY: the pointer is valid inside of `with_mut`, and the cell checks that the access is
        // exclusive.
        self.next.with_mut(|next| unsafe { *next += 1 });
        self.ran.fetch_add(1, Ordering::SeqCst);
    }

    fn ran(&self) -> usize {
        self.ran.load(Ordering::SeqCst)
    }
}

/// Streams of one pool, with the number of items that each was submitted.
struct TestStreams {
    pool: Arc<Pool>,
    registry: Arc<Streams>,
    entries: Vec<Arc<StreamEntry>>,
    steps: Vec<Arc<Steps>>,
    submitted: Vec<AtomicUsize>,
}

impl TestStreams {
    fn new(streams: usize) -> Arc<Self> {
        let pool = Pool::new();
        let all = Arc::new(Streams::new(0, &pool));
        let create = |index: usize| {
            let options = StreamOptions::new().priority(index as i32 % 3 - 1);
            all.create(&pool, 0, options, Origin::Owned)
        };
        Arc::new(TestStreams {
            entries: (0..streams).map(create).collect(),
            steps: (0..streams).map(|_| Steps::new()).collect(),
            submitted: (0..streams).map(|_| AtomicUsize::new(0)).collect(),
            registry: all,
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
        self.submitted[stream].fetch_add(1, Ordering::SeqCst);
        Ok(number)
    }

    /// Returns a record of all submitted items.
    fn record(&self, stream: usize) -> Record {
        let queue = self.queue(stream);
        Record::new(Arc::clone(queue), queue.submitted(), None)
    }

    /// Performs a random operation.
    fn random_step(&self) {
        let mut random = thread_rng();
        let (one, other) =
            (random.gen_range(0..self.entries.len()), random.gen_range(0..self.entries.len()));
        match random.gen_range(0..6) {
            0 | 1 => drop(self.launch(one)),
            // Submits a wait, and a task that checks that the other stream's work is done.
            2 | 3 if one != other => {
                let before = self.steps[other].ran();
                let (record, steps) = (self.record(other), Arc::clone(&self.steps[other]));
                let awaited = record.clone();
                let _ = self.queue(one).submit_wait(record);
                let _ = self.queue(one).launch(move || {
                    assert!(matches!(awaited.is_complete(), Ok(true)), "a wait ended early");
                    assert!(steps.ran() >= before);
                });
            }
            4 => {
                let number = self.queue(one).submitted();
                assert!(self.queue(one).wait_for(number, random.gen_bool(0.5)).is_ok());
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

    /// Asserts that each submitted item has run once, and ends the workers.
    fn finish(&self, workers: Vec<thread::JoinHandle<()>>) {
        for (index, entry) in self.entries.iter().enumerate() {
            assert!(entry.queue.wait_for(entry.queue.submitted(), true).is_ok());
            assert_eq!(self.steps[index].ran(), self.submitted[index].load(Ordering::SeqCst));
        }
        self.pool.stop();
        workers.into_iter().for_each(|worker| worker.join().expect("worker"));
    }
}

/// Three threads submit, wait and block on three streams, which two workers run.
#[test]
fn random_operations_run_each_item_once() {
    check(|| {
        let streams = TestStreams::new(3);
        let workers = streams.workers(2);
        let users: Vec<_> = (0..3)
            .map(|_| {
                let streams = Arc::clone(&streams);
                thread::spawn(move || (0..5).for_each(|_| streams.random_step()))
            })
            .collect();
        users.into_iter().for_each(|user| user.join().expect("user"));
        streams.finish(workers);
    });
}

/// The pool has one worker, so blocked threads run most of the streams.
#[test]
fn blocked_threads_run_the_streams() {
    check(|| {
        let streams = TestStreams::new(2);
        let workers = streams.workers(1);
        let user = |streams: &Arc<TestStreams>| {
            let streams = Arc::clone(streams);
            thread::spawn(move || {
                for _ in 0..4 {
                    drop(streams.launch(0));
                    drop(streams.launch(1));
                    let _ = streams.queue(1).submit_wait(streams.record(0));
                    let number = streams.queue(1).submitted();
                    assert!(streams.queue(1).wait_for(number, true).is_ok());
                }
            })
        };
        let users = [user(&streams), user(&streams), user(&streams)];
        users.into_iter().for_each(|user| user.join().expect("user"));
        streams.finish(workers);
    });
}

/// Gates open while streams reach the waits for them, and while threads block on these streams.
#[test]
fn gates_resume_streams_in_random_schedules() {
    check(|| {
        let streams = TestStreams::new(3);
        let workers = streams.workers(2);
        let gates: Vec<_> = (0..3).map(|_| Queue::new_external(&streams.pool)).collect();
        for (index, gate) in gates.iter().enumerate() {
            let _ = streams.queue(index).submit_wait(Record::new(Arc::clone(gate), 1, None));
            drop(streams.launch(index));
            let _ = streams.queue((index + 1) % 3).submit_wait(streams.record(index));
            drop(streams.launch((index + 1) % 3));
        }
        let opener = thread::spawn(move || gates.iter().for_each(|gate| gate.complete_external()));
        let theirs = Arc::clone(&streams);
        let user = thread::spawn(move || (0..3).for_each(|_| theirs.random_step()));
        opener.join().expect("opener");
        user.join().expect("user");
        streams.finish(workers);
    });
}

/// A stream fails while others wait for it, submit to it and block on it. Each gets the fault, and
/// the other streams continue.
#[test]
fn fault_reaches_waiters_in_random_schedules() {
    check(|| {
        let streams = TestStreams::new(3);
        let workers = streams.workers(2);
        let gate = Queue::new_external(&streams.pool);
        let _ = streams.queue(0).submit_wait(Record::new(Arc::clone(&gate), 1, None));
        let failed = Arc::clone(&gate);
        let breaker = thread::spawn(move || {
            failed.progress.fail(Fault::new(1, "random"), |waiter| wake(waiter, None));
        });
        let theirs = Arc::clone(&streams);
        // After the wait in any case, whether the stream has already failed or not.
        let user = thread::spawn(move || {
            drop(theirs.launch(0));
            let _ = theirs.queue(1).submit_wait(theirs.record(0));
            let number = theirs.queue(1).submitted();
            theirs.queue(1).wait_for(number, true)
        });
        assert!(user.join().expect("user").is_err());
        breaker.join().expect("breaker");
        assert!(streams.queue(0).wait_for(1, true).is_err());
        assert_eq!(streams.steps[0].ran(), 0, "an item after the fault ran");
        drop(streams.launch(2));
        assert!(streams.queue(2).wait_for(streams.queue(2).submitted(), true).is_ok());
        streams.pool.stop();
        workers.into_iter().for_each(|worker| worker.join().expect("worker"));
    });
}

/// Several threads create streams, submit work and destroy them. Then the process exits.
#[test]
fn exit_loses_no_work() {
    check(|| {
        let streams = TestStreams::new(2);
        let workers = streams.workers(2);
        let (submitted, steps) = (Arc::new(AtomicUsize::new(0)), Steps::new());
        let user = || {
            let (streams, submitted) = (Arc::clone(&streams), Arc::clone(&submitted));
            let ran = Arc::clone(&steps);
            thread::spawn(move || {
                for _ in 0..2 {
                    let entry = streams.registry.create(
                        &streams.pool,
                        0,
                        StreamOptions::new(),
                        Origin::Owned,
                    );
                    let _ = entry.queue.submit_wait(streams.record(0));
                    let ran = Arc::clone(&ran);
                    let launched = entry.queue.launch(move || {
                        ran.ran.fetch_add(1, Ordering::SeqCst);
                    });
                    assert!(launched.is_ok());
                    submitted.fetch_add(1, Ordering::SeqCst);
                    assert!(streams.registry.destroy(entry.handle()));
                    assert!(!streams.registry.destroy(entry.handle()));
                    drop(streams.launch(0));
                }
            })
        };
        let users = [user(), user()];
        let before = submitted.load(Ordering::SeqCst);
        wait_quiescent(|| streams.registry.all(), || false);
        assert!(steps.ran() >= before, "the process exits, and work is lost");
        users.into_iter().for_each(|user| user.join().expect("user"));
        wait_quiescent(|| streams.registry.all(), || false);
        assert_eq!(steps.ran(), 4);
        streams.finish(workers);
    });
}
