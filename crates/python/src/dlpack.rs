//! Reads an array of another library, by DLPack: [`export`].
//!
//! 1. `__dlpack_device__()` names the array's device, and takes nothing from the array.
//! 2. `__dlpack__(stream=…)` gets the number of the stream on which the data will be used. The producer
//!    makes that stream wait for its pending work on the data, and returns a capsule.
//! 3. The capsule is taken once. Its deleter releases the memory, and is called when the work is done.
//!
//! The numbers of streams are those of `gpu_stream::exchange`. The crate `dlpark` takes the capsule.
//!
//! Origin: [array
//! API](https://data-apis.org/array-api/latest/API_specification/generated/array_api.array.__dlpack__.html).

use dlpark::python::consumer::{ImportedDlpack, from_dlpack};
use dlpark::{DlpackElement, DlpackFlags};
use gpu_stream::{CaptureStatus, Device, ErrorKind, Stream};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict};

use crate::argument::StreamArg;
use crate::array::Array;
use crate::error::{of_kind, wrong_type};
use crate::kept::Kept;
use crate::vendor::{DLPACK_DEVICE, KIND, Vendor, VendorError, VendorStream};

/// The newest version of DLPack that is understood, for `max_version`.
const MAX_VERSION: (u32, u32) = (1, 0);

/// A tensor that was taken from a capsule. Dropping it calls the producer's deleter.
///
/// It is a Python object because a [`Kept`] holds such, and releases them while the thread is attached to the
/// interpreter, which the deleter may need.
#[pyclass(frozen, module = "gpu_stream_torch")]
pub(crate) struct Tensor {
    #[allow(dead_code, reason = "held only to be dropped")]
    imported: ImportedDlpack,
}

/// Reads the argument `name`, for work on `caller`. Returns `None` if it does not have `__dlpack__`.
pub(crate) fn export(
    name: &str,
    given: &Bound<'_, PyAny>,
    caller: &StreamArg,
) -> PyResult<Option<Array>> {
    let py = given.py();
    let Some(method) = given.getattr_opt("__dlpack__")? else { return Ok(None) };
    let misuse =
        |text: String| of_kind(py, ErrorKind::InvalidHandle, None, format!("{name}: {text}"));
    check_device(name, given, caller.device())?;
    let capsule = call(&method, caller.dlpack_number(py)?)?;
    if !capsule.is_instance_of::<PyCapsule>() {
        let remedy = "__dlpack__ must return a capsule";
        return Err(wrong_type(name, remedy, &capsule));
    }
    let imported = from_dlpack(capsule.as_borrowed(), None, None)
        .map_err(|error| misuse(format!("the capsule of __dlpack__ is not usable: {error}")))?;
    let invalid = |error| misuse(format!("__dlpack__ described no valid tensor: {error}"));
    let tensor = imported.validate().map_err(invalid)?;
    let dtype = tensor.dtype();
    if dtype != f32::DTYPE {
        return Err(misuse(format!(
            "the element type is {dtype:?} of DLPack; convert the array to float32"
        )));
    }
    if !tensor.is_compact().map_err(invalid)? {
        return Err(misuse(format!(
            "not contiguous (shape {:?}, strides {:?}); pass a contiguous array",
            tensor.shape(),
            tensor.strides().unwrap_or_default()
        )));
    }
    let (address, len) = (tensor.data_ptr().addr() as u64, tensor.num_elements() as u64);
    let address = address
        .checked_add(tensor.byte_offset())
        .ok_or_else(|| misuse(format!("the address {address:#x} plus its offset is too large")))?;
    // What is written to a copy would be lost.
    let read_only = imported.flags().intersects(DlpackFlags::READ_ONLY | DlpackFlags::IS_COPIED);
    let tensor = Some(Py::new(py, Tensor { imported })?);
    Ok(Some(Array { address, len, read_only, producer: None, tensor }))
}

/// Returns an error unless the array is on `device`.
fn check_device(name: &str, given: &Bound<'_, PyAny>, device: Device) -> PyResult<()> {
    let py = given.py();
    let (kind, ordinal): (i64, i64) = given.call_method0("__dlpack_device__")?.extract()?;
    if kind != DLPACK_DEVICE {
        let text = format!(
            "{name}: the array is on the device ({kind}, {ordinal}) of DLPack, and {KIND} is \
             {DLPACK_DEVICE}; copy the array to {device}"
        );
        return Err(of_kind(py, ErrorKind::BackendMismatch, None, text));
    }
    if ordinal != i64::from(device.ordinal()) {
        let text = format!(
            "{name}: the array is on {KIND}:{ordinal} and the stream on {device}; use one device for both"
        );
        return Err(of_kind(py, ErrorKind::DeviceMismatch, None, text));
    }
    Ok(())
}

/// Calls `__dlpack__` with the number of a stream.
fn call<'py>(method: &Bound<'py, PyAny>, stream: i128) -> PyResult<Bound<'py, PyAny>> {
    let py = method.py();
    let arguments = PyDict::new(py);
    arguments.set_item("stream", stream)?;
    arguments.set_item("max_version", MAX_VERSION)?;
    match method.call((), Some(&arguments)) {
        // A producer from before DLPack 1.0 has no such argument.
        Err(error) if error.is_instance_of::<PyTypeError>(py) => {
            arguments.del_item("max_version")?;
            method.call((), Some(&arguments))
        }
        done => done,
    }
}

/// Keeps `tensors` until all work submitted to `stream` so far is done. Blocks only if the driver fails, or as a
/// submission does.
///
/// Releases them if `stream` is capturing. The caller of [`saxpy`](crate::saxpy) then keeps the memory, because the
/// graph can be launched any number of times. If the driver can neither record an event nor wait, they are never
/// released, because the work may still run.
pub(crate) fn keep_until_done<S: Stream<Backend = Vendor>>(
    stream: &S,
    tensors: Kept,
) -> Result<(), VendorError> {
    if tensors.is_empty() {
        return Ok(());
    }
    // An error of the retain does not tell: the default stream also reports the capture of another stream.
    if matches!(stream.capture_status(), Ok(CaptureStatus::Active | CaptureStatus::Invalidated)) {
        return Ok(());
    }
    tensors.keep_until_done(stream).map_err(|refused| {
        let (mut tensors, error) = refused.into_parts();
        if stream.synchronize().is_err() {
            tensors.leak();
        }
        error
    })
}

/// Blocks until all work of `streams` is done, after a failure to order that work before the caller's.
///
/// If the driver cannot wait, `tensors` becomes empty and its tensors are never released, because the work may
/// still run.
pub(crate) fn wait_or_leak(streams: &[VendorStream], tensors: &mut Kept) {
    // Waits for each stream, also after a failure.
    if streams.iter().filter(|stream| stream.synchronize().is_err()).count() > 0 {
        tensors.leak();
    }
}
