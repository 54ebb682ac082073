//! Streams that were destroyed with work in them: [`Draining`].

use std::collections::BTreeMap;

use super::queue::Queue;
use crate::sync::{Arc, Mutex, lock};

/// The queues of destroyed streams that still have work, by id. The end of the process waits for
/// them.
///
/// A queue that has ended takes itself out. No other call looks through the list, and a tree gives
/// its memory back.
pub(crate) struct Draining(Mutex<BTreeMap<u64, Arc<Queue>>>);

impl Draining {
    pub(super) fn new() -> Self {
        Draining(Mutex::new(BTreeMap::new()))
    }

    pub(super) fn add(&self, queue: &Arc<Queue>) {
        lock(&self.0).insert(queue.id(), Arc::clone(queue));
    }

    /// Removes the queue, if it is there.
    pub(super) fn remove(&self, id: u64) {
        let removed = lock(&self.0).remove(&id);
        // Not under the lock: this may be the last share.
        drop(removed);
    }

    /// Adds all queues to `list`.
    pub(super) fn collect(&self, list: &mut Vec<Arc<Queue>>) {
        list.extend(lock(&self.0).values().cloned());
    }
}
