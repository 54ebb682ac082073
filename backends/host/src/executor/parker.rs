//! What one blocked thread waits for.

#[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
use crate::sync::wait_until;
use crate::sync::{Arc, Condvar, Mutex, lock};

pub(crate) struct Parker {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Parker {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Parker { set: Mutex::new(false), changed: Condvar::new() })
    }

    /// The calling thread's own, which nobody else waits for and which is not set. Whoever takes it
    /// has it set at most once, and then waits.
    pub(crate) fn of_this_thread() -> Arc<Self> {
        #[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
        {
            thread_local! {
                static OWN: Arc<Parker> = Parker::new();
            }
            // At the end of a thread it may be gone.
            OWN.try_with(Arc::clone).unwrap_or_else(|_| Parker::new())
        }
        #[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
        Parker::new()
    }

    pub(crate) fn set(&self) {
        *lock(&self.set) = true;
        self.changed.notify_one();
    }

    /// Blocks until [`set`](Self::set) was called, and takes that back; or for a second. Returns
    /// `false` after that. The models have no time, and block.
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

    /// Blocks until somebody has called [`set`](Self::set), and takes that back.
    #[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
    pub(crate) fn wait(&self) {
        *wait_until(&self.changed, lock(&self.set), |set| *set) = false;
    }
}
