//! The threads, and the queues that are ready for one of them.
//!
//! Queues are cheap and threads are not: there are as many threads as the machine has cores, and a
//! ready queue lies in a list until one of them takes it. A thread that finds nothing looks again
//! for a moment, unless another is doing so, and then sleeps.

#[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
mod tests;

use crossbeam_utils::CachePadded;
use gpu_stream_core::PriorityRange;

use super::leaving::Leaving;
use super::queue::Queue;
use super::ready::ReadyList;
use crate::sync::{
    Arc, AtomicBool, AtomicUsize, Backoff, Condvar, Mutex, Ordering, lock, spin_loop, wait_until,
    yield_now,
};

/// How often a thread that found nothing looks again before it sleeps.
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
const LOOKS: u32 = 64;
#[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
const LOOKS: u32 = 1;

/// How long a thread of the pool waits before it looks into the inbox of a queue that it has emptied.
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
const LINGER: u32 = 64;
#[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
const LINGER: u32 = 0;

/// How many items a thread may run before it lets other queues have it.
const TURN: u32 = 256;

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
    leaving: Leaving,
}

/// Who sleeps, and who is looking.
///
/// At most one thread is looking for work, or is on its way from its sleep to do so; it has the
/// *lookout*. While somebody has it, a push calls nobody: the one who has it will look once more
/// after giving it back, and then hands on what is left.
struct Sleepers {
    lookout: AtomicBool,
    /// How many threads sleep, or are about to, and were not called; written under the lock of
    /// `calls`.
    sleeping: AtomicUsize,
    calls: Mutex<Calls>,
    called: Condvar,
}

struct Calls {
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
                lookout: AtomicBool::new(false),
                sleeping: AtomicUsize::new(0),
                calls: Mutex::new(Calls { up: 0, stop: false }),
                called: Condvar::new(),
            }),
            leaving: Leaving::new(),
        })
    }

    /// Returns the streams that were destroyed with work in them.
    pub(crate) fn leaving(&self) -> &Leaving {
        &self.leaving
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
    fn has_ready_in_order(&self) -> bool {
        !self.ready.iter().all(ReadyList::is_empty_in_order)
    }

    /// The life of a thread of the pool.
    pub(crate) fn work(&self) {
        let mut local = Local::new(self);
        let mut turns = 0;
        loop {
            if local.is_turn_over() {
                // Streams that resume each other in turn would keep this thread for ever.
                local.flush();
            }
            let queue = match local.next.take() {
                Some(queue) => queue,
                None => {
                    let lookout = std::mem::take(&mut local.lookout);
                    let Some(queue) = self.next(&mut turns, lookout) else { return };
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
        lock(&self.sleepers.calls).stop = true;
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
        for _ in 0..LOOKS {
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

    /// The next queue to run; `lookout` if this thread has that already.
    fn next(&self, turns: &mut usize, mut lookout: bool) -> Option<Arc<Queue>> {
        loop {
            let mut found = self.pop(turns);
            if found.is_none() && (lookout || self.take_lookout()) {
                lookout = true;
                found = self.look(turns);
            }
            if std::mem::take(&mut lookout) {
                self.give_lookout_back();
                found = found.or_else(|| self.pop(turns));
            }
            if found.is_some() {
                return found;
            }
            match self.sleep() {
                Woken::Called => lookout = true,
                Woken::Ready => {}
                Woken::Stop => return None,
            }
        }
    }

    /// Looks for a while. The caller has the lookout.
    fn look(&self, turns: &mut usize) -> Option<Arc<Queue>> {
        // Looking is cheaper than trying to take, and does not disturb who pushes.
        (0..LOOKS).find_map(|_| {
            if self.has_ready() {
                return self.pop(turns);
            }
            // Gives the core away and does not spin on it: where there are few, who pushes may need
            // it.
            yield_now();
            None
        })
    }

    pub(super) fn take_lookout(&self) -> bool {
        let lookout = &self.sleepers.lookout;
        lookout.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Gives the lookout back, and calls another thread for what was left to it meanwhile.
    pub(super) fn give_lookout_back(&self) {
        self.sleepers.lookout.store(false, Ordering::Release);
        if self.has_ready_in_order() {
            self.call();
        }
    }

    /// Sleeps until a push calls.
    fn sleep(&self) -> Woken {
        let sleepers = &*self.sleepers;
        let mut calls = lock(&sleepers.calls);
        sleepers.sleeping.fetch_add(1, Ordering::Relaxed);
        if self.has_ready_in_order() {
            sleepers.sleeping.fetch_sub(1, Ordering::Relaxed);
            return Woken::Ready;
        }
        calls = wait_until(&sleepers.called, calls, |calls| calls.up > 0 || calls.stop);
        if calls.up == 0 {
            return Woken::Stop;
        }
        calls.up -= 1;
        Woken::Called
    }

    /// Calls a thread, if one sleeps and none has the lookout. Only right after a push, which has
    /// put both looks in order with the thread that goes to sleep or gives the lookout back.
    fn call_after_push(&self) {
        let sleepers = &*self.sleepers;
        let somebody_sleeps = sleepers.sleeping.load(Ordering::Relaxed) > 0;
        if somebody_sleeps && !sleepers.lookout.load(Ordering::Relaxed) {
            self.call();
        }
    }

    /// The same, with nothing in order before.
    fn call(&self) {
        let sleepers = &*self.sleepers;
        if !self.take_lookout() {
            return;
        }
        let mut calls = lock(&sleepers.calls);
        if sleepers.sleeping.load(Ordering::Relaxed) == 0 {
            // Under the lock: who goes to sleep after this knows that nobody has the lookout, and so
            // does each push that it did not see.
            sleepers.lookout.store(false, Ordering::Release);
            return;
        }
        sleepers.sleeping.fetch_sub(1, Ordering::Relaxed);
        calls.up += 1;
        drop(calls);
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
    lookout: bool,
    /// How many items are left of the turn, over all queues that are run in it.
    left: u32,
}

impl<'p> Local<'p> {
    pub(crate) fn new(pool: &'p Pool) -> Self {
        Local { pool, next: None, lookout: false, left: TURN }
    }

    fn begin_turn(&mut self) {
        self.left = TURN;
    }

    #[inline]
    pub(crate) fn is_turn_over(&self) -> bool {
        self.left == 0
    }

    /// Counts an item. If the turn is over, nothing else was ready, and a new turn begins.
    #[inline]
    pub(crate) fn count_item(&mut self) {
        self.left = self.left.checked_sub(1).unwrap_or(TURN);
    }

    /// Keeps one; the others go to the pool.
    pub(crate) fn keep(&mut self, queue: Arc<Queue>) {
        if let Some(other) = self.next.replace(queue) {
            self.pool.push(&other);
        }
    }

    /// Waits for a moment, if there is nothing else to run: who submits to the queue meanwhile does it
    /// undisturbed, and the next look finds many items and not one.
    pub(crate) fn linger(&self) {
        for _ in 0..LINGER {
            if self.next.is_some() || self.pool.has_ready() {
                return;
            }
            spin_loop();
        }
    }

    /// Takes the lookout, if it is free, before this thread lets go of a queue that it has emptied:
    /// who submits to that right after then need not call a thread that sleeps.
    pub(crate) fn look_soon(&mut self) {
        self.lookout = self.lookout || (self.next.is_none() && self.pool.take_lookout());
    }

    #[inline]
    pub(crate) fn flush(&mut self) {
        if self.lookout || self.next.is_some() {
            self.flush_all();
        }
    }

    #[cold]
    fn flush_all(&mut self) {
        if std::mem::take(&mut self.lookout) {
            self.pool.give_lookout_back();
        }
        if let Some(queue) = self.next.take() {
            self.pool.push(&queue);
        }
    }

    /// Takes what was kept, if it is `queue`.
    pub(crate) fn take_if(&mut self, queue: &Arc<Queue>) -> Option<Arc<Queue>> {
        self.next.take_if(|next| Arc::ptr_eq(next, queue))
    }
}
