//! The primitives that the queue, the events and the pool are made of: std's, or loom's when loom
//! checks them.
//!
//! Build with `--cfg gpu_stream_loom` for the latter. A cfg of our own and not `loom`, since other
//! crates listen to that one.

#[cfg(not(gpu_stream_loom))]
mod imp {
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence,
    };
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

    pub(crate) use crossbeam_deque::Injector;
}

#[cfg(gpu_stream_loom)]
mod imp {
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence,
    };
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};

    use crossbeam_deque::Steal;

    /// Stands for crossbeam's injector, which loom cannot look into. `is_empty` promises no more
    /// than crossbeam's does: without a fence it may be behind.
    pub(crate) struct Injector<T> {
        items: Mutex<std::collections::VecDeque<T>>,
        count: AtomicUsize,
    }

    impl<T> Injector<T> {
        pub(crate) fn new() -> Self {
            Injector { items: Mutex::default(), count: AtomicUsize::new(0) }
        }

        pub(crate) fn push(&self, item: T) {
            let mut items = self.items.lock().expect("loom");
            items.push_back(item);
            self.count.store(items.len(), Ordering::Release);
        }

        pub(crate) fn steal(&self) -> Steal<T> {
            let mut items = self.items.lock().expect("loom");
            let Some(item) = items.pop_front() else { return Steal::Empty };
            self.count.store(items.len(), Ordering::Release);
            Steal::Success(item)
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.count.load(Ordering::Acquire) == 0
        }
    }
}

// Std's in both: nothing is ordered by counting references.
pub(crate) use std::sync::Arc;

pub(crate) use imp::*;

/// Locks; a panic of another holder changes nothing, since no code of a user runs under any of our
/// locks.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
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
