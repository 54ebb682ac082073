//! The worker threads, and the queues that are ready to run: [`Pool`].
//!
//! There are as many workers as the machine has cores. A ready queue lies in a list until a worker
//! takes it. A worker that finds no queue tries to become the *searching* worker (as in Go's and
//! Tokio's schedulers), of which there is one. The searching worker checks the lists a bounded
//! number of times. A worker that found nothing, or that is not the searching one, sleeps:
//! [`Pool::next`] decides that, and [`Pool::sleep`] checks the lists a last time under the lock.

#[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
mod tests;

use std::sync::OnceLock;

use crossbeam_utils::CachePadded;

use super::draining::Draining;
use super::level::{LEVELS, first_level};
use super::local::Local;
use super::queue::Queue;
use super::ready::ReadyList;
use crate::sync::{
    Arc, AtomicBool, AtomicUsize, Backoff, Condvar, Mutex, Ordering, lock, spin_loop, wait_until,
    yield_now,
};

/// The number of times that the searching worker checks the lists before it sleeps.
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
const SPIN_LIMIT: u32 = 64;
#[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
const SPIN_LIMIT: u32 = 1;

/// The ready queues, and the state of the workers.
pub(crate) struct Pool {
    /// The lists by level, the most urgent first.
    ready: [ReadyList; LEVELS],
    sleepers: CachePadded<Sleepers>,
    draining: Draining,
    /// The function that replaces lost workers. Set by `exit`, so that this module need not import
    /// that one.
    stall_hook: OnceLock<fn()>,
}

/// The sleeping workers and the searching one.
///
/// At most one worker is searching. A worker that is being woken counts as searching from the
/// moment of the wake-up. While a worker is searching, a push wakes no other. That worker rechecks
/// the lists after it stops searching, and wakes another if work remains.
struct Sleepers {
    /// `true` while a worker is searching.
    searching: AtomicBool,
    /// The number of workers that sleep or are about to sleep, without those that a push has woken.
    /// Written under the lock of `wakeups`.
    sleeping: AtomicUsize,
    wakeups: Mutex<Wakeups>,
    wakeup: Condvar,
}

struct Wakeups {
    /// The number of sleeping workers that are to wake up.
    pending: usize,
    stop: bool,
}

/// The reason why a sleep ended.
enum WakeReason {
    /// Another thread woke this worker and made it the searching one.
    Woken,
    /// The worker did not fall asleep, because a queue was ready.
    Ready,
    /// The pool was stopped.
    Stop,
}

/// The result of an attempt to take a queue from a level.
enum PopOutcome {
    Taken(Arc<Queue>),
    Empty,
    /// Another thread was preempted in the middle of a pop or a push.
    Contended,
}

impl Pool {
    /// Creates a pool without workers.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Pool {
            ready: std::array::from_fn(|_| ReadyList::new()),
            sleepers: CachePadded::new(Sleepers {
                searching: AtomicBool::new(false),
                sleeping: AtomicUsize::new(0),
                wakeups: Mutex::new(Wakeups { pending: 0, stop: false }),
                wakeup: Condvar::new(),
            }),
            draining: Draining::new(),
            stall_hook: OnceLock::new(),
        })
    }

    /// Returns the streams that were destroyed with work in them.
    pub(crate) fn draining(&self) -> &Draining {
        &self.draining
    }

    /// Sets the function that [`report_stall`](Self::report_stall) calls. Only the first call has
    /// an effect.
    pub(super) fn set_stall_hook(&self, hook: fn()) {
        let _ = self.stall_hook.set(hook);
    }

    /// Reports that a queue has been ready for long, so that lost workers are replaced.
    pub(super) fn report_stall(&self) {
        if let Some(hook) = self.stall_hook.get() {
            hook();
        }
    }

    /// Makes a ready queue available to the workers, and wakes one if necessary.
    pub(crate) fn push(&self, queue: &Arc<Queue>) {
        if queue.state().set_in_pool(true) {
            return;
        }
        let level = (queue.level() as usize).min(LEVELS - 1);
        // SAFETY: `in_pool` was clear, so the queue is in no list of this pool. A queue is never
        // pushed to another pool.
        unsafe { self.ready[level].push(Arc::clone(queue)) };
        self.wake_after_push();
    }

    /// Returns `true` if a list is non-empty. The answer can be out of date.
    pub(crate) fn has_ready(&self) -> bool {
        self.ready.iter().any(|level| !level.is_empty())
    }

    /// Returns `true` if a list is non-empty, by a read-modify-write of each list.
    ///
    /// Either this thread observes a concurrent push, or the push observes this thread's earlier
    /// writes: that it sleeps, or has stopped searching.
    fn has_ready_acqrel(&self) -> bool {
        !self.ready.iter().all(ReadyList::is_empty_acqrel)
    }

    /// Runs queues until the pool is stopped: the body of a worker thread.
    pub(crate) fn work(&self) {
        let mut local = Local::new(self);
        let mut taken = 0;
        loop {
            let queue = match local.take_lifo() {
                // The budget is not refilled: streams that resume each other would otherwise keep
                // this thread forever.
                Some(queue) => queue,
                None => {
                    let searching = local.take_searching();
                    let Some(queue) = self.next(&mut taken, searching) else { return };
                    local.reset_budget();
                    queue
                }
            };
            queue.run(&mut local, None);
        }
    }

    /// Ends the workers once no queue is ready.
    #[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
    pub(crate) fn stop(&self) {
        lock(&self.sleepers.wakeups).stop = true;
        self.sleepers.wakeup.notify_all();
    }

    /// Takes a ready queue. Returns `None` if there is none. `taken` counts the queues that the
    /// calling thread has taken.
    fn pop(&self, taken: &mut usize) -> Option<Arc<Queue>> {
        let mut backoff = Backoff::new();
        loop {
            let first = first_level(*taken);
            let others = (0..LEVELS).filter(|level| *level != first);
            let mut is_contended = false;
            for level in [first].into_iter().chain(others) {
                match self.pop_level(level) {
                    PopOutcome::Taken(queue) => {
                        *taken = taken.wrapping_add(1);
                        return Some(queue);
                    }
                    PopOutcome::Empty => {}
                    PopOutcome::Contended => is_contended = true,
                }
            }
            if !is_contended {
                return None;
            }
            backoff.wait();
        }
    }

    /// Tries to take the first queue of a level. Gives up after a bounded number of spins.
    fn pop_level(&self, level: usize) -> PopOutcome {
        let level = &self.ready[level];
        for _ in 0..SPIN_LIMIT {
            if level.is_empty() {
                return PopOutcome::Empty;
            }
            if let Some(queue) = level.pop() {
                queue.state().set_in_pool(false);
                return PopOutcome::Taken(queue);
            }
            spin_loop();
        }
        PopOutcome::Contended
    }

    /// Returns the next queue to run. Blocks until there is one, and returns `None` if the pool is
    /// stopped. `searching` is `true` if the calling thread already is the searching worker.
    fn next(&self, taken: &mut usize, mut searching: bool) -> Option<Arc<Queue>> {
        loop {
            let mut found = self.pop(taken);
            if found.is_none() && (searching || self.start_searching()) {
                searching = true;
                found = self.search(taken);
            }
            if std::mem::take(&mut searching) {
                self.stop_searching();
                found = found.or_else(|| self.pop(taken));
            }
            if found.is_some() {
                return found;
            }
            match self.sleep() {
                WakeReason::Woken => searching = true,
                WakeReason::Ready => {}
                WakeReason::Stop => return None,
            }
        }
    }

    /// Checks the lists repeatedly, for a bounded time. The calling thread is the searching worker.
    fn search(&self, taken: &mut usize) -> Option<Arc<Queue>> {
        // `has_ready` is cheaper than `pop`, and does not disturb pushes.
        (0..SPIN_LIMIT).find_map(|_| {
            if self.has_ready() {
                return self.pop(taken);
            }
            // Yields the core instead of spinning: on few cores, a producer may need it.
            yield_now();
            None
        })
    }

    /// Tries to become the searching worker. Returns `false` if another one is.
    pub(super) fn start_searching(&self) -> bool {
        let searching = &self.sleepers.searching;
        searching.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Stops searching. Wakes another worker if a queue is ready: its push woke none while this
    /// worker was searching.
    pub(super) fn stop_searching(&self) {
        self.sleepers.searching.store(false, Ordering::Release);
        if self.has_ready_acqrel() {
            self.wake_one();
        }
    }

    /// Sleeps until a push wakes this worker. Does not sleep if a queue is ready.
    fn sleep(&self) -> WakeReason {
        let sleepers = &*self.sleepers;
        let mut wakeups = lock(&sleepers.wakeups);
        sleepers.sleeping.fetch_add(1, Ordering::Relaxed);
        if self.has_ready_acqrel() {
            sleepers.sleeping.fetch_sub(1, Ordering::Relaxed);
            return WakeReason::Ready;
        }
        wakeups =
            wait_until(&sleepers.wakeup, wakeups, |wakeups| wakeups.pending > 0 || wakeups.stop);
        if wakeups.pending == 0 {
            return WakeReason::Stop;
        }
        wakeups.pending -= 1;
        WakeReason::Woken
    }

    /// Wakes a worker if one sleeps and none is searching.
    ///
    /// Must directly follow a push. The push orders the two relaxed loads with a worker that falls
    /// asleep or stops searching ([`has_ready_acqrel`](Self::has_ready_acqrel)).
    fn wake_after_push(&self) {
        let sleepers = &*self.sleepers;
        let has_sleeper = sleepers.sleeping.load(Ordering::Relaxed) > 0;
        if has_sleeper && !sleepers.searching.load(Ordering::Relaxed) {
            self.wake_one();
        }
    }

    /// Wakes a worker if one sleeps and none is searching. Needs no preceding push.
    fn wake_one(&self) {
        let sleepers = &*self.sleepers;
        if !self.start_searching() {
            return;
        }
        let mut wakeups = lock(&sleepers.wakeups);
        if sleepers.sleeping.load(Ordering::Relaxed) == 0 {
            // Cleared under the lock: a worker that falls asleep after this observes that no worker
            // is searching. So does each push that the worker's own check missed.
            sleepers.searching.store(false, Ordering::Release);
            return;
        }
        sleepers.sleeping.fetch_sub(1, Ordering::Relaxed);
        wakeups.pending += 1;
        drop(wakeups);
        sleepers.wakeup.notify_one();
    }
}
