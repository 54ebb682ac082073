//! Blocks and wakes one thread: [`Parker`].

#[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
use crate::sync::wait_until;
use crate::sync::{Arc, Condvar, Mutex, lock};

/// A flag that one thread waits for.
pub(crate) struct Parker {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Parker {
    /// Creates a parker that is not set.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Parker { set: Mutex::new(false), changed: Condvar::new() })
    }

    /// Returns the calling thread's own parker, which is not set and for which no other thread
    /// waits.
    ///
    /// The caller may have it set at most once, and must then wait for it.
    pub(crate) fn of_this_thread() -> Arc<Self> {
        #[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
        {
            thread_local! {
                static OWN: Arc<Parker> = Parker::new();
            }
            // The variable can already be destroyed when the thread exits.
            OWN.try_with(Arc::clone).unwrap_or_else(|_| Parker::new())
        }
        #[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
        Parker::new()
    }

    /// Sets the flag and wakes the waiting thread.
    pub(crate) fn set(&self) {
        *lock(&self.set) = true;
        self.changed.notify_one();
    }

    /// Blocks until the flag is set, and clears it. Returns `false` if that takes over a second.
    ///
    /// The models have no time: there it blocks without a limit.
    pub(crate) fn wait_a_second(&self) -> bool {
        #[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
        {
            let second = std::time::Duration::from_secs(1);
            let (mut set, _) = self
                .changed
                .wait_timeout_while(lock(&self.set), second, |set| !*set)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            std::mem::take(&mut *set)
        }
        #[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
        {
            self.wait();
            true
        }
    }

    /// Blocks until the flag is set, and clears it.
    #[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
    pub(crate) fn wait(&self) {
        *wait_until(&self.changed, lock(&self.set), |set| *set) = false;
    }
}
