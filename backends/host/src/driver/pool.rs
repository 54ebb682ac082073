//! The threads, and the queues that are ready for one of them.
//!
//! Queues are cheap and threads are not: there are as many threads as the machine has cores, and a
//! ready queue lies in a list until one of them takes it. A thread that finds nothing looks again
//! for a moment, unless another is doing so, and then sleeps.

use crossbeam_deque::Steal;
use gpu_stream_core::PriorityRange;

use super::queue::Queue;
use crate::sync::{Arc, AtomicUsize, Condvar, Injector, Mutex, Ordering, fence, lock, wait_until};

/// How often a thread that found nothing looks again before it sleeps.
#[cfg(not(gpu_stream_loom))]
const LOOKS: u32 = 64;
#[cfg(gpu_stream_loom)]
const LOOKS: u32 = 1;

/// How long a thread of the pool waits before it looks into the inbox of a queue that it has emptied.
#[cfg(not(gpu_stream_loom))]
const LINGER: u32 = 64;
#[cfg(gpu_stream_loom)]
const LINGER: u32 = 0;

/// One in so many queues is taken from the least urgent end, so that urgent streams cannot stop the
/// others for ever.
const FAIRNESS: usize = 64;

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
    ready: [Injector<Arc<Queue>>; 3],
    /// How many threads are looking for work and will look once more before they sleep.
    searching: AtomicUsize,
    /// How many threads sleep, or are about to; written under the lock of `calls`.
    sleeping: AtomicUsize,
    calls: Mutex<Calls>,
    called: Condvar,
}

struct Calls {
    /// How many of the sleeping threads are to get up.
    up: usize,
    stop: bool,
}

impl Pool {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Pool {
            ready: std::array::from_fn(|_| Injector::new()),
            searching: AtomicUsize::new(0),
            sleeping: AtomicUsize::new(0),
            calls: Mutex::new(Calls { up: 0, stop: false }),
            called: Condvar::new(),
        })
    }

    /// Lets some thread run `queue`.
    pub(crate) fn push(&self, queue: Arc<Queue>) {
        if queue.set_in_pool(true) {
            return;
        }
        self.ready[queue.level() as usize].push(queue);
        self.call_one();
    }

    pub(crate) fn has_ready(&self) -> bool {
        self.ready.iter().any(|level| !level.is_empty())
    }

    /// The life of a thread of the pool.
    pub(crate) fn work(&self) {
        let mut local = Local::new(self);
        let mut turns = 0;
        loop {
            let next = match local.take() {
                Some(queue) => Some(queue),
                None => self.next(&mut turns, std::mem::take(&mut local.searching)),
            };
            let Some(queue) = next else { return };
            queue.run(&mut local, None);
        }
    }

    /// Ends the threads once there is nothing ready.
    #[cfg(gpu_stream_loom)]
    pub(crate) fn stop(&self) {
        lock(&self.calls).stop = true;
        self.called.notify_all();
    }

    /// Takes a queue, if one is ready; `turns` counts for the calling thread.
    fn pop(&self, turns: &mut usize) -> Option<Arc<Queue>> {
        *turns = turns.wrapping_add(1);
        let from_the_end = turns.is_multiple_of(FAIRNESS);
        let order = if from_the_end { [2, 1, 0] } else { [0, 1, 2] };
        order.into_iter().map(|level| &self.ready[level]).find_map(|level| {
            while !level.is_empty() {
                if let Steal::Success(queue) = level.steal() {
                    queue.set_in_pool(false);
                    return Some(queue);
                }
            }
            None
        })
    }

    /// The next queue to run; `searching` if this thread has said already that it is looking.
    fn next(&self, turns: &mut usize, mut searching: bool) -> Option<Arc<Queue>> {
        if let Some(queue) = self.pop(turns) {
            if searching {
                self.stop_searching();
            }
            return Some(queue);
        }
        loop {
            let found = self.search(turns, searching).or_else(|| self.pop(turns));
            searching = false;
            if found.is_some() {
                // A push that saw a thread looking has called nobody: what it left is ours to hand
                // on, and whoever we call does the same.
                if self.has_ready_after_fence() {
                    self.call_one();
                }
                return found;
            }
            if !self.sleep() {
                return None;
            }
        }
    }

    /// Looks for a while, if no other thread does. While somebody looks, `push` calls nobody.
    fn search(&self, turns: &mut usize, searching: bool) -> Option<Arc<Queue>> {
        if !searching && !self.start_searching() {
            return None;
        }
        // Looking is cheaper than trying to take, and does not disturb who pushes.
        let found = (0..LOOKS).find_map(|_| {
            if self.has_ready() {
                return self.pop(turns);
            }
            pause();
            None
        });
        self.searching.store(0, Ordering::SeqCst);
        found
    }

    /// Says that this thread is looking, unless another is.
    fn start_searching(&self) -> bool {
        self.searching.compare_exchange(0, 1, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// Stops looking, and hands on what a push has left to the one who looks.
    fn stop_searching(&self) {
        self.searching.store(0, Ordering::SeqCst);
        if self.has_ready_after_fence() {
            self.call_one();
        }
    }

    /// Sleeps until a push calls; `false` if the pool is at its end and nothing is ready.
    fn sleep(&self) -> bool {
        let mut calls = lock(&self.calls);
        self.sleeping.fetch_add(1, Ordering::SeqCst);
        if !self.has_ready_after_fence() {
            calls = wait_until(&self.called, calls, |calls| calls.up > 0 || calls.stop);
            // A call is for one who sleeps: who did not have to leaves it to another.
            calls.up = calls.up.saturating_sub(1);
        }
        self.sleeping.fetch_sub(1, Ordering::SeqCst);
        !calls.stop || self.has_ready()
    }

    /// With the fence in `call_one`: either we see what was pushed, or the push sees that we sleep
    /// or have stopped looking.
    fn has_ready_after_fence(&self) -> bool {
        fence(Ordering::SeqCst);
        self.has_ready()
    }

    fn call_one(&self) {
        fence(Ordering::SeqCst);
        if self.searching.load(Ordering::Relaxed) > 0 || self.sleeping.load(Ordering::Relaxed) == 0
        {
            return;
        }
        let mut calls = lock(&self.calls);
        if calls.up < self.sleeping.load(Ordering::Relaxed) {
            calls.up += 1;
            self.called.notify_one();
        }
    }
}

fn pause() {
    // Gives the core away and does not spin on it: where there are few, who pushes may need it.
    #[cfg(not(gpu_stream_loom))]
    std::thread::yield_now();
    #[cfg(gpu_stream_loom)]
    loom::thread::yield_now();
}

/// What a thread has resumed and not handed to the pool: it runs that itself, as soon as what it
/// runs now is over, so that two streams that take turns stay on one core.
pub(crate) struct Local<'p> {
    pool: &'p Pool,
    next: Option<Arc<Queue>>,
    /// Whether this thread has said that it is looking for work, ahead of time.
    searching: bool,
}

impl<'p> Local<'p> {
    pub(crate) fn new(pool: &'p Pool) -> Self {
        Local { pool, next: None, searching: false }
    }

    /// Keeps one; the others go to the pool.
    pub(crate) fn keep(&mut self, queue: Arc<Queue>) {
        if let Some(other) = self.next.replace(queue) {
            self.pool.push(other);
        }
    }

    /// Waits for a moment, if there is nothing else to run: who submits to the queue meanwhile does it
    /// undisturbed, and the next look finds many items and not one.
    pub(crate) fn linger(&self) {
        for _ in 0..LINGER {
            if self.next.is_some() || self.pool.has_ready() {
                return;
            }
            std::hint::spin_loop();
        }
    }

    /// Says that this thread is about to look for work, before it lets go of a queue that it has
    /// emptied: who submits to that right after then need not call a thread that sleeps.
    pub(crate) fn look_soon(&mut self) {
        self.searching = self.next.is_none() && self.pool.start_searching();
    }

    pub(crate) fn flush(&mut self) {
        if std::mem::take(&mut self.searching) {
            self.pool.stop_searching();
        }
        if let Some(queue) = self.next.take() {
            self.pool.push(queue);
        }
    }

    fn take(&mut self) -> Option<Arc<Queue>> {
        self.next.take()
    }
}
