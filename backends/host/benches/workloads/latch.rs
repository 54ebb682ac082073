//! An event on which threads block: [`Latch`].

use std::sync::{Condvar, Mutex, PoisonError};

/// A latch, which is closed until it is opened and then stays open.
#[derive(Default)]
pub struct Latch {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Latch {
    /// Opens the latch, and wakes all threads that are blocked on it.
    pub fn open(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.opened.notify_all();
    }

    /// Blocks until the latch is open.
    pub fn block(&self) {
        let guard = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let open = self.opened.wait_while(guard, |open| !*open);
        drop(open.unwrap_or_else(PoisonError::into_inner));
    }
}
