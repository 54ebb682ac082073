//! The one driver of a backend in this process: [`DriverCell`].

use std::ptr::{from_ref, null_mut};
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, Ordering};

use gpu_stream_core::{BackendKind, ContractError};

use crate::process_state::ProcessState;
use crate::retry::RetryCell;

/// Holds the driver that the first successful call starts, while the process may call it.
///
/// It is a `static` of the backend. A call reads one pointer, which is null before the start and from
/// [`set_forked`](Self::set_forked) or [`set_ending`](Self::set_ending) on. So the check of the process costs a call
/// nothing.
pub struct DriverCell<D: 'static, E: 'static> {
    /// The driver while it may be called, otherwise null.
    current: AtomicPtr<D>,
    backend: BackendKind,
    value: RetryCell<D, E>,
    process: ProcessState,
    published: Once,
}

/// How a backend starts its driver, for [`DriverCell::start`].
pub struct DriverStart<D: 'static, E> {
    /// Finds the library and initializes the driver.
    pub load: fn() -> Result<D, E>,
    /// Returns `true` if a later attempt can succeed after this failure.
    pub can_pass: fn(&E) -> bool,
    /// Runs once, after the first successful start and before [`DriverCell::loaded`] returns the driver.
    pub started: fn(&'static D),
    /// Runs in the child of each later fork, where it calls [`DriverCell::set_forked`]. It must be async-signal-safe,
    /// and can run more than once.
    pub in_child: extern "C" fn(),
}

impl<D: Sync, E: Clone + From<ContractError>> DriverCell<D, E> {
    /// Creates a cell without a driver. Errors name `backend`.
    pub const fn new(backend: BackendKind) -> Self {
        DriverCell {
            current: AtomicPtr::new(null_mut()),
            backend,
            value: RetryCell::new(),
            process: ProcessState::new(),
            published: Once::new(),
        }
    }

    /// Returns the driver if it was started and may be called.
    ///
    /// Returns `None` in the child of a fork, and after [`set_ending`](Self::set_ending).
    #[inline]
    pub fn loaded(&'static self) -> Option<&'static D> {
        // SAFETY: the pointer is null, or is from a `&'static D`.
        unsafe { self.current.load(Ordering::Acquire).as_ref() }
    }

    /// Returns the driver. The first successful call starts it.
    ///
    /// Blocks while another thread starts it. Call it only if [`loaded`](Self::loaded) returned `None`.
    ///
    /// # Errors
    /// - That of [`ensure_running`](Self::ensure_running).
    /// - The failure of the start. The next call tries again if it can pass.
    #[cold]
    pub fn start(&'static self, how: &DriverStart<D, E>) -> Result<&'static D, E> {
        self.ensure_running()?;
        self.process.watch_forks(how.in_child);
        let driver = self.value.get_or_try(how.load, how.can_pass)?;
        self.published.call_once(|| {
            (how.started)(driver);
            self.current.store(from_ref(driver).cast_mut(), Ordering::SeqCst);
            // `set_ending` may have cleared the pointer before this store.
            if self.ensure_running().is_err() {
                self.current.store(null_mut(), Ordering::SeqCst);
            }
        });
        // The process may have begun to end meanwhile.
        self.ensure_running()?;
        Ok(driver)
    }

    /// Returns an error if this process must not call the driver.
    ///
    /// # Errors
    /// [`ProcessForked`](ContractError::ProcessForked), [`ProcessEnding`](ContractError::ProcessEnding).
    pub fn ensure_running(&self) -> Result<(), ContractError> {
        self.process.ensure_running(self.backend)
    }

    /// Removes the driver in the child of a fork. Async-signal-safe.
    pub fn set_forked(&self) {
        self.process.set_forked();
        self.current.store(null_mut(), Ordering::SeqCst);
    }

    /// Removes the driver at the end of the process. Has no effect in the child of a fork; returns `false` there, and if
    /// it was called before.
    pub fn set_ending(&self) -> bool {
        let is_first = self.process.set_ending();
        if is_first {
            self.current.store(null_mut(), Ordering::SeqCst);
        }
        is_first
    }
}

#[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    static STARTS: AtomicU32 = AtomicU32::new(0);

    extern "C" fn in_child() {}

    fn how(load: fn() -> Result<u32, ContractError>) -> DriverStart<u32, ContractError> {
        DriverStart { load, can_pass: |_| true, started: |_| (), in_child }
    }

    fn busy() -> Result<u32, ContractError> {
        let (backend, reason) = (BackendKind::Cuda, "the driver is busy");
        Err(ContractError::Unsupported { operation: "start", backend, reason })
    }

    #[test]
    fn driver_is_loaded_from_its_start_to_the_end_of_the_process() {
        static CELL: DriverCell<u32, ContractError> = DriverCell::new(BackendKind::Cuda);
        let start = DriverStart {
            started: |_| {
                STARTS.fetch_add(1, Ordering::SeqCst);
            },
            ..how(|| Ok(7))
        };
        assert_eq!(CELL.loaded(), None);
        assert_eq!(CELL.start(&start).ok(), Some(&7));
        assert_eq!(CELL.start(&start).ok(), Some(&7));
        assert_eq!((CELL.loaded(), STARTS.load(Ordering::SeqCst)), (Some(&7), 1));
        assert!(CELL.set_ending() && !CELL.set_ending());
        assert_eq!(CELL.loaded(), None);
        assert!(matches!(CELL.start(&start), Err(ContractError::ProcessEnding { .. })));
    }

    #[test]
    fn failed_start_loads_nothing_and_is_tried_again() {
        static CELL: DriverCell<u32, ContractError> = DriverCell::new(BackendKind::Cuda);
        assert!(CELL.start(&how(busy)).is_err());
        assert_eq!(CELL.loaded(), None);
        assert_eq!(CELL.start(&how(|| Ok(7))).ok(), Some(&7));
        assert_eq!(CELL.loaded(), Some(&7));
    }

    #[test]
    fn driver_is_gone_in_the_child_of_a_fork() {
        static CELL: DriverCell<u32, ContractError> = DriverCell::new(BackendKind::Cuda);
        assert!(CELL.start(&how(|| Ok(7))).is_ok());
        CELL.set_forked();
        assert_eq!(CELL.loaded(), None);
        assert!(matches!(CELL.start(&how(|| Ok(7))), Err(ContractError::ProcessForked { .. })));
        assert!(!CELL.set_ending());
    }
}
