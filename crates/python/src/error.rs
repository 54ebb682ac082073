//! Errors as Python's exceptions, with the texts that they have in Rust.

use gpu_stream::{Error, ErrorKind};
use pyo3::create_exception;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;

create_exception!(
    gpu_stream_torch,
    StreamError,
    PyRuntimeError,
    "What a call on a stream or an event answered but success.\n\n\
     `kind` is a word that is the same on every vendor, such as \"DeviceMismatch\"; `code` is the \
     driver's number, or None if it was not the driver that said no."
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
    "What was given is no stream, is of another device, or cannot be used like that."
);
create_exception!(
    gpu_stream_torch,
    CapturingError,
    StreamError,
    "The call would have ended a capture into a graph, and was not made; the capture goes on."
);
create_exception!(
    gpu_stream_torch,
    FaultError,
    StreamError,
    "Work on the stream failed; the stream, and on a GPU its whole context, stays so."
);

pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("StreamError", py.get_type::<StreamError>())?;
    module.add("UnavailableError", py.get_type::<UnavailableError>())?;
    module.add("MisuseError", py.get_type::<MisuseError>())?;
    module.add("CapturingError", py.get_type::<CapturingError>())?;
    module.add("FaultError", py.get_type::<FaultError>())
}

/// The exception for an error of gpu-stream.
pub(crate) fn raise(py: Python<'_>, error: impl Error) -> PyErr {
    of_kind(py, error.kind(), error.code(), error.to_string())
}

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
    let said = value.setattr("kind", kind.to_string()).and_then(|()| value.setattr("code", code));
    said.err().unwrap_or(error)
}

/// Misuse that only Python's side can see: what was given is not what it should be.
pub(crate) fn wrong_type(what: &str, wanted: &str, given: &Bound<'_, PyAny>) -> PyErr {
    let given = match given.get_type().fully_qualified_name() {
        Ok(name) => name.to_string(),
        Err(error) => return error,
    };
    PyTypeError::new_err(format!("{what}: {wanted}, and not {given}"))
}
