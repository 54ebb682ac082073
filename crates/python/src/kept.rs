//! Keeps Python objects until streams are done with them: [`Kept`], [`detach`].
//!
//! The reclaimer of the process keeps them, and [`detach`] asks it after each call of the driver. No driver's callback and
//! no thread of this module is involved.
//!
//! The reclaimer runs while the thread is detached from the interpreter, because it calls the driver, which may wait for
//! a callback that needs the interpreter. The objects' destructors need the interpreter. So dropping a [`Kept`] only moves
//! its objects to a list of the thread, and [`detach`] releases them when the thread is attached again. At that time
//! no lock is held, and a destructor may call this module.

use std::cell::RefCell;
use std::mem;

use gpu_stream::retain::Refused;
use gpu_stream::{Reclaimer, Stream};
use pyo3::prelude::*;

use crate::error::raise;
use crate::vendor::{Vendor, VendorError};

thread_local! {
    /// The objects that this thread releases when it is attached to the interpreter.
    static RELEASED: RefCell<Vec<Py<PyAny>>> = const { RefCell::new(Vec::new()) };
}

/// Python objects that work of a stream uses.
///
/// Dropped only inside of [`detach`], which releases the objects.
pub(crate) struct Kept(Vec<Py<PyAny>>);

impl Kept {
    /// Takes the objects. Call [`detach`] with the result.
    pub(crate) fn new(objects: Vec<Py<PyAny>>) -> Self {
        Kept(objects)
    }

    /// Returns `true` if there are no objects.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Never releases the objects, for work whose end nothing tells. Leaves none here.
    pub(crate) fn leak(&mut self) {
        mem::forget(mem::take(&mut self.0));
    }

    /// Keeps the objects until `stream` has done all work submitted so far. Can block like a submission.
    ///
    /// The objects come back in the error, as from [`Reclaimer::retain`].
    pub(crate) fn keep_until_done<S: Stream<Backend = Vendor>>(
        self,
        stream: &S,
    ) -> Result<(), Refused<Kept, VendorError>> {
        reclaimer().retain(self, &[stream])
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // At the end of a thread the list may be gone. PyO3 then defers the decrement to the next attached thread.
        let _ = RELEASED.try_with(|released| released.borrow_mut().append(&mut self.0));
    }
}

/// Runs `call` with the thread detached from the interpreter. Then releases, on this thread, the kept objects that their
/// streams are done with.
///
/// What `call` keeps gets its mark here, so later work does not prolong it. If another thread is asking the same stream
/// at this moment, the next call records the mark. Errors of the streams are ignored: they may be about the stream of
/// another caller. [`collect`] raises them.
pub(crate) fn detach<T: Send>(py: Python<'_>, call: impl FnOnce() -> T + Send) -> T {
    detach_only(py, || {
        let result = call();
        if reclaimer().pending() > 0 {
            let _ = reclaimer().collect();
        }
        result
    })
}

/// Runs `call` with the thread detached from the interpreter. Then releases what it has dropped.
fn detach_only<T: Send>(py: Python<'_>, call: impl FnOnce() -> T + Send) -> T {
    let result = py.detach(call);
    // Taken out first: a destructor can call this module.
    let released = RELEASED.try_with(RefCell::take).unwrap_or_default();
    drop(released);
    result
}

/// Returns the reclaimer of the process. Its values stay at interpreter exit, and the child of a fork has another one.
fn reclaimer() -> &'static Reclaimer<Vendor> {
    Reclaimer::process_wide()
}

/// Releases the kept objects that their streams are done with, and returns the number of calls whose objects it released.
/// Does not block.
///
/// Each call of this module that reaches the driver does the same at its end. Raises the error of a stream, whose
/// objects stay kept, after those of all others were released.
#[pyfunction]
pub(crate) fn collect(py: Python<'_>) -> PyResult<usize> {
    let collected = detach_only(py, || reclaimer().collect());
    Ok(collected.map_err(|error| raise(py, error))?.dropped)
}

/// Blocks until the streams are done with all kept objects, with the interpreter's lock released, and releases the
/// objects.
///
/// Raises the error of a stream, whose objects stay kept, after those of all others were released. The error is a
/// CapturingError if the stream is being captured.
#[pyfunction]
pub(crate) fn drain(py: Python<'_>) -> PyResult<()> {
    detach_only(py, || reclaimer().drain()).map_err(|error| raise(py, error))
}

/// Returns the number of calls whose objects are still kept. Calls no driver.
///
/// Counts `keep_until_done`, and `saxpy` if it took an array by DLPack. 0 in the child of a fork, which releases no
/// object of its parent.
#[pyfunction]
pub(crate) fn pending() -> usize {
    reclaimer().pending()
}
