//! How far a stream has come, and who waits for it to come further.
//!
//! The items of a stream are numbered from 1 in the order of their submission, and end in that
//! order. So one number says how far the stream is, a *record* is a stream and a number, and
//! nothing has to be allocated for either.

use std::cmp::Ordering as Order;
use std::collections::BinaryHeap;

use super::fault::Fault;
use super::parker::Parker;
use super::queue::Queue;
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering, lock};

/// Who is to be told when a stream has come to a number.
pub(crate) enum Waiter {
    /// A stream that is suspended at a wait.
    Queue(Arc<Queue>),
    /// A thread that is blocked.
    Thread(Arc<Parker>),
}

pub(crate) struct Progress {
    /// All items up to this number have ended, and their closures were dropped.
    done: AtomicU64,
    /// The least number that anybody in `list.waiters` waits for, or `NO_WATCHER`.
    next_watched: AtomicU64,
    /// Whether `list.fault` is set: no number after `done` will ever be reached.
    faulted: AtomicBool,
    list: Mutex<List>,
}

const NO_WATCHER: u64 = u64::MAX;

struct List {
    waiters: BinaryHeap<Watch>,
    fault: Option<Fault>,
}

struct Watch {
    number: u64,
    waiter: Waiter,
}

impl Progress {
    /// Nothing has ended.
    pub(crate) fn new() -> Self {
        Progress {
            done: AtomicU64::new(0),
            next_watched: AtomicU64::new(NO_WATCHER),
            faulted: AtomicBool::new(false),
            list: Mutex::new(List { waiters: BinaryHeap::new(), fault: None }),
        }
    }

    #[inline]
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Acquire)
    }

    /// Whether `number` was reached; the fault if it never will be.
    #[inline]
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

    /// Says that all items up to `number` have ended, and has `wake` wake who waited for that.
    #[inline]
    pub(crate) fn advance(&self, number: u64, mut wake: impl FnMut(Waiter)) {
        // A read-modify-write, with another of the same variable in `watch`: whichever comes second
        // sees what the other thread did before. It is a fence and a store in one.
        self.done.swap(number, Ordering::AcqRel);
        if self.next_watched.load(Ordering::Relaxed) <= number {
            self.tell(number, &mut wake);
        }
    }

    /// Has `wake` wake who waited for `number` or less.
    #[cold]
    fn tell(&self, number: u64, wake: &mut impl FnMut(Waiter)) {
        while self.next_watched.load(Ordering::Relaxed) <= number {
            let mut list = lock(&self.list);
            let told = list.waiters.peek().is_some_and(|first| first.number <= number);
            let told = if told { list.waiters.pop() } else { None };
            self.next_watched.store(list.next_watched(), Ordering::Relaxed);
            // Waking takes other locks.
            drop(list);
            if let Some(Watch { waiter, .. }) = told {
                wake(waiter);
            }
        }
    }

    /// Says that nothing after `done` will ever end, and has `wake` wake everybody who waited.
    pub(crate) fn fail(&self, fault: Fault, wake: impl FnMut(Waiter)) {
        let mut list = lock(&self.list);
        list.fault = Some(fault);
        self.faulted.store(true, Ordering::Release);
        self.next_watched.store(NO_WATCHER, Ordering::Relaxed);
        let waiters = std::mem::take(&mut list.waiters);
        drop(list);
        waiters.into_iter().map(|watch| watch.waiter).for_each(wake);
    }

    /// Has `waiter` told when `number` is reached or the stream fails; `false`, and nobody is told,
    /// if that is so already.
    #[must_use]
    pub(crate) fn watch(&self, number: u64, waiter: Waiter) -> bool {
        let mut list = lock(&self.list);
        self.next_watched.store(list.next_watched().min(number), Ordering::Relaxed);
        // See `advance`: either we see the number, or the runner sees that it is watched, and then
        // needs the lock, which we hold.
        let done = self.done.fetch_add(0, Ordering::AcqRel);
        if done >= number || list.fault.is_some() {
            self.next_watched.store(list.next_watched(), Ordering::Relaxed);
            return false;
        }
        list.waiters.push(Watch { number, waiter });
        true
    }
}

impl List {
    fn next_watched(&self) -> u64 {
        self.waiters.peek().map_or(NO_WATCHER, |first| first.number)
    }
}

// By the number, the least one on top of the heap.
impl Ord for Watch {
    fn cmp(&self, other: &Self) -> Order {
        other.number.cmp(&self.number)
    }
}

impl PartialOrd for Watch {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Watch {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Watch {}
