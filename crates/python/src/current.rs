//! The current stream of another library: [`current_stream`], [`tvm_ffi_stream`].
//!
//! Both ask a C function, and run no Python code of the library.

use std::ptr;

use gpu_stream::exchange::dlpack::{self, ATTRIBUTE, CAPSULE_NAME, ExchangeApi};
use gpu_stream::{ContractError, Device, tvm_ffi};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyType};

use crate::argument::{StreamArg, named_device};
use crate::error::{raise, wrong_type};
use crate::stream::ExternalStream;
use crate::vendor::KIND;

/// Returns the current stream of the library that `array` belongs to, on the array's device. For torch it is
/// `torch.cuda.current_stream()`. `array` can also be the type of the arrays, with a `device`.
///
/// The type needs DLPack's `__dlpack_c_exchange_api__`. Each thread has its own current stream. Nothing keeps the
/// stream alive: the caller does, as with a handle as an int. torch never destroys its own streams.
#[pyfunction]
#[pyo3(signature = (array, device = None))]
pub(crate) fn current_stream(
    array: &Bound<'_, PyAny>,
    device: Option<&Bound<'_, PyAny>>,
) -> PyResult<ExternalStream> {
    let py = array.py();
    let api = table(array)?;
    let device = match device {
        Some(device) => named_device(device)?,
        None => device_of(array)?,
    };
    // SAFETY: a table of `from_ptr`, and the thread is attached to the interpreter.
    let handle = unsafe { api.current_work_stream(device) };
    // The function sets an exception if it fails.
    let cause = PyErr::take(py);
    match (handle, cause) {
        (Ok(handle), None) => wrap(py, handle, device),
        (Ok(_), Some(cause)) => Err(cause),
        (Err(error), cause) => {
            let error = raise(py, error);
            error.set_cause(py, cause);
            Err(error)
        }
    }
}

/// Returns the stream that tvm-ffi's environment has for `device` on this thread: the one of
/// `tvm_ffi.use_torch_stream` or `tvm_ffi.use_raw_stream`. Without one, it is the default stream.
///
/// Nothing keeps the stream alive: the caller does, as with a handle as an int.
#[pyfunction]
pub(crate) fn tvm_ffi_stream(device: &Bound<'_, PyAny>) -> PyResult<ExternalStream> {
    let py = device.py();
    let device = named_device(device)?;
    let environment = tvm_ffi::find().map_err(|error| raise(py, error))?;
    let handle = environment.handle(device).map_err(|error| raise(py, error))?;
    wrap(py, handle, device)
}

/// Wraps a handle that the Python caller keeps alive.
fn wrap(py: Python<'_>, handle: usize, device: Device) -> PyResult<ExternalStream> {
    ExternalStream::from_arg(py, StreamArg::of_bare_handle(py, handle, device)?)
}

/// Returns the table of the array's type.
fn table(array: &Bound<'_, PyAny>) -> PyResult<&'static ExchangeApi> {
    let py = array.py();
    let remedy = "pass an array, such as a torch.Tensor, whose type has __dlpack_c_exchange_api__, or use the \
                  library's own function for its current stream";
    let kind = array.cast::<PyType>().cloned().unwrap_or_else(|_| array.get_type());
    let Some(capsule) = kind.getattr_opt(ATTRIBUTE)? else {
        return Err(wrong_type("array", remedy, array));
    };
    let capsule =
        capsule.cast::<PyCapsule>().map_err(|_| wrong_type(ATTRIBUTE, remedy, &capsule))?;
    // A capsule with another name is something else.
    let pointer = match capsule.is_valid_checked(Some(CAPSULE_NAME)) {
        true => capsule.pointer_checked(Some(CAPSULE_NAME))?.as_ptr(),
        false => ptr::null_mut(),
    };
    // SAFETY: the capsule's name and its place on the type say that this is such a table, which the protocol keeps
    // until the process ends. Otherwise the pointer is null.
    unsafe { ExchangeApi::from_ptr(pointer) }.map_err(|error| raise(py, error))
}

/// Returns the device that `__dlpack_device__` names. It must be one of this vendor.
fn device_of(array: &Bound<'_, PyAny>) -> PyResult<Device> {
    if array.is_instance_of::<PyType>() || array.getattr_opt("__dlpack_device__")?.is_none() {
        let remedy = "pass an array, or also a device, such as 0 or \"cuda:0\"";
        return Err(wrong_type("array", remedy, array));
    }
    let (kind, id): (i32, i32) = array.call_method0("__dlpack_device__")?.extract()?;
    let device = dlpack::device_of(kind, id).map_err(|error| raise(array.py(), error))?;
    if device.backend() != KIND {
        let (operation, given) = ("current_stream", device.backend());
        let error = ContractError::BackendMismatch { operation, expected: KIND, given };
        return Err(raise(array.py(), error));
    }
    Ok(device)
}
