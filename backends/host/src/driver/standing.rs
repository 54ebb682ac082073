//! Whether this process may use the backend.
//!
//! Not in the child of a fork: the threads that run streams stayed with the parent, and a lock that
//! one of them held is held for ever. And while the process ends, what is submitted from outside of
//! tasks is refused, or the end could be kept waiting for ever.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use gpu_stream_core::{BackendKind, ContractError};

/// [`GOOD`], [`ENDING`] or [`FORKED`].
static STANDING: AtomicU8 = AtomicU8::new(GOOD);

const GOOD: u8 = 0;
const ENDING: u8 = 1;
const FORKED: u8 = 2;

/// Whether nothing has to be looked at more closely.
#[inline]
pub(crate) fn is_good() -> bool {
    STANDING.load(Ordering::Relaxed) == GOOD
}

/// Whether this is the child of a process that had used the backend.
#[inline]
pub(crate) fn is_forked() -> bool {
    STANDING.load(Ordering::Relaxed) == FORKED
}

/// Whether the process is ending, and what was submitted is being run.
pub(crate) fn is_ending() -> bool {
    STANDING.load(Ordering::Relaxed) == ENDING
}

/// An error in the child of a fork.
#[inline]
pub(crate) fn refuse_forked() -> Result<(), ContractError> {
    if is_forked() {
        Err(ContractError::ProcessForked { backend: BackendKind::Host })
    } else {
        Ok(())
    }
}

/// From here to the guard's end, the process is ending.
pub(super) struct Ending(());

impl Ending {
    pub(super) fn begin() -> Self {
        STANDING.store(ENDING, Ordering::SeqCst);
        Ending(())
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        STANDING.store(GOOD, Ordering::SeqCst);
    }
}

/// Has forks noticed from now on. Before the first lock is taken and the first thread started.
pub(super) fn watch_forks() {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if WATCHED.swap(true, Ordering::SeqCst) {
        return;
    }
    #[cfg(unix)]
    {
        extern "C" fn in_child() {
            STANDING.store(FORKED, Ordering::SeqCst);
        }
        // SAFETY: the function only stores to a static, and lives as long as this library. If there
        // is no memory for it, a child is not told from its parent; there is nothing better to do.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    }
}
