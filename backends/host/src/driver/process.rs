//! The one driver of the process: made at the first call, and never taken down.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread;

use gpu_stream_core::StreamOptions;

use super::config::Config;
use super::exit;
use super::fault::FIRST_HANDLE;
use super::pool::{Level, Pool};
use super::queue::Queue;
use crate::HostError;
use crate::sync::lock;

pub(crate) struct Driver {
    pub(crate) pool: Arc<Pool>,
    /// How many threads run streams; fewer than were asked for, if the system gave no more.
    pub(crate) threads: u32,
    pub(crate) devices: u32,
    pub(crate) help: bool,
    /// The default stream of each device.
    defaults: Vec<Arc<Entry>>,
    next_handle: AtomicU64,
    alive: RwLock<HashMap<usize, Arc<Entry>>>,
    /// Streams that were destroyed with work in them, which the end of the process still waits for.
    leaving: Mutex<Vec<Arc<Queue>>>,
}

/// A stream as the driver knows it.
pub(crate) struct Entry {
    pub(crate) queue: Arc<Queue>,
    pub(crate) device: u32,
    /// Whether it was made without a wrapper, and is for its maker to destroy.
    pub(crate) is_foreign: bool,
}

/// The driver; the first call starts the threads.
pub(crate) fn driver() -> Result<&'static Driver, HostError> {
    static DRIVER: OnceLock<Driver> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    if let Some(driver) = DRIVER.get() {
        return Ok(driver);
    }
    // Not `get_or_init`, since a failure is not kept: a thread that could not be had may be there
    // later.
    let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(driver) = DRIVER.get() {
        return Ok(driver);
    }
    let driver = Driver::start(&Config::from_environment()?)?;
    let driver = DRIVER.get_or_init(|| driver);
    exit::finish_at_exit();
    Ok(driver)
}

impl Driver {
    fn start(config: &Config) -> Result<Self, HostError> {
        let pool = Pool::new();
        let mut threads = 0;
        for index in 0..config.threads {
            let pool = Arc::clone(&pool);
            let name = format!("gpu-stream-{index}");
            match thread::Builder::new().name(name).spawn(move || pool.work()) {
                Ok(_) => threads += 1,
                Err(error) if threads == 0 => {
                    return Err(HostError::NoThread { reason: error.to_string() });
                }
                Err(_) => break,
            }
        }
        let default = |device| {
            let queue = Queue::new(u64::from(device), Level::Normal, &pool);
            Arc::new(Entry { queue, device, is_foreign: false })
        };
        Ok(Driver {
            threads,
            devices: config.devices,
            help: config.help,
            defaults: (0..config.devices).map(default).collect(),
            next_handle: AtomicU64::new(FIRST_HANDLE),
            alive: RwLock::default(),
            leaving: Mutex::default(),
            pool,
        })
    }

    /// The default stream of a device that exists.
    pub(crate) fn default_stream(&self, device: u32) -> Option<Arc<Entry>> {
        self.defaults.get(usize::try_from(device).ok()?).cloned()
    }

    /// Makes a stream; the handle is its queue's number, and is never used again.
    pub(crate) fn create(
        &self,
        device: u32,
        options: StreamOptions,
        is_foreign: bool,
    ) -> Arc<Entry> {
        let handle = self.next_handle.fetch_add(1, Ordering::Relaxed);
        let queue = Queue::new(handle, Level::of(options.priority), &self.pool);
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
        let Some(entry) = self.alive_mut().remove(&handle) else { return false };
        entry.queue.close();
        if !entry.queue.is_over() {
            let mut leaving = lock(&self.leaving);
            // When the list is full and not each time, or many that leave together take long.
            if leaving.len() == leaving.capacity() {
                leaving.retain(|queue| !queue.is_over());
            }
            leaving.push(Arc::clone(&entry.queue));
        }
        true
    }

    /// Every stream that may still have work.
    pub(crate) fn all(&self) -> Vec<Arc<Queue>> {
        let mut all: Vec<_> = self.defaults.iter().map(|entry| Arc::clone(&entry.queue)).collect();
        let alive = self.alive.read().unwrap_or_else(PoisonError::into_inner);
        all.extend(alive.values().map(|entry| Arc::clone(&entry.queue)));
        drop(alive);
        all.extend(lock(&self.leaving).iter().cloned());
        all
    }

    fn alive_mut(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<usize, Arc<Entry>>> {
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
