//! The threads, and the queues that are ready for one of them.
//!
//! Queues are cheap and threads are not: there are as many threads as the machine has cores, and a
//! ready queue lies in a list until one of them takes it. A thread that finds nothing looks again
//! for a moment, unless another is doing so, and then sleeps.

#[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
mod tests;

use crossbeam_utils::CachePadded;
use gpu_stream_core::PriorityRange;

use super::draining::Draining;
use super::queue::Queue;
use super::ready::ReadyList;
use crate::sync::{
    Arc, AtomicBool, AtomicUsize, Backoff, Condvar, Mutex, Ordering, lock, spin_loop, wait_until,
    yield_now,
};

/// How often a thread that found nothing looks again before it sleeps.
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
const SPIN_LIMIT: u32 = 64;
#[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
const SPIN_LIMIT: u32 = 1;

/// How long a thread of the pool waits before it looks into the inbox of a queue that it has emptied.
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
const RECHECK_SPINS: u32 = 64;
#[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
const RECHECK_SPINS: u32 = 0;

/// How many items a thread may run before it lets other queues have it.
const RUN_BUDGET: u32 = 256;

/// One in so many queues is taken from a level that is not the most urgent, each such level in its
/// turn. So no level with work waits for more than a bounded number of others.
const FAIRNESS: usize = 32;

/// How many lists there are; the models use one level only, and each look at a list costs them.
#[cfg(not(gpu_stream_loom))]
const LEVELS: usize = 3;
#[cfg(gpu_stream_loom)]
const LEVELS: usize = 1;

/// Which list a ready queue lies in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Level {
    Urgent,
    Normal,
    Idle,
}

impl Level {
    pub(crate) const PRIORITIES: PriorityRange = PriorityRange { least: 1, greatest: -1 };

    /// The level of a priority in [`Self::PRIORITIES`].
    pub(crate) fn of(priority: i32) -> Self {
        match priority {
            ..0 => Level::Urgent,
            0 => Level::Normal,
            1.. => Level::Idle,
        }
    }

    pub(crate) fn priority(self) -> i32 {
        self as i32 - 1
    }
}

pub(crate) struct Pool {
    /// By level, most urgent first.
    ready: [ReadyList; LEVELS],
    sleepers: CachePadded<Sleepers>,
    draining: Draining,
}

/// Who sleeps, and who is looking.
///
/// At most one thread is looking for work, or is on its way from its sleep to do so; it has the
/// *lookout*. While somebody has it, a push calls nobody: the one who has it will look once more
/// after giving it back, and then hands on what is left.
struct Sleepers {
    searching: AtomicBool,
    /// How many threads sleep, or are about to, and were not called; written under the lock of
    /// `wakeups`.
    sleeping: AtomicUsize,
    wakeups: Mutex<Wakeups>,
    called: Condvar,
}

struct Wakeups {
    /// How many of the sleeping threads are to get up.
    up: usize,
    stop: bool,
}

/// How a sleep ended.
enum Woken {
    /// By a call, which has given this thread the lookout.
    Called,
    /// Before it began, since something was ready.
    Ready,
    /// The pool is at its end.
    Stop,
}

/// What an attempt to take from a level has come to.
enum Take {
    Taken(Arc<Queue>),
    Empty,
    /// Another thread is taking, or pushing, and the system has stopped it right there.
    Disturbed,
}

impl Pool {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Pool {
            ready: std::array::from_fn(|_| ReadyList::new()),
            sleepers: CachePadded::new(Sleepers {
                searching: AtomicBool::new(false),
                sleeping: AtomicUsize::new(0),
                wakeups: Mutex::new(Wakeups { up: 0, stop: false }),
                called: Condvar::new(),
            }),
            draining: Draining::new(),
        })
    }

    /// Returns the streams that were destroyed with work in them.
    pub(crate) fn draining(&self) -> &Draining {
        &self.draining
    }

    /// Lets some thread run `queue`.
    pub(crate) fn push(&self, queue: &Arc<Queue>) {
        if queue.state().set_in_pool(true) {
            return;
        }
        let level = (queue.level() as usize).min(LEVELS - 1);
        // SAFETY: the pool did not hold the queue, so it is in none of its lists.
        unsafe { self.ready[level].push(Arc::clone(queue)) };
        self.call_after_push();
    }

    pub(crate) fn has_ready(&self) -> bool {
        self.ready.iter().any(|level| !level.is_empty())
    }

    /// The same, in order with every push: either we see what was pushed, or the push sees what we
    /// did before, that we sleep or have given the lookout back.
    fn has_ready_acqrel(&self) -> bool {
        !self.ready.iter().all(ReadyList::is_empty_acqrel)
    }

    /// The life of a thread of the pool.
    pub(crate) fn work(&self) {
        let mut local = Local::new(self);
        let mut turns = 0;
        loop {
            let queue = match local.next.take() {
                // Of the same turn: streams that resume each other do not keep this thread for ever.
                Some(queue) => queue,
                None => {
                    let searching = std::mem::take(&mut local.searching);
                    let Some(queue) = self.next(&mut turns, searching) else { return };
                    local.begin_turn();
                    queue
                }
            };
            queue.run(&mut local, None);
        }
    }

    /// Ends the threads once there is nothing ready.
    #[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
    pub(crate) fn stop(&self) {
        lock(&self.sleepers.wakeups).stop = true;
        self.sleepers.called.notify_all();
    }

    /// Takes a queue, if one is ready. `turns` counts what the calling thread has taken.
    fn pop(&self, turns: &mut usize) -> Option<Arc<Queue>> {
        let mut backoff = Backoff::new();
        loop {
            let first = first_level(*turns);
            let others = (0..LEVELS).filter(|level| *level != first);
            let mut is_disturbed = false;
            for level in [first].into_iter().chain(others) {
                match self.take_from(level) {
                    Take::Taken(queue) => {
                        *turns = turns.wrapping_add(1);
                        return Some(queue);
                    }
                    Take::Empty => {}
                    Take::Disturbed => is_disturbed = true,
                }
            }
            if !is_disturbed {
                return None;
            }
            backoff.wait();
        }
    }

    /// Tries for a few steps to take the first queue of a level.
    fn take_from(&self, level: usize) -> Take {
        let level = &self.ready[level];
        for _ in 0..SPIN_LIMIT {
            if level.is_empty() {
                return Take::Empty;
            }
            if let Some(queue) = level.pop() {
                queue.state().set_in_pool(false);
                return Take::Taken(queue);
            }
            spin_loop();
        }
        Take::Disturbed
    }

    /// The next queue to run; `searching` if this thread has that already.
    fn next(&self, turns: &mut usize, mut searching: bool) -> Option<Arc<Queue>> {
        loop {
            let mut found = self.pop(turns);
            if found.is_none() && (searching || self.start_searching()) {
                searching = true;
                found = self.search(turns);
            }
            if std::mem::take(&mut searching) {
                self.stop_searching();
                found = found.or_else(|| self.pop(turns));
            }
            if found.is_some() {
                return found;
            }
            match self.sleep() {
                Woken::Called => searching = true,
                Woken::Ready => {}
                Woken::Stop => return None,
            }
        }
    }

    /// Looks for a while. The caller has the lookout.
    fn search(&self, turns: &mut usize) -> Option<Arc<Queue>> {
        // Looking is cheaper than trying to take, and does not disturb who pushes.
        (0..SPIN_LIMIT).find_map(|_| {
            if self.has_ready() {
                return self.pop(turns);
            }
            // Gives the core away and does not spin on it: where there are few, who pushes may need
            // it.
            yield_now();
            None
        })
    }

    pub(super) fn start_searching(&self) -> bool {
        let searching = &self.sleepers.searching;
        searching.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Gives the lookout back, and calls another thread for what was left to it meanwhile.
    pub(super) fn stop_searching(&self) {
        self.sleepers.searching.store(false, Ordering::Release);
        if self.has_ready_acqrel() {
            self.call();
        }
    }

    /// Sleeps until a push calls.
    fn sleep(&self) -> Woken {
        let sleepers = &*self.sleepers;
        let mut wakeups = lock(&sleepers.wakeups);
        sleepers.sleeping.fetch_add(1, Ordering::Relaxed);
        if self.has_ready_acqrel() {
            sleepers.sleeping.fetch_sub(1, Ordering::Relaxed);
            return Woken::Ready;
        }
        wakeups = wait_until(&sleepers.called, wakeups, |wakeups| wakeups.up > 0 || wakeups.stop);
        if wakeups.up == 0 {
            return Woken::Stop;
        }
        wakeups.up -= 1;
        Woken::Called
    }

    /// Calls a thread, if one sleeps and none has the lookout. Only right after a push, which has
    /// put both looks in order with the thread that goes to sleep or gives the lookout back.
    fn call_after_push(&self) {
        let sleepers = &*self.sleepers;
        let somebody_sleeps = sleepers.sleeping.load(Ordering::Relaxed) > 0;
        if somebody_sleeps && !sleepers.searching.load(Ordering::Relaxed) {
            self.call();
        }
    }

    /// The same, with nothing in order before.
    fn call(&self) {
        let sleepers = &*self.sleepers;
        if !self.start_searching() {
            return;
        }
        let mut wakeups = lock(&sleepers.wakeups);
        if sleepers.sleeping.load(Ordering::Relaxed) == 0 {
            // Under the lock: who goes to sleep after this knows that nobody has the lookout, and so
            // does each push that it did not see.
            sleepers.searching.store(false, Ordering::Release);
            return;
        }
        sleepers.sleeping.fetch_sub(1, Ordering::Relaxed);
        wakeups.up += 1;
        drop(wakeups);
        sleepers.called.notify_one();
    }
}

/// Returns the level that is searched first, before all levels from the most urgent one on.
fn first_level(turns: usize) -> usize {
    if LEVELS == 1 || turns % FAIRNESS != FAIRNESS - 1 {
        return 0;
    }
    1 + turns / FAIRNESS % (LEVELS - 1)
}

/// What a thread has resumed and not handed to the pool: it runs that itself, as soon as what it
/// runs now is over, so that two streams that take turns stay on one core.
pub(crate) struct Local<'p> {
    pool: &'p Pool,
    next: Option<Arc<Queue>>,
    /// Whether this thread has the lookout, ahead of time.
    searching: bool,
    /// How many items are left of the turn, over all queues that are run in it.
    left: u32,
}

impl<'p> Local<'p> {
    pub(crate) fn new(pool: &'p Pool) -> Self {
        Local { pool, next: None, searching: false, left: RUN_BUDGET }
    }

    fn begin_turn(&mut self) {
        self.left = RUN_BUDGET;
    }

    #[inline]
    pub(crate) fn is_turn_over(&self) -> bool {
        self.left == 0
    }

    /// Counts an item. If the turn is over, nothing else was ready, and a new turn begins.
    #[inline]
    pub(crate) fn count_item(&mut self) {
        self.left = self.left.checked_sub(1).unwrap_or(RUN_BUDGET);
    }

    /// Keeps one; the others go to the pool.
    pub(crate) fn set_lifo_slot(&mut self, queue: Arc<Queue>) {
        if let Some(other) = self.next.replace(queue) {
            self.pool.push(&other);
        }
    }

    /// Waits for a moment, if there is nothing else to run: who submits to the queue meanwhile does it
    /// undisturbed, and the next look finds many items and not one.
    pub(crate) fn spin_before_recheck(&self) {
        for _ in 0..RECHECK_SPINS {
            if self.next.is_some() || self.pool.has_ready() {
                return;
            }
            spin_loop();
        }
    }

    /// Takes the lookout, if it is free, before this thread lets go of a queue that it has emptied:
    /// who submits to that right after then need not call a thread that sleeps.
    pub(crate) fn start_searching_early(&mut self) {
        self.searching = self.searching || (self.next.is_none() && self.pool.start_searching());
    }

    #[inline]
    pub(crate) fn flush(&mut self) {
        if self.searching || self.next.is_some() {
            self.flush_all();
        }
    }

    #[cold]
    fn flush_all(&mut self) {
        if std::mem::take(&mut self.searching) {
            self.pool.stop_searching();
        }
        if let Some(queue) = self.next.take() {
            self.pool.push(&queue);
        }
    }

    /// Takes what was kept, if it is `queue`.
    pub(crate) fn take_lifo_if(&mut self, queue: &Arc<Queue>) -> Option<Arc<Queue>> {
        self.next.take_if(|next| Arc::ptr_eq(next, queue))
    }
}
