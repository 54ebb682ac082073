//! A list of queues that are ready, which any thread pushes to without waiting for another.
//!
//! The links lie in the queues themselves, so that pushing allocates nothing: a queue is in one list
//! at most, and once. It is the intrusive list of Dmitry Vyukov (whoever pushes swaps itself in as
//! the last, then links the one before to itself), with one lock for those who take.
//!
//! `last` is where both sides meet: a push swaps it, and [`is_empty_acqrel`](ReadyList::is_empty_acqrel)
//! is a read-modify-write of it as well. So, of a push and such a look, one sees what the other's
//! thread did before.

use std::ptr;

use crossbeam_utils::CachePadded;

use super::queue::Queue;
use crate::sync::{Arc, AtomicPtr, Mutex, Ordering, UnsafeCell, try_lock};

/// A place in a list.
pub(super) struct Link {
    next: AtomicPtr<Link>,
    /// The queue that the link lies in, while it is in the list.
    queue: UnsafeCell<Option<Arc<Queue>>>,
}

// SAFETY: `queue` is used by the thread that pushes, before it has linked the link in, and then by
// the one that takes it out.
unsafe impl Sync for Link {}
// SAFETY: as above; queues may be used by any thread.
unsafe impl Send for Link {}

pub(super) struct ReadyList {
    last: CachePadded<AtomicPtr<Link>>,
    first: CachePadded<Mutex<First>>,
    /// In the list while that is empty. Ours, and a pointer since the list points to it as well.
    stub: *const Link,
}

// SAFETY: `stub` is a link, and those may be sent and shared.
unsafe impl Send for ReadyList {}
// SAFETY: as above.
unsafe impl Sync for ReadyList {}

/// The first link, for whoever takes.
struct First(*const Link);

// SAFETY: the links that it leads to may be sent and shared.
unsafe impl Send for First {}

impl Link {
    pub(super) fn new() -> Self {
        Link { next: AtomicPtr::new(ptr::null_mut()), queue: UnsafeCell::new(None) }
    }
}

impl ReadyList {
    pub(super) fn new() -> Self {
        let stub = Box::into_raw(Box::new(Link::new()));
        ReadyList {
            last: CachePadded::new(AtomicPtr::new(stub)),
            first: CachePadded::new(Mutex::new(First(stub))),
            stub,
        }
    }

    /// Puts `queue` at the end.
    ///
    /// # Safety
    /// The queue is in no list.
    pub(super) unsafe fn push(&self, queue: Arc<Queue>) {
        let link = &raw const *queue.link();
        // SAFETY: the queue is in no list, so its link is nobody else's; and it lives for as long as
        // the share that it now holds in itself.
        unsafe {
            (*link).queue.with_mut(|place| *place = Some(queue));
            (*link).next.store(ptr::null_mut(), Ordering::Relaxed);
        }
        let before = self.last.swap(link.cast_mut(), Ordering::AcqRel);
        // SAFETY: who takes lets no link go that is the last, or whose next is not known yet.
        unsafe { (*before).next.store(link.cast_mut(), Ordering::Release) };
    }

    /// Takes the first queue. `None` also while another thread is taking, or a push is half done.
    pub(super) fn pop(&self) -> Option<Arc<Queue>> {
        let mut first = try_lock(&self.first)?;
        let stub = self.stub;
        // SAFETY: this goes for all of it. Links between the first and the last live, since each
        // holds a share in its queue until it is taken, which needs the lock that we hold.
        unsafe {
            if first.0 == stub {
                let next = (*stub).next.load(Ordering::Acquire);
                if next.is_null() {
                    return None;
                }
                first.0 = next;
            }
            let taken = first.0;
            let next = (*taken).next.load(Ordering::Acquire);
            if !next.is_null() {
                first.0 = next;
            } else {
                // It is the last, unless a push is half done. Nobody else puts `stub` in.
                (*stub).next.store(ptr::null_mut(), Ordering::Relaxed);
                let (last, only) = (taken.cast_mut(), stub.cast_mut());
                let order = (Ordering::AcqRel, Ordering::Relaxed);
                if self.last.compare_exchange(last, only, order.0, order.1).is_err() {
                    return None;
                }
                first.0 = stub;
            }
            (*taken).queue.with_mut(|place| (*place).take())
        }
    }

    /// Stands in the way of all that take, until the result is dropped.
    #[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
    pub(super) fn stall(&self) -> impl Sized + '_ {
        crate::sync::lock(&self.first)
    }

    /// Whether nothing is in the list; may be behind the times.
    pub(super) fn is_empty(&self) -> bool {
        ptr::eq(self.last.load(Ordering::Relaxed), self.stub)
    }

    /// The same, in order with every push: if this says that the list is empty, then a push that
    /// comes later sees what this thread did before.
    pub(super) fn is_empty_acqrel(&self) -> bool {
        let stub = self.stub.cast_mut();
        self.last.compare_exchange(stub, stub, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

impl Drop for ReadyList {
    fn drop(&mut self) {
        while self.pop().is_some() {}
        // SAFETY: it comes from a box, and nobody is there any more to use it.
        drop(unsafe { Box::from_raw(self.stub.cast_mut()) });
    }
}
