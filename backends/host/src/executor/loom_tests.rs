//! Loom runs these in every order that the memory model allows, up to three preemptions.
//!
//! `RUSTFLAGS="--cfg gpu_stream_loom" cargo test -p gpu-stream-host --lib --release`
//!
//! Data that must not be touched by two threads at once, or must be seen after a wait, lies in
//! loom's `UnsafeCell`, which fails the model if it is touched without an order.

use gpu_stream_core::StreamOptions;
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::fault::Fault;
use super::parker::Parker;
use super::pool::{Level, Local, Pool};
use super::progress::{Progress, Waiter};
use super::queue::{Queue, SubmitError};
use super::ready::ReadyList;
use super::record::Record;
use super::settle::wait_quiescent;
use super::streams::{Origin, Streams};
use crate::sync::Arc;

fn check(model: impl Fn() + Sync + Send + 'static) {
    check_within(3, model);
}

fn check_within(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// A number that loom watches.
struct Cell(UnsafeCell<u32>);

// SAFETY: that is what the model is to show; loom fails it if two threads touch the cell without an
// order.
unsafe impl Sync for Cell {}
// SAFETY: as above.
unsafe impl Send for Cell {}

impl Cell {
    fn new() -> Arc<Self> {
        Arc::new(Cell(UnsafeCell::new(0)))
    }

    fn get(&self) -> u32 {
        // SAFETY: checked by loom.
        self.0.with(|value| unsafe { *value })
    }

    fn set(&self, new: u32) {
        // SAFETY: checked by loom.
        self.0.with_mut(|value| unsafe { *value = new });
    }

    /// A task that finds `old` and leaves `new`.
    fn step(self: &Arc<Self>, old: u32, new: u32) -> impl FnOnce() + Send + 'static {
        let cell = Arc::clone(self);
        move || {
            assert_eq!(cell.get(), old, "the task before this one has not run, or not been seen");
            cell.set(new);
        }
    }
}

fn queue(id: u64, pool: &Arc<Pool>) -> Arc<Queue> {
    Queue::new(id, Level::Normal, pool)
}

fn submit(queue: &Arc<Queue>, task: impl FnOnce() + Send + 'static) -> u64 {
    queue.launch(task).ok().expect("the queue takes it")
}

/// Has `queue` wait for the number 1 of `other`.
fn wait_for(queue: &Arc<Queue>, other: &Arc<Queue>) -> u64 {
    queue.wait(Record::new(Arc::clone(other), 1, None)).ok().expect("the queue takes it")
}

/// One round of a thread of the pool, without its sleep.
fn run_ready(pool: &Pool, queues: &[Arc<Queue>]) {
    let mut local = Local::new(pool);
    for queue in queues {
        queue.run(&mut local, None);
    }
    local.flush();
}

fn tell(waiter: Waiter) {
    if let Waiter::Thread(parker) = waiter {
        parker.set();
    }
}

#[test]
fn a_watcher_is_told_or_sees_it() {
    check(|| {
        let progress = Arc::new(Progress::new());
        let cell = Cell::new();
        let (theirs, written) = (Arc::clone(&progress), Arc::clone(&cell));
        let runner = thread::spawn(move || {
            written.set(1);
            theirs.advance(1, tell);
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
fn a_watcher_is_told_of_a_fault() {
    check(|| {
        let progress = Arc::new(Progress::new());
        let theirs = Arc::clone(&progress);
        let runner = thread::spawn(move || {
            theirs.advance(1, tell);
            theirs.fail(Fault::new(7, "model"), tell);
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

/// Two threads want to run one queue while its tasks are still being submitted: each task runs
/// once, in order, alone.
#[test]
fn a_queue_is_run_by_one_at_a_time_and_in_order() {
    check(|| {
        let pool = Pool::new();
        let stream = queue(9, &pool);
        let cell = Cell::new();
        submit(&stream, cell.step(0, 1));
        let (theirs, their_pool) = (Arc::clone(&stream), Arc::clone(&pool));
        let worker = thread::spawn(move || run_ready(&their_pool, &[theirs]));
        submit(&stream, cell.step(1, 2));
        // One more than a chunk of the models has room for.
        let last = submit(&stream, cell.step(2, 3));
        assert!(stream.wait_for(last, true).is_ok());
        assert_eq!(cell.get(), 3);
        worker.join().expect("worker");
    });
}

/// A list of ready queues that two threads push to and two take from: each queue comes out once.
#[test]
fn a_list_loses_nothing() {
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
        assert_eq!(sum, 19, "each came out once");
        assert!(list.is_empty() && list.is_empty_acqrel());
    });
}

/// Two producers: nothing is lost or run twice.
#[test]
fn two_producers_lose_nothing() {
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

/// A stream that waits sees what the other one wrote, whoever comes first.
#[test]
fn a_wait_orders_two_streams() {
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

/// A gate opens while the stream comes to it.
#[test]
fn a_gate_that_opens_meanwhile_lets_the_stream_go_on() {
    check(|| {
        let pool = Pool::new();
        let (gate, stream) = (Queue::held(&pool), queue(9, &pool));
        let cell = Cell::new();
        wait_for(&stream, &gate);
        let last = submit(&stream, cell.step(7, 8));
        let (shut, written) = (Arc::clone(&gate), Arc::clone(&cell));
        let (theirs, their_pool) = (Arc::clone(&stream), Arc::clone(&pool));
        let opener = thread::spawn(move || {
            written.set(7);
            shut.release();
            run_ready(&their_pool, &[theirs]);
        });
        assert!(stream.wait_for(last, true).is_ok());
        assert_eq!(cell.get(), 8);
        opener.join().expect("opener");
    });
}

/// A fault reaches who waits, and drops what stands behind it before anybody is told.
#[test]
fn a_fault_reaches_who_waits() {
    check(|| {
        let pool = Pool::new();
        let (first, second) = (queue(9, &pool), queue(10, &pool));
        let gate = Queue::held(&pool);
        wait_for(&first, &gate);
        let captured = Arc::new(());
        let held = Arc::clone(&captured);
        submit(&first, move || drop(held));
        wait_for(&second, &first);
        let (shut, their_pool) = (Arc::clone(&gate), Arc::clone(&pool));
        let theirs = [Arc::clone(&first), Arc::clone(&second)];
        let breaker = thread::spawn(move || {
            shut.progress.fail(Fault::new(1, "model"), |waiter| super::queue::wake(waiter, None));
            run_ready(&their_pool, &theirs);
        });
        assert!(first.wait_for(2, true).is_err());
        assert_eq!(Arc::strong_count(&captured), 1, "the closure was dropped");
        assert!(second.wait_for(1, true).is_err());
        assert!(matches!(first.usable(), Err(SubmitError::Faulted(_))));
        breaker.join().expect("breaker");
    });
}

/// A thread of the pool that goes to sleep does not miss a push.
#[test]
fn a_push_wakes_a_thread() {
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

/// A push that saw the lookout taken has called nobody: who gives it back does.
#[test]
fn who_gives_the_lookout_back_calls_for_what_was_left() {
    check_within(2, || {
        let pool = Pool::new();
        let stream = queue(9, &pool);
        let (their_pool, lookout_pool) = (Arc::clone(&pool), Arc::clone(&pool));
        let worker = thread::spawn(move || their_pool.work());
        let searching = thread::spawn(move || {
            if lookout_pool.start_searching() {
                lookout_pool.stop_searching();
            }
        });
        let last = submit(&stream, || ());
        assert!(stream.wait_for(last, false).is_ok());
        searching.join().expect("lookout");
        pool.stop();
        worker.join().expect("worker");
    });
}

/// Two threads push, of which one may be about to call a thread that has just got up by itself.
#[test]
fn two_threads_push() {
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

/// Two tasks, of which the first to run waits for the second: each gets a thread, though a push
/// that finds a thread looking calls nobody. (A task should not wait for another stream's; here it
/// shows that no thread sleeps too long.)
#[test]
fn two_pushes_find_a_thread_each() {
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

/// A stream that is destroyed with work in it, while the process ends: the work is not lost.
#[test]
fn the_end_waits_for_a_stream_that_is_being_destroyed() {
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
        assert_eq!(ran.load(Ordering::Relaxed), 1, "the process ends, and work is lost");
        worker.join().expect("worker");
        dropper.join().expect("dropper");
    });
}

/// The last of two wrappers to go destroys the stream, once, and the work of both is done.
#[test]
fn the_last_of_two_owners_destroys_the_stream() {
    struct Owner(Arc<Streams>, usize, Arc<AtomicUsize>);
    impl Drop for Owner {
        fn drop(&mut self) {
            assert!(self.0.destroy(self.1), "a second time");
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
        // What each thread does with its wrapper.
        let part = |owner: Arc<Owner>| {
            let (queue, ran) = (Arc::clone(&entry.queue), Arc::clone(&ran));
            move || {
                let count = Arc::clone(&ran);
                submit(&queue, move || {
                    count.fetch_add(1, Ordering::Relaxed);
                });
                drop(owner);
            }
        };
        let (mine, theirs) = (part(Arc::clone(&owner)), part(owner));
        let other = thread::spawn(theirs);
        mine();
        run_ready(&pool, &[Arc::clone(&entry.queue)]);
        other.join().expect("the other");
        assert_eq!(destroyed.load(Ordering::Relaxed), 1);
        assert!(streams.find(entry.handle()).is_none());
        assert!(matches!(entry.queue.usable(), Err(SubmitError::Closed)));
        run_ready(&pool, &[Arc::clone(&entry.queue)]);
        assert_eq!(ran.load(Ordering::Relaxed), 2);
    });
}

/// Two threads open one gate, which a stream is just coming to.
#[test]
fn a_gate_is_opened_by_two() {
    check_within(2, || {
        let pool = Pool::new();
        let (gate, stream) = (Queue::held(&pool), queue(9, &pool));
        wait_for(&stream, &gate);
        let last = submit(&stream, || ());
        let (shut, theirs, their_pool) =
            (Arc::clone(&gate), Arc::clone(&stream), Arc::clone(&pool));
        let opener = thread::spawn(move || {
            shut.release();
            run_ready(&their_pool, &[theirs]);
        });
        gate.release();
        assert!(stream.wait_for(last, true).is_ok());
        opener.join().expect("opener");
    });
}
