//! Whether this process may use the driver: not the child of a fork.
//!
//! The driver cannot be used in a child whose parent had started it, and locks of the parent's other
//! threads are held there for ever. So there is no driver from then on: [`driver`](super::driver) is an
//! error, and what is dropped is left alone. A call pays nothing for it, since it looks for the driver
//! anyway.

use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use gpu_stream_core::{BackendKind, ContractError};

use super::Driver;

/// The driver, from its start on; null in the child of a fork.
static DRIVER: AtomicPtr<Driver> = AtomicPtr::new(std::ptr::null_mut());
static FORKED: AtomicBool = AtomicBool::new(false);

/// The driver, if it was started and may be called.
#[inline]
pub(super) fn loaded() -> Option<&'static Driver> {
    // SAFETY: it is null, or was made of a `&'static Driver`.
    unsafe { DRIVER.load(Ordering::Acquire).as_ref() }
}

/// From here on it is there for everybody.
pub(super) fn started(driver: &'static Driver) {
    DRIVER.store(std::ptr::from_ref(driver).cast_mut(), Ordering::Release);
}

/// An error in the child of a fork.
pub(super) fn ensure_not_forked() -> Result<(), ContractError> {
    if FORKED.load(Ordering::SeqCst) {
        return Err(ContractError::ProcessForked { backend: BackendKind::Cuda });
    }
    Ok(())
}

/// Has forks noticed from now on. Before the driver is started.
pub(super) fn watch_forks() {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if WATCHED.swap(true, Ordering::SeqCst) {
        return;
    }
    #[cfg(unix)]
    {
        extern "C" fn in_child() {
            FORKED.store(true, Ordering::SeqCst);
            DRIVER.store(std::ptr::null_mut(), Ordering::SeqCst);
        }
        // SAFETY: the function only stores to statics, and lives as long as this library. If there is
        // no memory for it, a child is not told from its parent; there is nothing better to do.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    }
}
