//! The progress of a stream, and the waiters for it: [`Progress`].
//!
//! The items of a stream are numbered from 1 in the order of their submission, and complete in that
//! order. One number therefore says how far the stream is. A *record* is a stream and a number, and
//! needs no allocation.

use std::cmp::Ordering as Order;
use std::collections::BinaryHeap;

use super::fault::Fault;
use super::parker::Parker;
use super::queue::Queue;
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering, lock};

/// A waiter, which is woken when a stream has reached a number.
pub(crate) enum Waiter {
    /// A stream that is suspended at a wait.
    Queue(Arc<Queue>),
    /// A thread that is blocked.
    Thread(Arc<Parker>),
}

/// The number of completed items of one stream, and its waiters.
pub(crate) struct Progress {
    /// The number of the last completed item. All items up to it have run, and their closures were
    /// dropped.
    done: AtomicU64,
    /// The smallest number in `list.waiters`, or `NO_WATCHER`.
    next_watched: AtomicU64,
    /// `true` if `list.fault` is set: no number after `done` will ever be reached.
    faulted: AtomicBool,
    list: Mutex<WaiterList>,
}

const NO_WATCHER: u64 = u64::MAX;

struct WaiterList {
    waiters: BinaryHeap<WaiterEntry>,
    fault: Option<Fault>,
}

struct WaiterEntry {
    number: u64,
    waiter: Waiter,
}

impl Progress {
    /// Creates the progress of a stream without completed items.
    pub(crate) fn new() -> Self {
        Progress {
            done: AtomicU64::new(0),
            next_watched: AtomicU64::new(NO_WATCHER),
            faulted: AtomicBool::new(false),
            list: Mutex::new(WaiterList { waiters: BinaryHeap::new(), fault: None }),
        }
    }

    /// Returns the number of the last completed item.
    #[inline]
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Acquire)
    }

    /// Returns `true` if item `number` has completed. Fails if it never will.
    #[inline]
    pub(crate) fn check(&self, number: u64) -> Result<bool, Fault> {
        if self.done() >= number {
            return Ok(true);
        }
        if !self.faulted.load(Ordering::Acquire) {
            return Ok(false);
        }
        // Checked again: `number` can have been reached after the first check and before the fault.
        if self.done() >= number {
            return Ok(true);
        }
        match &lock(&self.list).fault {
            Some(fault) => Err(fault.clone()),
            None => Ok(false),
        }
    }

    /// Marks all items up to `number` as completed, and calls `wake` for each waiter of these.
    #[inline]
    pub(crate) fn advance(&self, number: u64, mut wake: impl FnMut(Waiter)) {
        // A read-modify-write, as in `watch`: of the two, the later one observes everything that
        // the other thread did before its own. This replaces a store and a fence.
        self.done.swap(number, Ordering::AcqRel);
        if self.next_watched.load(Ordering::Relaxed) <= number {
            self.wake_reached(number, &mut wake);
        }
    }

    /// Calls `wake` for each waiter of `number` or less.
    #[cold]
    fn wake_reached(&self, number: u64, wake: &mut impl FnMut(Waiter)) {
        while self.next_watched.load(Ordering::Relaxed) <= number {
            let mut list = lock(&self.list);
            let is_reached = list.waiters.peek().is_some_and(|first| first.number <= number);
            let reached = if is_reached { list.waiters.pop() } else { None };
            self.next_watched.store(list.next_watched(), Ordering::Relaxed);
            // Released first: waking acquires other locks.
            drop(list);
            if let Some(WaiterEntry { waiter, .. }) = reached {
                wake(waiter);
            }
        }
    }

    /// Marks all items after `done` as never completing, and calls `wake` for each waiter.
    pub(crate) fn fail(&self, fault: Fault, wake: impl FnMut(Waiter)) {
        let mut list = lock(&self.list);
        list.fault = Some(fault);
        self.faulted.store(true, Ordering::Release);
        self.next_watched.store(NO_WATCHER, Ordering::Relaxed);
        let waiters = std::mem::take(&mut list.waiters);
        drop(list);
        waiters.into_iter().map(|entry| entry.waiter).for_each(wake);
    }

    /// Registers `waiter` to be woken when item `number` completes or the stream fails.
    ///
    /// Returns `false` if that has already happened; the waiter is not woken then.
    #[must_use]
    pub(crate) fn watch(&self, number: u64, waiter: Waiter) -> bool {
        let mut list = lock(&self.list);
        self.next_watched.store(list.next_watched().min(number), Ordering::Relaxed);
        // Pairs with the swap in `advance`. Either this thread observes the number, or the runner
        // observes `next_watched`, and then needs the lock, which this thread holds.
        let done = self.done.fetch_add(0, Ordering::AcqRel);
        if done >= number || list.fault.is_some() {
            self.next_watched.store(list.next_watched(), Ordering::Relaxed);
            return false;
        }
        list.waiters.push(WaiterEntry { number, waiter });
        true
    }
}

impl WaiterList {
    fn next_watched(&self) -> u64 {
        self.waiters.peek().map_or(NO_WATCHER, |first| first.number)
    }
}

// Reversed: `BinaryHeap` is a max-heap, and the smallest number has to be on top.
impl Ord for WaiterEntry {
    fn cmp(&self, other: &Self) -> Order {
        other.number.cmp(&self.number)
    }
}

impl PartialOrd for WaiterEntry {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl PartialEq for WaiterEntry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for WaiterEntry {}
