//! The state of the process: forked or not.
//!
//! The driver cannot be used in a child whose parent had started it, and a lock of the parent's other threads is never
//! unlocked there. A child therefore has no driver: [`driver`](super::driver) returns an error, and dropped objects are
//! left alone. The check costs a call nothing, because the fork handler clears the pointer to the driver.

use std::sync::atomic::{AtomicBool, Ordering};

use gpu_stream_core::{BackendKind, ContractError};

static FORKED: AtomicBool = AtomicBool::new(false);

/// Returns `true` in the child of a fork.
pub(super) fn is_forked() -> bool {
    FORKED.load(Ordering::SeqCst)
}

/// Returns an error in the child of a fork.
pub(super) fn ensure_not_forked() -> Result<(), ContractError> {
    if is_forked() {
        return Err(ContractError::ProcessForked { backend: BackendKind::Cuda });
    }
    Ok(())
}

/// Notes that this process is the child of a fork.
pub(super) fn set_forked() {
    FORKED.store(true, Ordering::SeqCst);
}

/// Registers `in_child` to run in the child of each later fork. Does so once, before the driver is started.
///
/// `in_child` must only store to statics: it runs where only async-signal-safe functions may be called.
pub(super) fn watch_forks(in_child: extern "C" fn()) {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if WATCHED.swap(true, Ordering::SeqCst) {
        return;
    }
    #[cfg(unix)]
    // SAFETY: `in_child` is async-signal-safe and lives as long as this library. If the registration fails for lack
    // of memory, a child is not told from its parent; no remedy exists.
    unsafe {
        libc::pthread_atfork(None, None, Some(in_child));
    }
    #[cfg(not(unix))]
    let _ = in_child;
}
