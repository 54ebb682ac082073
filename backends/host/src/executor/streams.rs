//! The registry of streams: [`Streams`].

use std::collections::BTreeMap;
use std::sync::PoisonError;

use gpu_stream_core::StreamOptions;

use super::fault::FIRST_HANDLE;
use super::level::Level;
use super::pool::Pool;
use super::process_state;
use super::queue::Queue;
use crate::sync::{Arc, AtomicU64, Ordering, RwLock, RwLockWriteGuard};

/// The streams of the process.
///
/// A destroyed stream that still has work moves to [`Pool::draining`].
pub(crate) struct Streams {
    /// The default stream of each device.
    defaults: Vec<Arc<StreamEntry>>,
    next_handle: AtomicU64,
    /// The created streams that were not destroyed, by handle. A tree, unlike a hash table, frees
    /// its memory and has no slow insertion.
    alive: RwLock<BTreeMap<usize, Arc<StreamEntry>>>,
    /// The pool, which has the draining streams. Lock order: `alive`, then `Pool::draining`.
    pool: Arc<Pool>,
}

/// The origin of a stream, which decides how it is destroyed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// Created and destroyed by handle, as by another library.
    Foreign,
    /// Destroyed with its last wrapper.
    Owned,
    /// The per-thread stream of a thread. Its id is not a handle, because the stream must not leave
    /// its thread.
    PerThread,
}

/// A registered stream.
pub(crate) struct StreamEntry {
    /// The stream itself.
    pub(crate) queue: Arc<Queue>,
    /// The ordinal of its device.
    pub(crate) device: u32,
    /// Its origin.
    pub(crate) origin: Origin,
}

impl Streams {
    /// Creates the registry, with a default stream for each device.
    pub(crate) fn new(devices: u32, pool: &Arc<Pool>) -> Self {
        let default = |device| {
            let queue = Queue::new(u64::from(device), Level::Normal, pool);
            Arc::new(StreamEntry { queue, device, origin: Origin::Owned })
        };
        Streams {
            defaults: (0..devices).map(default).collect(),
            next_handle: AtomicU64::new(FIRST_HANDLE),
            alive: RwLock::new(BTreeMap::new()),
            pool: Arc::clone(pool),
        }
    }

    /// Returns the pool that runs the streams.
    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Returns the default stream of a device. Returns `None` if there is no such device.
    pub(crate) fn default_stream(&self, device: u32) -> Option<Arc<StreamEntry>> {
        self.defaults.get(usize::try_from(device).ok()?).cloned()
    }

    /// Creates a stream. Its handle is the id of its queue, and is never reused.
    pub(crate) fn create(
        &self,
        pool: &Arc<Pool>,
        device: u32,
        options: StreamOptions,
        origin: Origin,
    ) -> Arc<StreamEntry> {
        let handle = self.next_handle.fetch_add(1, Ordering::Relaxed);
        let queue = Queue::new(handle, Level::from_priority(options.priority), pool);
        let entry = Arc::new(StreamEntry { queue, device, origin });
        self.alive_mut().insert(entry.handle(), Arc::clone(&entry));
        entry
    }

    /// Returns the live stream with this handle. Returns `None` for the id of a per-thread stream,
    /// which is not a handle.
    pub(crate) fn find(&self, handle: usize) -> Option<Arc<StreamEntry>> {
        self.with_id(handle).filter(|entry| entry.origin != Origin::PerThread)
    }

    /// Returns `true` if `id` is the id of a live per-thread stream.
    pub(crate) fn is_per_thread(&self, id: usize) -> bool {
        self.with_id(id).is_some_and(|entry| entry.origin == Origin::PerThread)
    }

    fn with_id(&self, id: usize) -> Option<Arc<StreamEntry>> {
        self.alive.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Destroys the stream with this handle. Returns `false` if there is none.
    ///
    /// The stream rejects later submissions. Work that was submitted still runs.
    pub(crate) fn destroy(&self, handle: usize) -> bool {
        if process_state::is_forked() {
            // At the fork, a thread of the parent can have held the lock.
            return false;
        }
        // Locked until the stream is draining, so that `all` finds it in one of the two maps.
        let mut alive = self.alive_mut();
        let Some(entry) = alive.remove(&handle) else { return false };
        entry.queue.close_and_drain();
        drop(alive);
        // Dropped outside the lock: this can be the last reference, which frees the stream.
        drop(entry);
        true
    }

    /// Returns every stream that can still have work.
    pub(crate) fn all(&self) -> Vec<Arc<Queue>> {
        let mut all: Vec<_> = self.defaults.iter().map(|entry| Arc::clone(&entry.queue)).collect();
        let alive = self.alive.read().unwrap_or_else(PoisonError::into_inner);
        all.extend(alive.values().map(|entry| Arc::clone(&entry.queue)));
        self.pool.draining().collect(&mut all);
        drop(alive);
        all
    }

    fn alive_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<usize, Arc<StreamEntry>>> {
        self.alive.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamEntry {
    /// Returns the handle of a created stream. Must not be used for a default stream, whose handle
    /// is 0.
    pub(crate) fn handle(&self) -> usize {
        // Handles are consecutive numbers from a small one, so they fit into a `usize`.
        self.queue.id() as usize
    }
}
