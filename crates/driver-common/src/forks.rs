//! Tells the child of a fork from its parent: [`on_fork`], [`User`].
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

/// Counts forks from now on.
fn watch() {
    extern "C" fn in_child() {
        PROCESS.fetch_add(1, Ordering::SeqCst);
    }
    static WATCHED: AtomicBool = AtomicBool::new(false);
    on_fork(&WATCHED, in_child);
}

/// Registers `in_child` to run in the child of each later fork, unless `is_registered` is set. Does nothing
/// on systems other than Unix.
///
/// Threads that call this at the same time may each register `in_child`, so it must have the same effect if
/// it runs more than once. It must only change statics, because it runs where only async-signal-safe
/// functions may be called. If the registration fails for lack of memory, a child is not told from its
/// parent; no remedy exists.
pub(crate) fn on_fork(is_registered: &AtomicBool, in_child: extern "C" fn()) {
    if is_registered.load(Ordering::SeqCst) {
        return;
    }
    #[cfg(unix)]
    // SAFETY: `in_child` is a function of this library or of one that uses it, which is never unloaded while
    // it is registered.
    unsafe {
        libc::pthread_atfork(None, None, Some(in_child));
    }
    #[cfg(not(unix))]
    let _ = in_child;
    // After the registration, so that no thread goes on without it.
    is_registered.store(true, Ordering::SeqCst);
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
