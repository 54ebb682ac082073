//! Rejects a second interpreter of the process: [`ensure_only_one`].

use std::sync::atomic::{AtomicI64, Ordering};

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;

/// Returns an error unless the module was imported by this interpreter only.
///
/// The kept objects and PyO3's static data are one for the process, so a call in one interpreter could release objects of
/// another. An interpreter with a lock of its own cannot import the module at all, since the module does not declare it.
pub(crate) fn ensure_only_one(py: Python<'_>) -> PyResult<()> {
    /// The interpreter of the first import. No interpreter has a negative number.
    static FIRST: AtomicI64 = AtomicI64::new(-1);
    // SAFETY: `py` shows that this thread is attached, so it has a current interpreter, which is live during the calls.
    let current = unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) };
    if current < 0 {
        return Err(PyErr::fetch(py));
    }
    match FIRST.compare_exchange(-1, current, Ordering::SeqCst, Ordering::SeqCst) {
        Err(first) if first != current => Err(PyImportError::new_err(format!(
            "gpu_stream_torch: interpreter {current} cannot import the module, because interpreter {first} of this process \
             has imported it; use it in that one, or start another process"
        ))),
        _ => Ok(()),
    }
}
