//! Streams that were destroyed while they still had work: [`Draining`].

use std::collections::BTreeMap;

use super::queue::Queue;
use crate::sync::{Arc, Mutex, lock};

/// The queues of destroyed streams that still have work, by id.
///
/// Process exit waits for them. A queue removes itself when it has finished. No other call searches
/// the map. The map is a tree and not a hash table, because a tree frees its memory.
pub(crate) struct Draining(Mutex<BTreeMap<u64, Arc<Queue>>>);

impl Draining {
    /// Creates an empty map.
    pub(super) fn new() -> Self {
        Draining(Mutex::new(BTreeMap::new()))
    }

    /// Adds `queue`.
    pub(super) fn add(&self, queue: &Arc<Queue>) {
        lock(&self.0).insert(queue.id(), Arc::clone(queue));
    }

    /// Removes the queue with this id, if the map contains it.
    pub(super) fn remove(&self, id: u64) {
        let removed = lock(&self.0).remove(&id);
        // Dropped outside the lock: this can be the last reference.
        drop(removed);
    }

    /// Appends all queues to `list`.
    pub(super) fn collect(&self, list: &mut Vec<Arc<Queue>>) {
        list.extend(lock(&self.0).values().cloned());
    }
}
