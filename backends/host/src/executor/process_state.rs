//! Whether this process may use the backend.
//!
//! Not in the child of a fork: the threads that run streams stayed with the parent, and a lock that
//! one of them held is held for ever. And while the process ends, what is submitted from outside of
//! tasks is refused, or the end could be kept waiting for ever.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use gpu_stream_core::{BackendKind, ContractError};

/// [`RUNNING`], [`ENDING`] or [`FORKED`].
static PROCESS_STATE: AtomicU8 = AtomicU8::new(RUNNING);

const RUNNING: u8 = 0;
const ENDING: u8 = 1;
const FORKED: u8 = 2;

/// Whether nothing has to be looked at more closely.
#[inline]
pub(crate) fn is_running() -> bool {
    PROCESS_STATE.load(Ordering::Relaxed) == RUNNING
}

/// Whether this is the child of a process that had used the backend.
#[inline]
pub(crate) fn is_forked() -> bool {
    PROCESS_STATE.load(Ordering::Relaxed) == FORKED
}

/// Whether the process is ending, and what was submitted is being run.
pub(crate) fn is_ending() -> bool {
    PROCESS_STATE.load(Ordering::Relaxed) == ENDING
}

/// An error in the child of a fork.
#[inline]
pub(crate) fn ensure_not_forked() -> Result<(), ContractError> {
    if is_forked() {
        Err(ContractError::ProcessForked { backend: BackendKind::Host })
    } else {
        Ok(())
    }
}

/// From here to the guard's end, the process is ending.
pub(super) struct ExitGuard(());

impl ExitGuard {
    pub(super) fn begin() -> Self {
        PROCESS_STATE.store(ENDING, Ordering::SeqCst);
        ExitGuard(())
    }
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        PROCESS_STATE.store(RUNNING, Ordering::SeqCst);
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
            PROCESS_STATE.store(FORKED, Ordering::SeqCst);
        }
        // SAFETY: the function only stores to a static, and lives as long as this library. If there
        // is no memory for it, a child is not told from its parent; there is nothing better to do.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    }
}
