//! Keeps the Python object of a stream alive: [`PyOwner`].

use gpu_stream::{Device, StreamOwner};
use pyo3::prelude::*;

use crate::vendor::{RawStream, Vendor};

/// The Python objects that keep a stream alive.
///
/// Dropped with the last wrapper. On a thread that is attached to the interpreter, the reference counts
/// are decremented at once. On any other thread PyO3 defers the decrement to the next call into this
/// module; after interpreter exit it never happens. Neither case takes the interpreter's lock, so a
/// `PyOwner` may be dropped in a driver's callback and during process exit.
pub(crate) struct PyOwner {
    #[allow(dead_code, reason = "held only to be dropped")]
    objects: Vec<Py<PyAny>>,
    raw: RawStream,
    device: Option<Device>,
}

impl PyOwner {
    /// Creates an owner. `objects` keep the stream `raw` alive.
    pub(crate) fn new(objects: Vec<Py<PyAny>>, raw: RawStream, device: Option<Device>) -> Self {
        PyOwner { objects, raw, device }
    }
}

// SAFETY:
// - The handle does not change.
// - The stream is live as long as its objects. The protocols `__cuda_stream__` and
//   `__cuda_array_interface__` guarantee this for their objects. For a bare handle, the Python caller
//   guarantees it.
// - A `Py` may be dropped on any thread.
unsafe impl StreamOwner<Vendor> for PyOwner {
    fn raw_stream(&self) -> RawStream {
        self.raw
    }

    fn device(&self) -> Option<Device> {
        self.device
    }
}
