//! Tells the child of a fork from its parent: [`User`].
//!
//! The child has a copy of its parent's memory and none of its other threads. A lock that one of those
//! threads held is never unlocked in the child. Work that the parent was given to run or to drop is the
//! parent's.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The number of forks between this process and the first one, plus 1.
static PROCESS: AtomicUsize = AtomicUsize::new(1);

/// Returns a number that the child of a fork does not share with its parent. It is never 0.
///
/// On Unix, forks are noticed from the first call on. On other systems the number never changes.
fn process() -> usize {
    watch();
    PROCESS.load(Ordering::SeqCst)
}

/// Registers the fork handler, once.
fn watch() {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if WATCHED.load(Ordering::SeqCst) {
        return;
    }
    #[cfg(unix)]
    {
        extern "C" fn in_child() {
            PROCESS.fetch_add(1, Ordering::SeqCst);
        }
        // SAFETY: `in_child` only changes a static, which is async-signal-safe, and it lives as long as
        // this library. If the registration fails for lack of memory, a child is not told from its parent;
        // no remedy exists.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    }
    // After the registration, so that no thread goes on without it. A second registration is harmless: the
    // number of the child differs all the same.
    WATCHED.store(true, Ordering::SeqCst);
}

/// The process that owns a lock: the first one that asks.
pub(crate) struct User(AtomicUsize);

impl User {
    pub(crate) const fn new() -> Self {
        User(AtomicUsize::new(0))
    }

    /// Returns `true` if this process is the owner. Returns `false` in the child of a fork whose parent is
    /// the owner: the child must not take the lock.
    pub(crate) fn is_this_process(&self) -> bool {
        let me = process();
        match self.0.compare_exchange(0, me, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => true,
            Err(user) => user == me,
        }
    }
}
