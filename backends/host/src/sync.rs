//! The primitives that the queue, the events and the pool are made of: std's, or those of loom or
//! shuttle when these check them.
//!
//! Build with `--cfg gpu_stream_loom` or `--cfg gpu_stream_shuttle` for the latter. A cfg of our own
//! and not `loom`, since other crates listen to that one.

#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
mod imp {
    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
    };
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockWriteGuard};
    pub(crate) use std::thread::yield_now;

    /// Std's, with the interface of loom's.
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

#[cfg(gpu_stream_loom)]
mod imp {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
    };
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockWriteGuard};
    pub(crate) use loom::thread::yield_now;

    /// Loom gets on only if a thread that waits for another lets it.
    pub(crate) use loom::thread::yield_now as spin_loop;
}

#[cfg(gpu_stream_shuttle)]
mod imp {
    pub(crate) use shuttle::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
    };
    pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockWriteGuard};
    pub(crate) use shuttle::thread::yield_now;

    /// Shuttle, too, has to be told that a thread waits for another.
    pub(crate) use shuttle::thread::yield_now as spin_loop;

    /// Std's, with the interface of loom's. Others may come to run while it is used, and that no two
    /// use it at once is checked.
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

// Std's in all: nothing is ordered by counting references.
pub(crate) use std::sync::Arc;

pub(crate) use imp::*;

/// Backs off in a retry loop: spins, then yields, then sleeps.
///
/// A thread that waits sleeps in the end because the thread that it waits for may have a lower
/// priority. A real-time thread that only yields would keep that one off the core for ever. The
/// sleep has a time and no wake-up, so the other side pays nothing for it.
pub(crate) struct Backoff(u32);

impl Backoff {
    #[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
    const SPINS: u32 = 64;
    #[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
    const YIELDS: u32 = 64;

    pub(crate) fn new() -> Self {
        Backoff(0)
    }

    /// Waits for a moment, longer from call to call: up to 800 µs.
    #[cold]
    pub(crate) fn wait(&mut self) {
        #[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
        match self.0.checked_sub(Self::SPINS) {
            None => spin_loop(),
            Some(..Self::YIELDS) => yield_now(),
            Some(turn) => {
                let doublings = ((turn - Self::YIELDS) / 64).min(4);
                std::thread::sleep(std::time::Duration::from_micros(50 << doublings));
            }
        }
        #[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
        yield_now();
        self.0 = self.0.saturating_add(1);
    }
}

/// Locks; a panic of another holder changes nothing, since no code of a user runs under any of our
/// locks.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Locks, unless another thread holds the lock.
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    use std::sync::TryLockError;
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Waits on `condvar` until `ready` says so.
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
