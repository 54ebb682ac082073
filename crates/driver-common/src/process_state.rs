//! The state of the process: running, forked or ending: [`ProcessState`].

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use gpu_stream_core::{BackendKind, ContractError};

use crate::forks::on_fork;

const RUNNING: u8 = 0;
const FORKED: u8 = 1;
const ENDING: u8 = 2;

/// Tells whether this process may still call a driver in this process.
///
/// A driver cannot be used in a child whose parent had started it, and a lock of the parent's other threads is never
/// unlocked there. A driver that shuts itself down at the end of the process cannot be used after that.
pub(crate) struct ProcessState {
    state: AtomicU8,
    is_watching: AtomicBool,
}

impl ProcessState {
    /// Creates the state of a running process.
    pub(crate) const fn new() -> Self {
        ProcessState { state: AtomicU8::new(RUNNING), is_watching: AtomicBool::new(false) }
    }

    /// Returns an error in the child of a fork, and at the end of the process.
    ///
    /// # Errors
    /// [`ProcessForked`](ContractError::ProcessForked), [`ProcessEnding`](ContractError::ProcessEnding).
    pub(crate) fn ensure_running(&self, backend: BackendKind) -> Result<(), ContractError> {
        match self.state.load(Ordering::SeqCst) {
            FORKED => Err(ContractError::ProcessForked { backend }),
            ENDING => Err(ContractError::ProcessEnding { backend }),
            _ => Ok(()),
        }
    }

    /// Stores that this process is the child of a fork. Async-signal-safe.
    pub(crate) fn set_forked(&self) {
        self.state.store(FORKED, Ordering::SeqCst);
    }

    /// Stores that the process is ending. Has no effect in the child of a fork; returns `false` there.
    pub(crate) fn set_ending(&self) -> bool {
        let (set, fetch) = (Ordering::SeqCst, Ordering::SeqCst);
        self.state.compare_exchange(RUNNING, ENDING, set, fetch).is_ok()
    }

    /// Registers `in_child` to run in the child of each later fork. Call it before the driver is started.
    ///
    /// The requirements on `in_child` are those of [`on_fork`].
    pub(crate) fn watch_forks(&self, in_child: extern "C" fn()) {
        on_fork(&self.is_watching, in_child);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKEND: BackendKind = BackendKind::Cuda;

    #[test]
    fn process_is_usable_until_it_ends() {
        let state = ProcessState::new();
        assert!(state.ensure_running(BACKEND).is_ok());
        assert!(state.set_ending());
        let ending = state.ensure_running(BACKEND);
        assert!(matches!(ending, Err(ContractError::ProcessEnding { .. })));
    }

    #[test]
    fn forked_process_stays_forked_when_it_ends() {
        let state = ProcessState::new();
        state.set_forked();
        assert!(!state.set_ending());
        let forked = state.ensure_running(BACKEND);
        assert!(matches!(forked, Err(ContractError::ProcessForked { .. })));
    }
}
