//! Tells the child of a fork from its parent.
//!
//! The child has a copy of its parent's values and none of its other threads. The values are the
//! parent's, and a lock that one of its threads held stays locked in the child.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of forks between this process and the first one that called [`watch`].
static FORKS: AtomicUsize = AtomicUsize::new(0);

/// Counts forks from now on. On systems other than Unix, does nothing.
pub(crate) fn watch() {
    #[cfg(unix)]
    {
        static WATCHED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
        extern "C" fn in_child() {
            FORKS.fetch_add(1, Ordering::SeqCst);
        }
        if !WATCHED.load(Ordering::SeqCst) {
            // SAFETY: `in_child` only changes a static, so it is async-signal-safe, and it is as live as this
            // library. Without memory the call fails, and forks go unnoticed; no remedy exists.
            unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
            // After the registration, so that no thread goes on without it. A second one counts twice, which
            // tells a child from its parent as well.
            WATCHED.store(true, Ordering::SeqCst);
        }
    }
}

/// Returns a number that the child of a fork does not share with its parent, from the parent's first
/// [`watch`] on.
pub(crate) fn current() -> usize {
    FORKS.load(Ordering::SeqCst)
}
