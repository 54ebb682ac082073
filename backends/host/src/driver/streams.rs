//! The streams that are alive, and those that left with work in them.

use std::collections::HashMap;
use std::sync::PoisonError;

use gpu_stream_core::StreamOptions;

use super::fault::FIRST_HANDLE;
use super::pool::{Level, Pool};
use super::queue::Queue;
use super::standing;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, RwLock, RwLockWriteGuard, lock};

pub(crate) struct Streams {
    /// The default stream of each device.
    defaults: Vec<Arc<Entry>>,
    next_handle: AtomicU64,
    alive: RwLock<HashMap<usize, Arc<Entry>>>,
    /// Streams that were destroyed with work in them, which the end of the process still waits for.
    /// Locked under `alive`, if both are.
    leaving: Mutex<Vec<Arc<Queue>>>,
}

/// A stream as the driver knows it.
pub(crate) struct Entry {
    pub(crate) queue: Arc<Queue>,
    pub(crate) device: u32,
    /// Whether it was made without a wrapper, and is for its maker to destroy.
    pub(crate) is_foreign: bool,
}

impl Streams {
    /// Those that are always there: a default stream for each device.
    pub(crate) fn new(devices: u32, pool: &Arc<Pool>) -> Self {
        let default = |device| {
            let queue = Queue::new(u64::from(device), Level::Normal, pool);
            Arc::new(Entry { queue, device, is_foreign: false })
        };
        Streams {
            defaults: (0..devices).map(default).collect(),
            next_handle: AtomicU64::new(FIRST_HANDLE),
            alive: RwLock::new(HashMap::new()),
            leaving: Mutex::new(Vec::new()),
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
        is_foreign: bool,
    ) -> Arc<Entry> {
        let handle = self.next_handle.fetch_add(1, Ordering::Relaxed);
        let queue = Queue::new(handle, Level::of(options.priority), pool);
        let entry = Arc::new(Entry { queue, device, is_foreign });
        self.alive_mut().insert(entry.handle(), Arc::clone(&entry));
        entry
    }

    /// The stream with this handle, if it is alive.
    pub(crate) fn find(&self, handle: usize) -> Option<Arc<Entry>> {
        self.alive.read().unwrap_or_else(PoisonError::into_inner).get(&handle).cloned()
    }

    /// Ends the stream with this handle: nothing more can be submitted, and what was still runs.
    /// `false` if there is none.
    pub(crate) fn destroy(&self, handle: usize) -> bool {
        if standing::is_forked() {
            // A lock may be held by a thread that stayed behind.
            return false;
        }
        // Until the end: who asks for all streams finds this one in one of the two places.
        let mut alive = self.alive_mut();
        let Some(entry) = alive.remove(&handle) else { return false };
        entry.queue.close();
        if !entry.queue.is_over() {
            let mut leaving = lock(&self.leaving);
            // When the list is full and not each time, or many that leave together take long.
            if leaving.len() == leaving.capacity() {
                leaving.retain(|queue| !queue.is_over());
            }
            leaving.push(Arc::clone(&entry.queue));
        }
        drop(alive);
        true
    }

    /// Every stream that may still have work.
    pub(crate) fn all(&self) -> Vec<Arc<Queue>> {
        let mut all: Vec<_> = self.defaults.iter().map(|entry| Arc::clone(&entry.queue)).collect();
        let alive = self.alive.read().unwrap_or_else(PoisonError::into_inner);
        all.extend(alive.values().map(|entry| Arc::clone(&entry.queue)));
        all.extend(lock(&self.leaving).iter().cloned());
        drop(alive);
        all
    }

    fn alive_mut(&self) -> RwLockWriteGuard<'_, HashMap<usize, Arc<Entry>>> {
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
