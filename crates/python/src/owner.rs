//! A Python object that keeps a stream alive.

use gpu_stream::{Device, StreamOwner};
use pyo3::prelude::*;

use crate::vendor::{RawStream, Vendor};

/// The object that a stream came from.
///
/// It is let go wherever the last wrapper goes: on a thread that is attached to the interpreter, at
/// once; on any other, or after the interpreter's end, PyO3 puts it on a list that the next call
/// into this module, or nobody, empties. Neither way takes the interpreter's lock, so that dropping
/// one is allowed in a driver's callback and while the process ends.
pub(crate) struct PyOwner {
    #[allow(dead_code, reason = "it is there to be dropped")]
    objects: Vec<Py<PyAny>>,
    raw: RawStream,
    device: Option<Device>,
}

impl PyOwner {
    /// `objects` keep the stream `raw` alive.
    pub(crate) fn new(objects: Vec<Py<PyAny>>, raw: RawStream, device: Option<Device>) -> Self {
        PyOwner { objects, raw, device }
    }
}

// SAFETY: the handle does not change. That the stream lives as long as its object does is what the
// protocols say by which it came (`__cuda_stream__`, `__cuda_array_interface__`), or what the
// caller says who passed an owner. A `Py` may be dropped on any thread.
unsafe impl StreamOwner<Vendor> for PyOwner {
    fn raw_stream(&self) -> RawStream {
        self.raw
    }

    fn device(&self) -> Option<Device> {
        self.device
    }
}
