//! A lock-free pool of unused events: [`Pool`].

use std::sync::TryLockError;

use crate::sync::{AtomicUsize, Mutex, MutexGuard, Ordering, pause};

/// The number of lines. A thread starts at the line that its number selects, so threads rarely contend
/// while each has few events out.
const LINES: usize = if cfg!(any(gpu_stream_loom, gpu_stream_shuttle)) { 2 } else { 32 };
/// The number of events in a line.
const EACH: usize = if cfg!(any(gpu_stream_loom, gpu_stream_shuttle)) { 1 } else { 8 };

/// The number of further events.
const MOST_FURTHER: usize = if cfg!(any(gpu_stream_loom, gpu_stream_shuttle)) { 1 } else { 3_840 };

/// The attempts to lock the list of further events. A holder pushes or pops one event. After 64 attempts the thread
/// yields, so that a holder that the system has suspended can go on. It never sleeps.
const LOCK_ATTEMPTS: u32 = if cfg!(any(gpu_stream_loom, gpu_stream_shuttle)) { 2 } else { 128 };

/// The number of events that a pool keeps. It returns any further event to its caller.
#[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
const MOST: usize = LINES * EACH + MOST_FURTHER;

/// A cache-line-aligned group of entries: each is 0 or an event.
#[repr(align(128))]
struct Line([AtomicUsize; EACH]);

/// Unused events of one device or context, made without timing, which can be recorded again. Keeps at most
/// 4,096.
///
/// Creating an event is the most expensive part of a wait for a stream. A wait binds to the record that was
/// made before it, so an event can return to the pool as soon as its waits are enqueued. Events with
/// options do not belong here. Nor do events whose handle a caller has, or whose record in a capture was
/// visible to one.
///
/// For the first 256 events there is no lock. A thread finds the event that it returned last with one exchange. Events
/// that an ended thread returned are found by the others. Programs that have hundreds of events out, such as one with
/// 1,000 awaits in flight, use a list with a lock as well. A thread tries to lock it for a bounded number of times, and
/// then the pool counts as empty or full: the lock guards a push or a pop, and creating an event takes longer.
///
/// A pool should live as long as the process. Nothing tears it down: neither the end of a thread nor that
/// of the process, when the driver may be gone. Dropping a pool leaks its events.
///
/// Origin: PyTorch's `EventPool`, in
/// [`CUDACachingAllocator.cpp`](https://github.com/pytorch/pytorch/blob/main/c10/cuda/CUDACachingAllocator.cpp),
/// is a pool with a lock.
pub struct Pool {
    lines: [Line; LINES],
    further: Mutex<Vec<usize>>,
    /// The length of `further`, so that it is not locked in vain.
    further_count: AtomicUsize,
}

impl Default for Pool {
    fn default() -> Self {
        Pool::new()
    }
}

impl Pool {
    /// Creates an empty pool.
    pub fn new() -> Self {
        Pool {
            lines: std::array::from_fn(|_| Line(std::array::from_fn(|_| AtomicUsize::new(0)))),
            further: Mutex::new(Vec::new()),
            further_count: AtomicUsize::new(0),
        }
    }

    fn home(&self, thread: usize) -> &Line {
        &self.lines[thread % LINES]
    }

    /// Locks the list of further events. Returns `None` if other threads have the lock for all attempts.
    fn try_lock_further(&self) -> Option<MutexGuard<'_, Vec<usize>>> {
        (0..LOCK_ATTEMPTS).find_map(|attempt| match self.further.try_lock() {
            Ok(further) => Some(further),
            Err(TryLockError::Poisoned(further)) => Some(further.into_inner()),
            Err(TryLockError::WouldBlock) => {
                pause(attempt);
                None
            }
        })
    }

    /// Takes an event, or returns `None` if the pool is empty. The event may have an old record, which the
    /// caller must replace before the event becomes visible. `thread` is the caller's
    /// [number](crate::thread_number).
    #[inline]
    pub fn take(&self, thread: usize) -> Option<usize> {
        self.home(thread).take().or_else(|| self.take_elsewhere())
    }

    #[cold]
    fn take_elsewhere(&self) -> Option<usize> {
        self.lines.iter().find_map(Line::take).or_else(|| self.take_further())
    }

    fn take_further(&self) -> Option<usize> {
        if self.further_count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut further = self.try_lock_further()?;
        let event = further.pop();
        self.further_count.store(further.len(), Ordering::Relaxed);
        event
    }

    /// Returns the event, which is not 0, to the pool.
    ///
    /// # Errors
    /// The event, if the pool is full. The caller must destroy it.
    #[inline]
    pub fn give(&self, event: usize, thread: usize) -> Result<(), usize> {
        if self.home(thread).give(event) { Ok(()) } else { self.give_elsewhere(event) }
    }

    #[cold]
    fn give_elsewhere(&self, event: usize) -> Result<(), usize> {
        let is_given = self.lines.iter().any(|line| line.give(event)) || self.give_further(event);
        if is_given { Ok(()) } else { Err(event) }
    }

    fn give_further(&self, event: usize) -> bool {
        if self.further_count.load(Ordering::Relaxed) >= MOST_FURTHER {
            return false;
        }
        let Some(mut further) = self.try_lock_further() else { return false };
        if further.len() >= MOST_FURTHER {
            return false;
        }
        further.push(event);
        self.further_count.store(further.len(), Ordering::Relaxed);
        true
    }
}

// Acquire in `take` and Release in `give`: all uses of an event before `give` happen before those after
// `take`.
impl Line {
    #[inline]
    fn take(&self) -> Option<usize> {
        for entry in &self.0 {
            if entry.load(Ordering::Relaxed) != 0 {
                let event = entry.swap(0, Ordering::Acquire);
                if event != 0 {
                    return Some(event);
                }
            }
        }
        None
    }

    #[inline]
    fn give(&self, event: usize) -> bool {
        self.0.iter().any(|entry| {
            entry.load(Ordering::Relaxed) == 0
                && entry.compare_exchange(0, event, Ordering::Release, Ordering::Relaxed).is_ok()
        })
    }
}

#[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
mod tests {
    use std::collections::HashSet;
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn pool_returns_excess_events_to_the_caller() {
        let pool = Pool::new();
        assert_eq!(pool.take(3), None);
        for event in 1..=MOST {
            assert_eq!(pool.give(event, event / 5), Ok(()));
        }
        assert_eq!(pool.give(99_999, 7), Err(99_999));
        let taken: HashSet<_> = (1..=MOST).map(|_| pool.take(11).unwrap()).collect();
        assert_eq!(taken, (1..=MOST).collect());
        assert_eq!(pool.take(0), None);
    }

    #[test]
    fn thread_finds_its_own_event_first_and_then_others() {
        let pool = Pool::new();
        pool.give(10, 1).unwrap();
        pool.give(20, 2).unwrap();
        assert_eq!(pool.take(2), Some(20));
        assert_eq!(pool.take(2), Some(10));
    }

    #[test]
    fn taken_lock_makes_no_thread_wait_forever() {
        let pool = Pool::new();
        (1..=LINES * EACH + 1).for_each(|event| pool.give(event, 0).unwrap());
        let locked = pool.further.lock().unwrap();
        assert_eq!(pool.give(99_999, 0), Err(99_999));
        (0..LINES * EACH).for_each(|_| assert!(pool.take(0).is_some()));
        assert_eq!(pool.take(0), None);
        drop(locked);
        assert!(pool.take(0).is_some());
    }

    /// Another thread has the lock, and releases it when this one tries to take an event. That thread can be suspended for
    /// longer than the attempts last, so a part of them may fail.
    #[test]
    fn lock_that_is_soon_released_does_not_make_the_pool_empty() {
        const ROUNDS: usize = 1_000;
        let (pool, is_locked) = (Pool::new(), Barrier::new(2));
        (1..=LINES * EACH + ROUNDS).for_each(|event| pool.give(event, 0).unwrap());
        (0..LINES * EACH).for_each(|_| assert!(pool.take(0).is_some()));
        let tried = AtomicUsize::new(0);
        let taken = std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=ROUNDS {
                    let locked = pool.further.lock().unwrap();
                    is_locked.wait();
                    while tried.load(Ordering::Relaxed) < round {
                        std::thread::yield_now();
                    }
                    drop(locked);
                    is_locked.wait();
                }
            });
            let rounds = (1..=ROUNDS).map(|round| {
                is_locked.wait();
                tried.store(round, Ordering::Relaxed);
                let taken = pool.take(0);
                is_locked.wait();
                taken
            });
            rounds.flatten().count()
        });
        println!("{taken} of {ROUNDS} events were taken");
        assert!(taken > ROUNDS / 2, "{taken} of {ROUNDS} events were taken");
    }
}

/// `RUSTFLAGS="--cfg gpu_stream_loom" cargo test -p gpu-stream-driver-common --lib --release`
#[cfg(all(test, gpu_stream_loom))]
mod loom_tests {
    use std::sync::Arc;

    use loom::cell::UnsafeCell;
    use loom::thread;

    use super::*;

    const THREADS: usize = 3;

    /// A pool, and the last user of each event, which loom checks.
    struct Model {
        pool: Pool,
        uses: [UnsafeCell<usize>; THREADS],
        made: std::sync::atomic::AtomicUsize,
        destroyed: std::sync::atomic::AtomicUsize,
    }

    // SAFETY: this is what the model checks. Loom fails it if two threads access a cell without an order.
    unsafe impl Sync for Model {}
    // SAFETY: the same check covers it.
    unsafe impl Send for Model {}

    impl Model {
        /// Takes or creates an event, uses it, and returns it.
        fn use_one(&self, thread: usize) {
            let new = || self.made.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            let event = self.pool.take(thread).unwrap_or_else(new);
            // SAFETY: loom checks that no other access is concurrent.
            self.uses[event - 1].with_mut(|last| unsafe { *last = thread });
            if self.pool.give(event, thread).is_err() {
                self.destroyed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
    }

    /// Checks that no two threads have an event at the same time, that its uses are ordered, and that no
    /// event is lost.
    #[test]
    fn event_has_one_user_at_a_time() {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(|| {
            let model = Arc::new(Model {
                pool: Pool::new(),
                uses: std::array::from_fn(|_| UnsafeCell::new(0)),
                made: 0.into(),
                destroyed: 0.into(),
            });
            let others: Vec<_> = (1..THREADS)
                .map(|thread| {
                    let model = Arc::clone(&model);
                    thread::spawn(move || model.use_one(thread))
                })
                .collect();
            model.use_one(0);
            others.into_iter().for_each(|other| other.join().expect("no thread panics"));
            let mut left = 0;
            while model.pool.take(0).is_some() {
                left += 1;
            }
            let count = |number: &std::sync::atomic::AtomicUsize| {
                number.load(std::sync::atomic::Ordering::Relaxed)
            };
            assert_eq!(left + count(&model.destroyed), count(&model.made));
            assert!(left <= LINES * EACH + MOST_FURTHER);
        });
    }
}
