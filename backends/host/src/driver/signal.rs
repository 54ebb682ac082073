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

    pub(crate) fn set(&self) {
        *lock(&self.set) = true;
        self.changed.notify_one();
    }

    /// Blocks until somebody has called [`set`](Self::set).
    pub(crate) fn wait(&self) {
        drop(wait_until(&self.changed, lock(&self.set), |set| *set));
    }
}
