//! Loom models of the executor: every order that the memory model allows, up to three preemptions.
//! One file, because all models share `Cell` and the helpers below.
//!
//! `RUSTFLAGS="--cfg gpu_stream_loom" cargo test -p gpu-stream-host --lib --release`
//!
//! Data that needs exclusive access, or that has to be visible after a wait, lies in loom's
//! `UnsafeCell`. That fails the model if two accesses are not ordered.

use gpu_stream_core::StreamOptions;
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::fault::Fault;
use super::item::Task;
use super::level::Level;
use super::local::Local;
use super::parker::Parker;
use super::pool::Pool;
use super::progress::{Progress, Waiter};
use super::queue::{Queue, SubmitError};
use super::ready::ReadyList;
use super::record::Record;
use super::settle::wait_quiescent;
use super::streams::{Origin, Streams};
use super::task_queue::TaskQueue;
use crate::sync::Arc;

/// Checks `model` with up to three preemptions.
fn check(model: impl Fn() + Sync + Send + 'static) {
    check_within(3, model);
}

/// Checks `model` with a bounded number of preemptions.
fn check_within(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// A number whose accesses loom checks.
struct Cell(UnsafeCell<u32>);

// SAFETY: loom fails the model if two accesses of the cell are not ordered. That there are none is
// what the models show.
unsafe impl Sync for Cell {}
// SAFETY: a `u32` can be sent to another thread.
unsafe impl Send for Cell {}

impl Cell {
    fn new() -> Arc<Self> {
        Arc::new(Cell(UnsafeCell::new(0)))
    }

    fn get(&self) -> u32 {
        // SAFETY: the pointer is valid inside of `with`, and loom checks for conflicting accesses.
        self.0.with(|value| unsafe { *value })
    }

    fn set(&self, new: u32) {
        // SAFETY: the pointer is valid inside of `with_mut`, and loom checks for conflicting
        // accesses.
        self.0.with_mut(|value| unsafe { *value = new });
    }

    /// Returns a task that expects `old` and sets `new`.
    fn step(self: &Arc<Self>, old: u32, new: u32) -> impl FnOnce() + Send + 'static {
        let cell = Arc::clone(self);
        move || {
            assert_eq!(cell.get(), old, "the previous task has not run, or is not visible");
            cell.set(new);
        }
    }
}

fn queue(id: u64, pool: &Arc<Pool>) -> Arc<Queue> {
    Queue::new(id, Level::Normal, pool)
}

fn submit(queue: &Arc<Queue>, task: impl FnOnce() + Send + 'static) -> u64 {
    queue.launch(task).ok().expect("the queue accepts it")
}

/// Makes `queue` wait for item 1 of `other`.
fn wait_for(queue: &Arc<Queue>, other: &Arc<Queue>) -> u64 {
    queue.submit_wait(Record::new(Arc::clone(other), 1, None)).ok().expect("the queue accepts it")
}

/// Runs each ready queue once, as a worker does before it sleeps.
fn run_ready(pool: &Pool, queues: &[Arc<Queue>]) {
    let mut local = Local::new(pool);
    for queue in queues {
        queue.run(&mut local, None);
    }
    local.flush();
}

fn wake_thread(waiter: Waiter) {
    if let Waiter::Thread(parker) = waiter {
        parker.set();
    }
}

#[test]
fn watcher_is_woken_or_observes_the_number() {
    check(|| {
        let progress = Arc::new(Progress::new());
        let cell = Cell::new();
        let (theirs, written) = (Arc::clone(&progress), Arc::clone(&cell));
        let runner = thread::spawn(move || {
            written.set(1);
            theirs.advance(1, wake_thread);
        });
        let parker = Parker::new();
        if progress.watch(1, Waiter::Thread(Arc::clone(&parker))) {
            parker.wait();
        }
        assert!(matches!(progress.check(1), Ok(true)));
        assert_eq!(cell.get(), 1);
        runner.join().expect("runner");
    });
}

#[test]
fn watcher_is_woken_by_a_fault() {
    check(|| {
        let progress = Arc::new(Progress::new());
        let theirs = Arc::clone(&progress);
        let runner = thread::spawn(move || {
            theirs.advance(1, wake_thread);
            theirs.fail(Fault::new(7, "model"), wake_thread);
        });
        let parker = Parker::new();
        if progress.watch(2, Waiter::Thread(Arc::clone(&parker))) {
            parker.wait();
        }
        assert!(progress.check(2).is_err(), "2 is never reached");
        assert!(matches!(progress.check(1), Ok(true)), "1 was reached before the fault");
        runner.join().expect("runner");
    });
}

/// Two threads run one queue while its tasks are still being submitted.
#[test]
fn queue_runs_tasks_in_order_on_one_thread_at_a_time() {
    check(|| {
        let pool = Pool::new();
        let stream = queue(9, &pool);
        let cell = Cell::new();
        submit(&stream, cell.step(0, 1));
        let (theirs, their_pool) = (Arc::clone(&stream), Arc::clone(&pool));
        let worker = thread::spawn(move || run_ready(&their_pool, &[theirs]));
        submit(&stream, cell.step(1, 2));
        // The third item needs a second chunk: in the models a chunk has room for two.
        let last = submit(&stream, cell.step(2, 3));
        assert!(stream.wait_for(last, true).is_ok());
        assert_eq!(cell.get(), 3);
        worker.join().expect("worker");
    });
}

/// Two threads push to a ready list, and two pop from it.
#[test]
fn ready_list_returns_each_queue_once() {
    check(|| {
        let list = Arc::new(ReadyList::new());
        let pool = Pool::new();
        let theirs = Arc::clone(&list);
        let [mine, other] = [9, 10].map(|id| queue(id, &pool));
        let pusher = thread::spawn(move || {
            // SAFETY: the queue is in no list.
            unsafe { theirs.push(other) };
            theirs.pop().map_or(0, |queue| queue.id())
        });
        // SAFETY: the queue is in no list.
        unsafe { list.push(mine) };
        let mut sum = list.pop().map_or(0, |queue| queue.id());
        sum += pusher.join().expect("pusher");
        while let Some(queue) = list.pop() {
            sum += queue.id();
        }
        assert_eq!(sum, 19, "each queue was returned once");
        assert!(list.is_empty() && list.is_empty_acqrel());
    });
}

#[test]
fn items_of_two_producers_run_once() {
    check(|| {
        let pool = Pool::new();
        let stream = queue(9, &pool);
        let ran = Arc::new(AtomicUsize::new(0));
        let count = |ran: &Arc<AtomicUsize>| {
            let ran = Arc::clone(ran);
            move || {
                ran.fetch_add(1, Ordering::Relaxed);
            }
        };
        let (theirs, task, their_pool) = (Arc::clone(&stream), count(&ran), Arc::clone(&pool));
        let producer = thread::spawn(move || {
            let number = submit(&theirs, task);
            run_ready(&their_pool, &[theirs]);
            number
        });
        let mine = submit(&stream, count(&ran));
        assert!(stream.wait_for(mine, true).is_ok());
        let last = producer.join().expect("producer").max(mine);
        assert!(stream.wait_for(last, true).is_ok());
        assert_eq!(ran.load(Ordering::Relaxed), 2);
    });
}

/// The runner leaves while a thread submits two items. If an item is left over, its submitter was
/// told that the queue was idle, once; otherwise it was not told.
#[test]
fn runner_that_leaves_hands_the_queue_to_the_submitter() {
    check(|| {
        let tasks = Arc::new(TaskQueue::new());
        let push = |tasks: &TaskQueue| tasks.push(Task(|| ())).expect("the queue is open").was_idle;
        assert!(push(&tasks));
        let theirs = Arc::clone(&tasks);
        let submitter =
            thread::spawn(move || usize::from(push(&theirs)) + usize::from(push(&theirs)));
        let mut taken = 0;
        let mut running = Some(tasks.read());
        while let Some(mut reader) = running {
            while let Some(item) = reader.front() {
                item.run();
                taken += 1;
            }
            running = reader.leave_if_empty(|is_closed| assert!(!is_closed));
        }
        let told = submitter.join().expect("submitter");
        assert_eq!(told, usize::from(taken < 3), "{taken} of 3 items were run");
    });
}

/// A waiting stream observes the writes of the other one, in each order of arrival.
#[test]
fn wait_orders_two_streams() {
    check(|| {
        let pool = Pool::new();
        let (first, second) = (queue(9, &pool), queue(10, &pool));
        let cell = Cell::new();
        submit(&first, cell.step(0, 1));
        wait_for(&second, &first);
        let last = submit(&second, cell.step(1, 2));
        let (theirs, their_pool) = (Arc::clone(&second), Arc::clone(&pool));
        let worker = thread::spawn(move || run_ready(&their_pool, &[theirs]));
        assert!(first.wait_for(1, true).is_ok());
        assert!(second.wait_for(last, true).is_ok());
        assert_eq!(cell.get(), 2);
        worker.join().expect("worker");
    });
}

/// A gate opens while the stream reaches the wait for it.
#[test]
fn gate_that_opens_during_the_wait_resumes_the_stream() {
    check(|| {
        let pool = Pool::new();
        let (gate, stream) = (Queue::new_external(&pool), queue(9, &pool));
        let cell = Cell::new();
        wait_for(&stream, &gate);
        let last = submit(&stream, cell.step(7, 8));
        let (closed, written) = (Arc::clone(&gate), Arc::clone(&cell));
        let (theirs, their_pool) = (Arc::clone(&stream), Arc::clone(&pool));
        let opener = thread::spawn(move || {
            written.set(7);
            closed.complete_external();
            run_ready(&their_pool, &[theirs]);
        });
        assert!(stream.wait_for(last, true).is_ok());
        assert_eq!(cell.get(), 8);
        opener.join().expect("opener");
    });
}

/// A fault reaches all waiters. The later items of the stream are dropped before a waiter is woken.
#[test]
fn fault_reaches_waiters_after_later_items_are_dropped() {
    check(|| {
        let pool = Pool::new();
        let (first, second) = (queue(9, &pool), queue(10, &pool));
        let gate = Queue::new_external(&pool);
        wait_for(&first, &gate);
        let captured = Arc::new(());
        let held = Arc::clone(&captured);
        submit(&first, move || drop(held));
        wait_for(&second, &first);
        let (closed, their_pool) = (Arc::clone(&gate), Arc::clone(&pool));
        let theirs = [Arc::clone(&first), Arc::clone(&second)];
        let breaker = thread::spawn(move || {
            closed.progress.fail(Fault::new(1, "model"), |waiter| super::queue::wake(waiter, None));
            run_ready(&their_pool, &theirs);
        });
        assert!(first.wait_for(2, true).is_err());
        assert_eq!(Arc::strong_count(&captured), 1, "the closure was dropped");
        assert!(second.wait_for(1, true).is_err());
        assert!(matches!(first.ensure_usable(), Err(SubmitError::Faulted(_))));
        breaker.join().expect("breaker");
    });
}

/// A worker that falls asleep does not miss a push.
#[test]
fn push_wakes_a_sleeping_worker() {
    check(|| {
        let pool = Pool::new();
        let stream = queue(9, &pool);
        let cell = Cell::new();
        let their_pool = Arc::clone(&pool);
        let worker = thread::spawn(move || their_pool.work());
        let last = submit(&stream, cell.step(0, 1));
        assert!(stream.wait_for(last, false).is_ok());
        assert_eq!(cell.get(), 1);
        pool.stop();
        worker.join().expect("worker");
    });
}

/// A push wakes no worker while one is searching. The searching worker wakes another when it stops.
#[test]
fn worker_that_stops_searching_wakes_another_for_missed_pushes() {
    check_within(2, || {
        let pool = Pool::new();
        let stream = queue(9, &pool);
        let (their_pool, searching_pool) = (Arc::clone(&pool), Arc::clone(&pool));
        let worker = thread::spawn(move || their_pool.work());
        let searching = thread::spawn(move || {
            if searching_pool.start_searching() {
                searching_pool.stop_searching();
            }
        });
        let last = submit(&stream, || ());
        assert!(stream.wait_for(last, false).is_ok());
        searching.join().expect("searching");
        pool.stop();
        worker.join().expect("worker");
    });
}

/// Two threads push. One of them can try to wake a worker that is no longer asleep.
#[test]
fn concurrent_pushes_lose_no_wakeup() {
    check_within(2, || {
        let pool = Pool::new();
        let streams = [queue(9, &pool), queue(10, &pool)];
        let (their_pool, theirs) = (Arc::clone(&pool), Arc::clone(&streams[0]));
        let worker = thread::spawn(move || their_pool.work());
        let pusher = thread::spawn(move || submit(&theirs, || ()));
        submit(&streams[1], || ());
        for stream in &streams {
            assert!(stream.wait_for(1, false).is_ok());
        }
        pusher.join().expect("pusher");
        pool.stop();
        worker.join().expect("worker");
    });
}

/// Two tasks, of which one blocks on the other: each gets a worker, although a push wakes none
/// while one is searching. (A task should not block on another stream's task; here that detects a
/// worker that sleeps too long.)
#[test]
fn two_pushes_get_a_worker_each() {
    check_within(1, || {
        let pool = Pool::new();
        let streams = [queue(9, &pool), queue(10, &pool)];
        let workers = [(); 2].map(|()| {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.work())
        });
        let parker = Parker::new();
        let (wait, set) = (Arc::clone(&parker), parker);
        submit(&streams[0], move || wait.wait());
        submit(&streams[1], move || set.set());
        for stream in &streams {
            assert!(stream.wait_for(1, false).is_ok());
        }
        pool.stop();
        for worker in workers {
            worker.join().expect("worker");
        }
    });
}

/// A stream is destroyed with work in it while the process exits.
#[test]
fn exit_waits_for_a_stream_that_is_being_destroyed() {
    check_within(2, || {
        let pool = Pool::new();
        let streams = Arc::new(Streams::new(0, &pool));
        let entry = streams.create(&pool, 0, StreamOptions::new(), Origin::Owned);
        let (handle, ran) = (entry.handle(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&ran);
        submit(&entry.queue, move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let theirs = Arc::clone(&streams);
        let dropper = thread::spawn(move || assert!(theirs.destroy(handle)));
        let (their_pool, queue) = (Arc::clone(&pool), Arc::clone(&entry.queue));
        let worker = thread::spawn(move || run_ready(&their_pool, &[queue]));
        wait_quiescent(|| streams.all(), || false);
        assert_eq!(ran.load(Ordering::Relaxed), 1, "the process exits, and work is lost");
        worker.join().expect("worker");
        dropper.join().expect("dropper");
    });
}

/// Two threads submit work and drop their wrappers. The work of both runs.
#[test]
fn last_wrapper_destroys_the_stream_once() {
    struct Owner(Arc<Streams>, usize, Arc<AtomicUsize>);
    impl Drop for Owner {
        fn drop(&mut self) {
            assert!(self.0.destroy(self.1), "destroyed twice");
            self.2.fetch_add(1, Ordering::Relaxed);
        }
    }
    check_within(2, || {
        let pool = Pool::new();
        let streams = Arc::new(Streams::new(0, &pool));
        let entry = streams.create(&pool, 0, StreamOptions::new(), Origin::Owned);
        let destroyed = Arc::new(AtomicUsize::new(0));
        let owner = Arc::new(Owner(Arc::clone(&streams), entry.handle(), Arc::clone(&destroyed)));
        let ran = Arc::new(AtomicUsize::new(0));
        // Returns the work of one thread, which owns one wrapper.
        let user = |owner: Arc<Owner>| {
            let (queue, ran) = (Arc::clone(&entry.queue), Arc::clone(&ran));
            move || {
                let count = Arc::clone(&ran);
                submit(&queue, move || {
                    count.fetch_add(1, Ordering::Relaxed);
                });
                drop(owner);
            }
        };
        let (mine, theirs) = (user(Arc::clone(&owner)), user(owner));
        let other = thread::spawn(theirs);
        mine();
        run_ready(&pool, &[Arc::clone(&entry.queue)]);
        other.join().expect("the other");
        assert_eq!(destroyed.load(Ordering::Relaxed), 1);
        assert!(streams.find(entry.handle()).is_none());
        assert!(matches!(entry.queue.ensure_usable(), Err(SubmitError::Closed)));
        run_ready(&pool, &[Arc::clone(&entry.queue)]);
        assert_eq!(ran.load(Ordering::Relaxed), 2);
    });
}

/// Two threads open one gate while a stream reaches the wait for it.
#[test]
fn gate_can_be_opened_by_two_threads() {
    check_within(2, || {
        let pool = Pool::new();
        let (gate, stream) = (Queue::new_external(&pool), queue(9, &pool));
        wait_for(&stream, &gate);
        let last = submit(&stream, || ());
        let (closed, theirs, their_pool) =
            (Arc::clone(&gate), Arc::clone(&stream), Arc::clone(&pool));
        let opener = thread::spawn(move || {
            closed.complete_external();
            run_ready(&their_pool, &[theirs]);
        });
        gate.complete_external();
        assert!(stream.wait_for(last, true).is_ok());
        opener.join().expect("opener");
    });
}
