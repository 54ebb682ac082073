//! Python exceptions for errors, with the same texts as in Rust.

use gpu_stream::{Error, ErrorKind};
use pyo3::create_exception;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;

create_exception!(
    gpu_stream_torch,
    StreamError,
    PyRuntimeError,
    "A failed call on a stream or an event.\n\n\
     `kind` is a word that is the same on every vendor, such as \"DeviceMismatch\". `code` is the \
     driver's error code, or None if the error does not come from the driver."
);
create_exception!(
    gpu_stream_torch,
    UnavailableError,
    StreamError,
    "This machine lacks the driver, a function of it, or a device."
);
create_exception!(
    gpu_stream_torch,
    MisuseError,
    StreamError,
    "An argument is not a stream, belongs to another device, or cannot be used in this way."
);
create_exception!(
    gpu_stream_torch,
    CapturingError,
    StreamError,
    "The call would have ended a graph capture. It was not made, and the capture continues."
);
create_exception!(
    gpu_stream_torch,
    FaultError,
    StreamError,
    "Work on the stream failed. The fault is permanent, on a GPU for the whole context."
);

/// Adds the exception classes to the module.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("StreamError", py.get_type::<StreamError>())?;
    module.add("UnavailableError", py.get_type::<UnavailableError>())?;
    module.add("MisuseError", py.get_type::<MisuseError>())?;
    module.add("CapturingError", py.get_type::<CapturingError>())?;
    module.add("FaultError", py.get_type::<FaultError>())
}

/// Creates the exception for an error of gpu-stream.
pub(crate) fn raise(py: Python<'_>, error: impl Error) -> PyErr {
    of_kind(py, error.kind(), error.code(), error.to_string())
}

/// Creates the exception for an error kind, with the given code and text.
pub(crate) fn of_kind(py: Python<'_>, kind: ErrorKind, code: Option<i32>, text: String) -> PyErr {
    let error = match kind {
        ErrorKind::NotCompiled
        | ErrorKind::LibraryNotFound
        | ErrorKind::AmbiguousLibrary
        | ErrorKind::SymbolNotFound
        | ErrorKind::DriverTooOld
        | ErrorKind::NoDevice => UnavailableError::new_err(text),
        ErrorKind::Capturing => CapturingError::new_err(text),
        ErrorKind::StreamFault => FaultError::new_err(text),
        ErrorKind::OutOfMemory | ErrorKind::Driver => StreamError::new_err(text),
        _ => MisuseError::new_err(text),
    };
    let value = error.value(py);
    let set = value.setattr("kind", kind.to_string()).and_then(|()| value.setattr("code", code));
    set.err().unwrap_or(error)
}

/// Creates the `TypeError` for an argument `what` of a wrong type. `remedy` says what to pass instead.
pub(crate) fn wrong_type(what: &str, remedy: &str, given: &Bound<'_, PyAny>) -> PyErr {
    let given = match given.get_type().fully_qualified_name() {
        Ok(name) => name.to_string(),
        Err(error) => return error,
    };
    PyTypeError::new_err(format!("{what}: type {given} is not accepted; {remedy}"))
}
