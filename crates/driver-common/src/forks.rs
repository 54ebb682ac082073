//! Tells the child of a fork from its parent: [`User`].
//!
//! A child has a copy of all that its parent had, and none of its threads. A lock that one of them held
//! is held there for ever. And what the parent was given to run or to drop is the parent's.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How many forks lie between this process and the first one, plus 1.
static PROCESS: AtomicUsize = AtomicUsize::new(1);

/// Returns a number that the child of a fork does not share with its parent. It is never 0.
///
/// Forks are noticed from the first call on, on Unix. Where they are not, it is always the same number.
fn process() -> usize {
    watch();
    PROCESS.load(Ordering::SeqCst)
}

fn watch() {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if WATCHED.load(Ordering::SeqCst) || WATCHED.swap(true, Ordering::SeqCst) {
        return;
    }
    #[cfg(unix)]
    {
        extern "C" fn in_child() {
            PROCESS.fetch_add(1, Ordering::SeqCst);
        }
        // SAFETY: the function changes a static alone, and lives as long as this library. If there is no
        // memory for it, a child is not told from its parent; there is nothing better to do.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    }
}

/// The process that uses something with a lock: the first one that asks.
pub(crate) struct User(AtomicUsize);

impl User {
    pub(crate) const fn new() -> Self {
        User(AtomicUsize::new(0))
    }

    /// Returns `true` if this process is the user. Returns `false` in the child of a fork whose parent is:
    /// there the lock must not be taken.
    pub(crate) fn is_this_process(&self) -> bool {
        let me = process();
        match self.0.compare_exchange(0, me, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => true,
            Err(user) => user == me,
        }
    }
}
