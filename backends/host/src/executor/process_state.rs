//! The state of the process: running, exiting, or forked.
//!
//! - The child of a fork cannot use the backend. The worker threads stayed in the parent, and a
//!   lock that one of them held is never released.
//! - While the process exits, submissions from outside of tasks are rejected. They could keep the
//!   exit waiting forever.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use gpu_stream_core::{BackendKind, ContractError};

/// [`RUNNING`], [`ENDING`] or [`FORKED`].
static PROCESS_STATE: AtomicU8 = AtomicU8::new(RUNNING);

const RUNNING: u8 = 0;
const ENDING: u8 = 1;
const FORKED: u8 = 2;

/// Returns `true` if the process is neither exiting nor forked.
#[inline]
pub(crate) fn is_running() -> bool {
    PROCESS_STATE.load(Ordering::Relaxed) == RUNNING
}

/// Returns `true` if this process was forked from one that had used the backend.
#[inline]
pub(crate) fn is_forked() -> bool {
    PROCESS_STATE.load(Ordering::Relaxed) == FORKED
}

/// Returns `true` while the process exits and submitted work is finished.
pub(crate) fn is_ending() -> bool {
    PROCESS_STATE.load(Ordering::Relaxed) == ENDING
}

/// Returns an error in the child of a fork.
#[inline]
pub(crate) fn ensure_not_forked() -> Result<(), ContractError> {
    if is_forked() {
        Err(ContractError::ProcessForked { backend: BackendKind::Host })
    } else {
        Ok(())
    }
}

/// A guard that marks the process as exiting.
pub(super) struct ExitGuard(());

impl ExitGuard {
    /// Marks the process as exiting until the guard is dropped.
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

/// Registers the fork handler. Must precede the first lock and the first thread of the executor.
pub(super) fn watch_forks() {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if WATCHED.load(Ordering::SeqCst) {
        return;
    }
    #[cfg(unix)]
    {
        extern "C" fn in_child() {
            PROCESS_STATE.store(FORKED, Ordering::SeqCst);
        }
        // SAFETY: `in_child` only stores to a static, so it is async-signal-safe. It is live as
        // long as this library. The result is ignored: the call fails only without memory, and then
        // forks go unnoticed; there is no better fallback.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    }
    // After the registration, so that no thread goes on without it. A second registration is harmless.
    WATCHED.store(true, Ordering::SeqCst);
}
