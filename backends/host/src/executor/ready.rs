//! A list of ready queues, to which any thread can push without waiting: [`ReadyList`].
//!
//! Intrusive MPSC node-based queue (Dmitry Vyukov, 1024cores.net), with one lock for the consumers.
//! A push swaps its node in as the last one, then links the previous node to it. The nodes lie in
//! the queues themselves, so a push allocates nothing. A queue is in at most one list, and once.
//!
//! Ordering: a push is a read-modify-write of `last`, and so is
//! [`is_empty_acqrel`](ReadyList::is_empty_acqrel). Of a push and such a check, the later one
//! observes everything that the other thread did before its own.

use std::ptr;

use crossbeam_utils::CachePadded;

use super::queue::Queue;
use crate::sync::{Arc, AtomicPtr, Mutex, Ordering, UnsafeCell, try_lock};

/// The node of one queue.
pub(super) struct Node {
    next: AtomicPtr<Node>,
    /// The queue that contains the node, while the node is in a list.
    queue: UnsafeCell<Option<Arc<Queue>>>,
}

// SAFETY: `queue` is accessed first by the pushing thread, before it links the node, and then by
// the thread that pops the node.
unsafe impl Sync for Node {}
// SAFETY: `next` is an atomic, and `Arc<Queue>` is `Send`.
unsafe impl Send for Node {}

/// An unbounded list of ready queues, in the order of the pushes.
pub(super) struct ReadyList {
    last: CachePadded<AtomicPtr<Node>>,
    first: CachePadded<Mutex<First>>,
    /// The stub (Vyukov's sentinel), which is in the list while that is empty. The list owns it; it
    /// is a raw pointer because `first` and `last` point to it as well.
    stub: *const Node,
}

// SAFETY: `stub` points to a heap-allocated `Node`, which is `Send` and `Sync`.
unsafe impl Send for ReadyList {}
// SAFETY: `stub` points to a heap-allocated `Node`, which is `Send` and `Sync`.
unsafe impl Sync for ReadyList {}

/// The first node, for the consumer that holds the lock.
struct First(*const Node);

// SAFETY: the nodes that the pointer leads to are `Send` and `Sync`.
unsafe impl Send for First {}

impl Node {
    /// Creates the node of a queue that is in no list.
    pub(super) fn new() -> Self {
        Node { next: AtomicPtr::new(ptr::null_mut()), queue: UnsafeCell::new(None) }
    }
}

impl ReadyList {
    /// Creates an empty list.
    pub(super) fn new() -> Self {
        let stub = Box::into_raw(Box::new(Node::new()));
        ReadyList {
            last: CachePadded::new(AtomicPtr::new(stub)),
            first: CachePadded::new(Mutex::new(First(stub))),
            stub,
        }
    }

    /// Appends `queue`. Does not block.
    ///
    /// # Safety
    /// The queue is in no list.
    pub(super) unsafe fn push(&self, queue: Arc<Queue>) {
        let node = &raw const *queue.node();
        // SAFETY:
        // - The queue is in no list (caller contract), so no other thread accesses its node.
        // - The node is live: it now contains a reference to the queue that contains it.
        unsafe {
            (*node).queue.with_mut(|slot| *slot = Some(queue));
            (*node).next.store(ptr::null_mut(), Ordering::Relaxed);
        }
        let previous = self.last.swap(node.cast_mut(), Ordering::AcqRel);
        // SAFETY: `previous` is live: a consumer removes neither the last node nor one whose `next`
        // is not set yet.
        unsafe { (*previous).next.store(node.cast_mut(), Ordering::Release) };
    }

    /// Removes the first queue. Also returns `None` while another thread pops, or if a push is
    /// half done.
    pub(super) fn pop(&self) -> Option<Arc<Queue>> {
        let mut first = try_lock(&self.first)?;
        let stub = self.stub;
        // SAFETY: holds for the whole block. Each node between the first and the last is live,
        // because it contains a reference to its queue until it is removed. Removing needs the
        // lock, which this thread holds.
        unsafe {
            if first.0 == stub {
                let next = (*stub).next.load(Ordering::Acquire);
                if next.is_null() {
                    return None;
                }
                first.0 = next;
            }
            let popped = first.0;
            let next = (*popped).next.load(Ordering::Acquire);
            if !next.is_null() {
                first.0 = next;
            } else {
                // `popped` is the last node, unless a push is half done. Only this thread inserts
                // the stub: it holds the lock.
                (*stub).next.store(ptr::null_mut(), Ordering::Relaxed);
                let (last, only) = (popped.cast_mut(), stub.cast_mut());
                let order = (Ordering::AcqRel, Ordering::Relaxed);
                if self.last.compare_exchange(last, only, order.0, order.1).is_err() {
                    return None;
                }
                first.0 = stub;
            }
            (*popped).queue.with_mut(|slot| (*slot).take())
        }
    }

    /// Blocks all consumers until the returned guard is dropped.
    #[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
    pub(super) fn stall(&self) -> impl Sized + '_ {
        crate::sync::lock(&self.first)
    }

    /// Returns `true` if the list is empty. The answer can be out of date.
    pub(super) fn is_empty(&self) -> bool {
        ptr::eq(self.last.load(Ordering::Relaxed), self.stub)
    }

    /// Returns `true` if the list is empty, by a read-modify-write of `last`.
    ///
    /// If it returns `true`, every later push observes this thread's earlier writes.
    pub(super) fn is_empty_acqrel(&self) -> bool {
        let stub = self.stub.cast_mut();
        self.last.compare_exchange(stub, stub, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

impl Drop for ReadyList {
    fn drop(&mut self) {
        while self.pop().is_some() {}
        // SAFETY: `stub` comes from `Box::into_raw` in `new`. The list is dropped exclusively, so
        // no thread uses it any more.
        drop(unsafe { Box::from_raw(self.stub.cast_mut()) });
    }
}
