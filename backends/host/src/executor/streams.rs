//! The streams that are alive, and those that left with work in them.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use gpu_stream_core::StreamOptions;

use super::fault::FIRST_HANDLE;
use super::pool::{Level, Pool};
use super::process_state;
use super::queue::Queue;
use crate::sync::{Arc, AtomicU64, Ordering, RwLock, RwLockWriteGuard};

pub(crate) struct Streams {
    /// The default stream of each device.
    defaults: Vec<Arc<Entry>>,
    next_handle: AtomicU64,
    /// By handle. A tree and no hash table: it gives its memory back, and has no slow insertion.
    alive: RwLock<BTreeMap<usize, Arc<Entry>>>,
    /// Has the streams that were destroyed with work in them. Locked under `alive`, if both are.
    pool: Arc<Pool>,
}

/// Where a stream comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// Made without a wrapper, and destroyed by its maker.
    Foreign,
    /// Destroyed with its last wrapper.
    Owned,
    /// A thread's own: its id is no handle, since the stream must not leave its thread.
    PerThread,
}

/// A stream as the driver knows it.
pub(crate) struct Entry {
    pub(crate) queue: Arc<Queue>,
    pub(crate) device: u32,
    pub(crate) origin: Origin,
}

impl Streams {
    /// Those that are always there: a default stream for each device.
    pub(crate) fn new(devices: u32, pool: &Arc<Pool>) -> Self {
        let default = |device| {
            let queue = Queue::new(u64::from(device), Level::Normal, pool);
            Arc::new(Entry { queue, device, origin: Origin::Owned })
        };
        Streams {
            defaults: (0..devices).map(default).collect(),
            next_handle: AtomicU64::new(FIRST_HANDLE),
            alive: RwLock::new(BTreeMap::new()),
            pool: Arc::clone(pool),
        }
    }

    /// The default stream of a device that exists.
    pub(crate) fn default_stream(&self, device: u32) -> Option<Arc<Entry>> {
        self.defaults.get(usize::try_from(device).ok()?).cloned()
    }

    /// Makes a stream; the handle is its queue's number, and is never used again.
    pub(crate) fn create(
        &self,
        pool: &Arc<Pool>,
        device: u32,
        options: StreamOptions,
        origin: Origin,
    ) -> Arc<Entry> {
        let handle = self.next_handle.fetch_add(1, Ordering::Relaxed);
        let queue = Queue::new(handle, Level::of(options.priority), pool);
        let entry = Arc::new(Entry { queue, device, origin });
        self.alive_mut().insert(entry.handle(), Arc::clone(&entry));
        entry
    }

    /// Returns the stream with this handle, if it is alive. A thread's own stream has no handle.
    pub(crate) fn find(&self, handle: usize) -> Option<Arc<Entry>> {
        self.with_id(handle).filter(|entry| entry.origin != Origin::PerThread)
    }

    /// Returns `true` if `id` is that of a thread's own stream, which is alive.
    pub(crate) fn is_per_thread(&self, id: usize) -> bool {
        self.with_id(id).is_some_and(|entry| entry.origin == Origin::PerThread)
    }

    fn with_id(&self, id: usize) -> Option<Arc<Entry>> {
        self.alive.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Ends the stream with this handle: nothing more can be submitted, and what was still runs.
    /// `false` if there is none.
    pub(crate) fn destroy(&self, handle: usize) -> bool {
        if process_state::is_forked() {
            // A lock may be held by a thread that stayed behind.
            return false;
        }
        // Until the end: who asks for all streams finds this one in one of the two places.
        let mut alive = self.alive_mut();
        let Some(entry) = alive.remove(&handle) else { return false };
        entry.queue.leave();
        drop(alive);
        // Not under the lock: this may be the last share, which frees the stream.
        drop(entry);
        true
    }

    /// Every stream that may still have work.
    pub(crate) fn all(&self) -> Vec<Arc<Queue>> {
        let mut all: Vec<_> = self.defaults.iter().map(|entry| Arc::clone(&entry.queue)).collect();
        let alive = self.alive.read().unwrap_or_else(PoisonError::into_inner);
        all.extend(alive.values().map(|entry| Arc::clone(&entry.queue)));
        self.pool.draining().collect(&mut all);
        drop(alive);
        all
    }

    fn alive_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<usize, Arc<Entry>>> {
        self.alive.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// The handle of a stream that was created; a default stream has 0 instead.
    pub(crate) fn handle(&self) -> usize {
        // Handles are counted up from a small number: they fit.
        self.queue.id() as usize
    }
}
