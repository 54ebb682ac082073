//! The reclaimer of each backend that all code of the process shares.

use std::any::{Any, TypeId};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use gpu_stream_core::Backend;

use crate::{Reclaimer, forks};

/// A node of a list that only grows, like Treiber's stack without a pop. A static cannot be generic, so one list has
/// the reclaimers of all backends. It takes no lock, which the child of a fork could find locked.
struct Node {
    backend: TypeId,
    /// The process that made the node. The child of a fork makes nodes of its own.
    process: usize,
    reclaimer: Box<dyn Any + Send + Sync>,
    next: *const Node,
}

static HEAD: AtomicPtr<Node> = AtomicPtr::new(null_mut());

/// Returns the reclaimer of backend `B` in this process. The first call creates it.
pub(crate) fn of<B: Backend>() -> &'static Reclaimer<B> {
    let mut head = HEAD.load(Ordering::Acquire);
    if let Some(found) = find(head) {
        return found;
    }
    let reclaimer = Box::new(Reclaimer::<B>::new());
    // After the creation, which begins to count forks.
    let (backend, process) = (TypeId::of::<B>(), forks::current());
    let node = Box::into_raw(Box::new(Node { backend, process, reclaimer, next: head }));
    loop {
        let added = HEAD.compare_exchange(head, node, Ordering::AcqRel, Ordering::Acquire);
        let Err(newer) = added else {
            // SAFETY: `node` comes from `Box::into_raw` above, and nodes in the list are never freed or changed.
            let node: &'static Node = unsafe { &*node };
            return node.reclaimer.downcast_ref().expect("the reclaimer that this call has added");
        };
        head = newer;
        if let Some(found) = find(head) {
            // Another thread was first.
            // SAFETY: `node` comes from `Box::into_raw` above, and was not added to the list.
            drop(unsafe { Box::from_raw(node) });
            return found;
        }
        // SAFETY: `node` comes from `Box::into_raw` above, and is not in the list, so no other thread has it.
        unsafe { (*node).next = head };
    }
}

/// Returns the reclaimer of backend `B` and of this process in the list that begins with `node`.
fn find<B: Backend>(mut node: *const Node) -> Option<&'static Reclaimer<B>> {
    let process = forks::current();
    // SAFETY: `node` is null, or was published by a release that the load of `HEAD` has acquired. Nodes in the list
    // are never freed or changed.
    while let Some(Node { backend, process: owner, reclaimer, next }) = unsafe { node.as_ref() } {
        if *backend == TypeId::of::<B>() && *owner == process {
            return reclaimer.downcast_ref();
        }
        node = *next;
    }
    None
}
