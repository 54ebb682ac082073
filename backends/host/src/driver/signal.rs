//! What one blocked thread waits for.

use crate::sync::{Arc, Condvar, Mutex, lock, wait_until};

pub(crate) struct Signal {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Signal { set: Mutex::new(false), changed: Condvar::new() })
    }

    /// The calling thread's own, which nobody else waits for and which is not set. Whoever takes it
    /// has it set at most once, and then waits.
    pub(crate) fn of_this_thread() -> Arc<Self> {
        #[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
        {
            thread_local! {
                static OWN: Arc<Signal> = Signal::new();
            }
            // At the end of a thread it may be gone.
            OWN.try_with(Arc::clone).unwrap_or_else(|_| Signal::new())
        }
        #[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
        Signal::new()
    }

    pub(crate) fn set(&self) {
        *lock(&self.set) = true;
        self.changed.notify_one();
    }

    /// Blocks until somebody has called [`set`](Self::set), and takes that back.
    pub(crate) fn wait(&self) {
        *wait_until(&self.changed, lock(&self.set), |set| *set) = false;
    }
}
