//! The synchronization primitives of this crate: std's, loom's or shuttle's.
//!
//! `--cfg gpu_stream_loom` and `--cfg gpu_stream_shuttle` select the latter two in unit tests. Loom and
//! shuttle are dev-dependencies, so that they are in no user's lock file. The names are this workspace's
//! own, because other crates react to `--cfg loom`.

#[cfg(not(all(test, any(gpu_stream_loom, gpu_stream_shuttle))))]
mod imp {
    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
    };
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockWriteGuard};
    pub(crate) use std::thread::yield_now;

    /// Std's cell, with the interface of loom's.
    #[derive(Default)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) fn new(value: T) -> Self {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        pub(crate) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
            access(self.0.get())
        }
    }
}

#[cfg(all(test, gpu_stream_loom))]
mod imp {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
    };
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockWriteGuard};
    pub(crate) use loom::thread::yield_now;

    /// Loom makes progress only if a thread in a retry loop yields.
    pub(crate) use loom::thread::yield_now as spin_loop;
}

#[cfg(all(test, gpu_stream_shuttle))]
mod imp {
    pub(crate) use shuttle::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
    };
    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockWriteGuard};
    pub(crate) use shuttle::thread::yield_now;

    /// Shuttle makes progress only if a thread in a retry loop yields.
    pub(crate) use shuttle::thread::yield_now as spin_loop;

    /// Std's cell, with the interface of loom's. Each access lets other threads run, and panics if
    /// two threads access the cell at once.
    #[derive(Default)]
    pub(crate) struct UnsafeCell<T> {
        value: std::cell::UnsafeCell<T>,
        used: AtomicBool,
    }

    impl<T> UnsafeCell<T> {
        pub(crate) fn new(value: T) -> Self {
            let value = std::cell::UnsafeCell::new(value);
            UnsafeCell { value, used: AtomicBool::new(false) }
        }

        pub(crate) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
            assert!(!self.used.swap(true, Ordering::SeqCst), "two threads use one cell");
            let result = access(self.value.get());
            self.used.store(false, Ordering::SeqCst);
            result
        }
    }
}

// Std's in all three cases: reference counts order nothing in this crate.
pub(crate) use std::sync::Arc;

pub(crate) use imp::*;

/// Backs off in a retry loop: spins, then yields, then sleeps.
///
/// It sleeps in the end because the other thread can have a lower priority. A real-time thread that
/// only yields would keep that thread off the core forever. The sleep has a fixed time and needs no
/// wake-up, so the other thread pays nothing for it.
pub(crate) struct Backoff {
    /// The number of waits so far.
    turn: u32,
    #[cfg_attr(any(gpu_stream_loom, gpu_stream_shuttle), expect(dead_code))]
    pace: Pace,
}

/// The spinning of a [`Backoff`]. In the models, every wait is a yield.
#[cfg_attr(any(gpu_stream_loom, gpu_stream_shuttle), expect(dead_code))]
struct Pace {
    /// The number of spins of the first wait. Each wait doubles it.
    first: u32,
    /// The maximum number of spins of one wait.
    most: u32,
    /// The number of waits that spin.
    turns: u32,
}

#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
impl Pace {
    /// Returns the number of spins of wait `turn`, the first of which is 0.
    fn spins(&self, turn: u32) -> u32 {
        self.first.saturating_mul(1 << turn.min(16)).min(self.most)
    }
}

impl Backoff {
    #[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
    const YIELDS: u32 = 64;

    /// Creates a backoff that checks often, for a wait of a few stores.
    pub(crate) fn new() -> Self {
        Backoff { turn: 0, pace: Pace { first: 1, most: 1, turns: 64 } }
    }

    /// Creates a backoff that checks ever more rarely, for a lock that several threads acquire again
    /// and again (exponential backoff: Anderson, IEEE TPDS 1990).
    ///
    /// A check takes the cache line of the lock from its holder. Between two checks of the others, a
    /// thread can acquire the lock many times, at the cost that it has alone.
    pub(crate) fn exponential() -> Self {
        Backoff { turn: 0, pace: Pace { first: 4, most: 128, turns: 12 } }
    }

    /// Waits briefly, longer with each call: up to 800 µs.
    #[cold]
    pub(crate) fn wait(&mut self) {
        #[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
        match self.turn.checked_sub(self.pace.turns) {
            None => (0..self.pace.spins(self.turn)).for_each(|_| spin_loop()),
            Some(..Self::YIELDS) => yield_now(),
            Some(turn) => {
                let doublings = ((turn - Self::YIELDS) / 64).min(4);
                std::thread::sleep(std::time::Duration::from_micros(50 << doublings));
            }
        }
        #[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
        yield_now();
        self.turn = self.turn.saturating_add(1);
    }
}

/// Locks `mutex`, and ignores poisoning: no code of the user runs under a lock of this crate.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Tries to lock `mutex`. Returns `None` if another thread holds the lock.
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    use std::sync::TryLockError;
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Waits on `condvar` until `ready` returns `true`.
pub(crate) fn wait_until<'a, T>(
    condvar: &Condvar,
    mut guard: MutexGuard<'a, T>,
    mut ready: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    while !ready(&mut guard) {
        guard = condvar.wait(guard).unwrap_or_else(|poisoned| poisoned.into_inner());
    }
    guard
}

#[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
mod tests {
    use super::Backoff;

    fn spins(backoff: &Backoff) -> Vec<u32> {
        (0..backoff.pace.turns).map(|turn| backoff.pace.spins(turn)).collect()
    }

    #[test]
    fn exponential_backoff_doubles_its_spins_up_to_a_maximum() {
        assert_eq!(spins(&Backoff::exponential())[..7], [4, 8, 16, 32, 64, 128, 128]);
        assert!(spins(&Backoff::new()).iter().all(|spins| *spins == 1));
    }
}
