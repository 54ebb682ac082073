//! The state of the process: running, forked or ending: [`ProcessState`].

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use gpu_stream_core::{BackendKind, ContractError};

const RUNNING: u8 = 0;
const FORKED: u8 = 1;
const ENDING: u8 = 2;

/// Tells whether a backend may still call its driver in this process.
///
/// A driver cannot be used in a child whose parent had started it, and a lock of the parent's other threads is never
/// unlocked there. A driver that shuts itself down at the end of the process cannot be used after that.
///
/// A backend clears its pointer to the driver where it changes the state, so that a call pays nothing for the check.
pub struct ProcessState {
    state: AtomicU8,
    is_watching: AtomicBool,
}

impl ProcessState {
    /// Creates the state of a running process.
    pub const fn new() -> Self {
        ProcessState { state: AtomicU8::new(RUNNING), is_watching: AtomicBool::new(false) }
    }

    /// Returns `true` in the child of a fork.
    pub fn is_forked(&self) -> bool {
        self.state.load(Ordering::SeqCst) == FORKED
    }

    /// Returns an error in the child of a fork, and at the end of the process.
    ///
    /// # Errors
    /// [`ProcessForked`](ContractError::ProcessForked), [`ProcessEnding`](ContractError::ProcessEnding).
    pub fn ensure_running(&self, backend: BackendKind) -> Result<(), ContractError> {
        match self.state.load(Ordering::SeqCst) {
            FORKED => Err(ContractError::ProcessForked { backend }),
            ENDING => Err(ContractError::ProcessEnding { backend }),
            _ => Ok(()),
        }
    }

    /// Stores that this process is the child of a fork. Async-signal-safe.
    pub fn set_forked(&self) {
        self.state.store(FORKED, Ordering::SeqCst);
    }

    /// Stores that the process is ending. Has no effect in the child of a fork; returns `false` there.
    pub fn set_ending(&self) -> bool {
        let (set, fetch) = (Ordering::SeqCst, Ordering::SeqCst);
        self.state.compare_exchange(RUNNING, ENDING, set, fetch).is_ok()
    }

    /// Registers `in_child` to run in the child of each later fork. Call it before the driver is started.
    ///
    /// `in_child` must only store to statics, because it runs where only async-signal-safe functions may be called. If
    /// the registration fails for lack of memory, a child is not told from its parent; no remedy exists.
    pub fn watch_forks(&self, in_child: extern "C" fn()) {
        if self.is_watching.load(Ordering::SeqCst) {
            return;
        }
        #[cfg(unix)]
        // SAFETY: `in_child` is a function of this library, which is never unloaded while it is registered.
        unsafe {
            libc::pthread_atfork(None, None, Some(in_child));
        }
        #[cfg(not(unix))]
        let _ = in_child;
        // After the registration, so that no thread goes on without it. A second registration is harmless.
        self.is_watching.store(true, Ordering::SeqCst);
    }
}

impl Default for ProcessState {
    fn default() -> Self {
        ProcessState::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKEND: BackendKind = BackendKind::Cuda;

    #[test]
    fn process_is_usable_until_it_ends() {
        let state = ProcessState::new();
        assert!(state.ensure_running(BACKEND).is_ok() && !state.is_forked());
        assert!(state.set_ending());
        let ending = state.ensure_running(BACKEND);
        assert!(matches!(ending, Err(ContractError::ProcessEnding { .. })));
    }

    #[test]
    fn forked_process_stays_forked_when_it_ends() {
        let state = ProcessState::new();
        state.set_forked();
        assert!(!state.set_ending() && state.is_forked());
        let forked = state.ensure_running(BACKEND);
        assert!(matches!(forked, Err(ContractError::ProcessForked { .. })));
    }
}
