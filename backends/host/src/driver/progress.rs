//! How far a stream has come, and who waits for it to come further.
//!
//! The items of a stream are numbered from 1 in the order of their submission, and end in that
//! order. So one number says how far the stream is, a *record* is a stream and a number, and
//! nothing has to be allocated for either.

use super::fault::Fault;
use super::queue::Queue;
use super::signal::Signal;
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering, fence, lock};

/// Who is to be told when a stream has come to a number.
pub(crate) enum Waiter {
    /// A stream that is suspended at a wait.
    Queue(Arc<Queue>),
    /// A thread that is blocked.
    Thread(Arc<Signal>),
}

pub(crate) struct Progress {
    /// All items up to this number have ended, and their closures were dropped.
    done: AtomicU64,
    /// Whether `list.fault` is set: no number after `done` will ever be reached.
    faulted: AtomicBool,
    /// The least number that anybody in `list.waiters` waits for, or `NOBODY`.
    next_watched: AtomicU64,
    list: Mutex<List>,
}

const NOBODY: u64 = u64::MAX;

struct List {
    waiters: Vec<(u64, Waiter)>,
    fault: Option<Fault>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Progress {
            done: AtomicU64::new(0),
            faulted: AtomicBool::new(false),
            next_watched: AtomicU64::new(NOBODY),
            list: Mutex::new(List { waiters: Vec::new(), fault: None }),
        }
    }

    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Acquire)
    }

    /// Whether `number` was reached; the fault if it never will be.
    pub(crate) fn check(&self, number: u64) -> Result<bool, Fault> {
        if self.done() >= number {
            return Ok(true);
        }
        if !self.faulted.load(Ordering::Acquire) {
            return Ok(false);
        }
        // `number` may have been reached between the first look and the fault, which came after it.
        if self.done() >= number {
            return Ok(true);
        }
        match &lock(&self.list).fault {
            Some(fault) => Err(fault.clone()),
            None => Ok(false),
        }
    }

    /// Says that all items up to `number` have ended. Returns who waited for that; the caller wakes
    /// them.
    #[must_use]
    pub(crate) fn advance(&self, number: u64) -> Vec<Waiter> {
        self.done.store(number, Ordering::Release);
        // With the fence in `watch`: either we see what is watched, or the watcher sees the number.
        fence(Ordering::SeqCst);
        if self.next_watched.load(Ordering::Relaxed) > number {
            return Vec::new();
        }
        let mut list = lock(&self.list);
        let reached = list.waiters.extract_if(.., |(wanted, _)| *wanted <= number);
        let woken = reached.map(|(_, waiter)| waiter).collect();
        self.next_watched.store(list.next_watched(), Ordering::Relaxed);
        woken
    }

    /// Says that nothing after `done` will ever end. Returns everybody who waited; the caller wakes
    /// them.
    #[must_use]
    pub(crate) fn fail(&self, fault: Fault) -> Vec<Waiter> {
        let mut list = lock(&self.list);
        list.fault = Some(fault);
        self.faulted.store(true, Ordering::Release);
        self.next_watched.store(NOBODY, Ordering::Relaxed);
        list.waiters.drain(..).map(|(_, waiter)| waiter).collect()
    }

    /// Has `waiter` told when `number` is reached or the stream fails; `false`, and nobody is told,
    /// if that is so already.
    #[must_use]
    pub(crate) fn watch(&self, number: u64, waiter: Waiter) -> bool {
        let mut list = lock(&self.list);
        list.waiters.push((number, waiter));
        self.next_watched.store(list.next_watched(), Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.done() < number && list.fault.is_none() {
            return true;
        }
        // Nobody took it out again: that needs the lock, which we hold.
        list.waiters.pop();
        self.next_watched.store(list.next_watched(), Ordering::Relaxed);
        false
    }
}

impl List {
    fn next_watched(&self) -> u64 {
        self.waiters.iter().map(|(number, _)| *number).min().unwrap_or(NOBODY)
    }
}
