//! Reads the Python arguments for streams and devices: [`StreamArg`], [`device`].

use std::sync::Arc;

use gpu_stream::exchange::{self, DecodedStream, Protocol, Value};
use gpu_stream::{Backend, BackendKind, ContractError, Device, HandleKind, PerThread, Stream};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt, PyString, PyTuple};

use crate::error::{raise, wrong_type};
use crate::owner::PyOwner;
use crate::stream::ExternalStream;
use crate::vendor::{KIND, RawStream, TORCH_NAME, Vendor, VendorError, VendorStream};

/// A stream argument of a function.
#[derive(Clone)]
pub(crate) enum StreamArg {
    /// A stream that any thread may use.
    Shared(VendorStream),
    /// The calling thread's own stream on the device, handle 2.
    ///
    /// It is another stream on each thread, so it is wrapped again at each use.
    PerThread(Device),
}

/// Work that can run on any stream type.
pub(crate) trait OnStream {
    /// The result of the work.
    type Output;

    /// Does the work on `stream`.
    fn run<S: Stream<Backend = Vendor>>(self, stream: &S) -> Self::Output;
}

const REMEDY: &str = "pass a gpu_stream_torch.ExternalStream, a torch.cuda.Stream, any other object with \
                      __cuda_stream__, or the handle as an int";

impl StreamArg {
    /// Reads a stream argument. Keeps an object alive as long as the stream is used.
    ///
    /// For a handle as an `int`, the Python caller keeps the stream alive.
    pub(crate) fn of(given: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::with(given, None, None)
    }

    /// Reads a stream argument, checks that it belongs to `device`, and also keeps `owner` alive.
    pub(crate) fn with(
        given: &Bound<'_, PyAny>,
        device: Option<Device>,
        owner: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let py = given.py();
        let mut objects: Vec<_> = owner.into_iter().collect();
        if let Ok(ours) = given.cast::<ExternalStream>() {
            let stream = ours.get().stream().clone();
            if let Some(device) = device {
                let checked = device.check_is(stream.device(), "ExternalStream");
                checked.map_err(|error| raise(py, error))?;
            }
            if objects.is_empty() {
                return Ok(StreamArg::Shared(stream));
            }
            objects.push(given.clone().unbind());
            return wrap(py, stream.raw().to_bits(), Some(stream.device()), None, objects);
        }
        let decoded = if is_integer(given) {
            Protocol::Handle.decode(value(given)?, KIND)
        } else if let Some((version, handle)) = protocol(given)? {
            objects.push(given.clone().unbind());
            exchange::cuda_stream(version, handle, KIND)
        } else if let Some(handle) = native_handle(given)? {
            // A torch.Stream, which torch.accelerator.current_stream returns.
            objects.push(given.clone().unbind());
            Protocol::Handle.decode(value(&handle)?, KIND)
        } else if let Some(handle) = attribute(given, "cuda_stream")?.filter(is_integer) {
            // Versions of torch without the protocol.
            objects.push(given.clone().unbind());
            Protocol::Handle.decode(value(&handle)?, KIND)
        } else {
            return Err(wrong_type("stream", REMEDY, given));
        };
        match decoded.map_err(|error| raise(py, error))? {
            DecodedStream::Stream(bits) => wrap(py, bits, device, device_hint(given), objects),
            DecodedStream::NoSync => Err(wrong_type("stream", REMEDY, given)),
        }
    }

    /// Wraps a handle that a protocol provided. `object` keeps the stream alive.
    pub(crate) fn of_handle(bits: usize, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let objects = vec![object.clone().unbind()];
        wrap(object.py(), bits, None, device_hint(object), objects)
    }

    /// Wraps a handle of `device` that nothing here keeps alive.
    pub(crate) fn of_bare_handle(py: Python<'_>, bits: usize, device: Device) -> PyResult<Self> {
        wrap(py, bits, Some(device), None, Vec::new())
    }

    /// Returns the stream's device.
    pub(crate) fn device(&self) -> Device {
        match self {
            StreamArg::Shared(stream) => stream.device(),
            StreamArg::PerThread(device) => *device,
        }
    }

    /// Returns the number of the stream for `__dlpack__(stream=)`.
    pub(crate) fn dlpack_number(&self, py: Python<'_>) -> PyResult<i128> {
        let bits = match self {
            StreamArg::Shared(stream) => stream.raw().to_bits(),
            StreamArg::PerThread(_) => RawStream::PER_THREAD.to_bits(),
        };
        let number = Protocol::DlPack.encode(DecodedStream::Stream(bits), KIND);
        match number.map_err(|error| raise(py, error))? {
            Value::Int(int) => Ok(int),
            Value::None => unreachable!("DLPack has a number for every GPU stream"),
        }
    }

    /// Does `work` on the stream, on the calling thread.
    pub(crate) fn on<W, T, E>(&self, work: W) -> Result<T, E>
    where
        W: OnStream<Output = Result<T, E>>,
        E: From<VendorError>,
    {
        match self {
            StreamArg::Shared(stream) => work.run(stream),
            StreamArg::PerThread(_) => work.run(&self.per_thread_stream()?),
        }
    }

    /// Wraps the calling thread's own stream.
    fn per_thread_stream(&self) -> Result<PerThread<VendorStream>, VendorError> {
        Vendor::per_thread_stream(self.device())
    }
}

/// Wraps a handle.
///
/// `given` is the device that the caller names, and `hint` the one that the object reports.
fn wrap(
    py: Python<'_>,
    bits: usize,
    given: Option<Device>,
    hint: Option<Device>,
    objects: Vec<Py<PyAny>>,
) -> PyResult<StreamArg> {
    let raw = RawStream::from_bits(bits);
    py.detach(move || {
        if raw.kind() == HandleKind::PerThread {
            if let (Some(given), Some(hint)) = (given, hint) {
                given.check_is(hint, "a stream handle")?;
            }
            let device = match given.or(hint) {
                Some(device) => device,
                // SAFETY: the default stream is always live. It is wrapped only to get the current device.
                None => unsafe { Vendor::stream_from_raw(RawStream::DEFAULT, None) }?.device(),
            };
            Vendor::per_thread_stream(device)?;
            return Ok(StreamArg::PerThread(device));
        }
        let owner = Arc::new(PyOwner::new(objects, raw, hint));
        Vendor::stream_from_owner(owner, given).map(StreamArg::Shared)
    })
    .map_err(|error: VendorError| raise(py, error))
}

/// Returns `true` for an `int`. Returns `false` for a `bool`, which is a subclass of `int` in Python.
fn is_integer(given: &Bound<'_, PyAny>) -> bool {
    given.is_instance_of::<PyInt>() && !given.is_instance_of::<PyBool>()
}

/// Reads an integer of any size, or `None`.
pub(crate) fn value(given: &Bound<'_, PyAny>) -> PyResult<Value> {
    if given.is_none() {
        return Ok(Value::None);
    }
    if !is_integer(given) {
        let remedy = "pass an int or None, as the exchange protocols require";
        return Err(wrong_type("stream", remedy, given));
    }
    match given.extract::<i128>() {
        Ok(int) => Ok(Value::Int(int)),
        Err(_) if given.lt(0)? => Ok(Value::Int(i128::MIN)),
        Err(_) => Ok(Value::TOO_LARGE),
    }
}

/// Returns an attribute, or `None` if the object does not have it. Passes on any other error of the
/// attribute.
fn attribute<'py>(given: &Bound<'py, PyAny>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    given.getattr_opt(name)
}

/// Returns the object's `native_handle`, torch's name for the handle on every vendor. `None` if it has no such attribute.
///
/// It is a `cudaStream_t` for CUDA, a `hipStream_t` for ROCm, which torch also calls `cuda`, and something else for other
/// vendors, such as a `sycl::queue *` for XPU. So the object's device must be one of this vendor.
fn native_handle<'py>(given: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some(at) = attribute(given, "device")? else { return Ok(None) };
    if !given.get_type().hasattr("native_handle")? {
        return Ok(None);
    }
    // Before the attribute is read, which torch lacks for some devices.
    device(&at)?;
    Ok(attribute(given, "native_handle")?.filter(is_integer))
}

/// Returns the version and the handle of the object's `__cuda_stream__`. `None` if it has no such
/// attribute.
fn protocol(given: &Bound<'_, PyAny>) -> PyResult<Option<(Value, Value)>> {
    let Some(found) = attribute(given, "__cuda_stream__")? else { return Ok(None) };
    // Some libraries had a property before it became a method.
    let pair = if found.is_callable() { found.call0()? } else { found };
    let remedy = "return a tuple of two integers, (0, handle)";
    let pair = pair.cast::<PyTuple>().map_err(|_| wrong_type("__cuda_stream__", remedy, &pair))?;
    if pair.len() != 2 {
        let text = format!("__cuda_stream__: it returned {} values; {remedy}", pair.len());
        return Err(PyValueError::new_err(text));
    }
    Ok(Some((value(&pair.get_item(0)?)?, value(&pair.get_item(1)?)?)))
}

/// Returns the device that an object reports: torch's and cuda.core's `device`, CuPy's `device_id`.
///
/// The driver knows the device of every stream except the default streams. If the two differ, the
/// wrapping fails.
fn device_hint(given: &Bound<'_, PyAny>) -> Option<Device> {
    let found = ["device", "device_id"].into_iter().find_map(|name| given.getattr(name).ok())?;
    // CuPy's default stream reports -1, which is no device.
    device(&found).ok().flatten()
}

/// Reads a device argument: `None`, an index, text such as "cuda:0", or an object of torch, CuPy or
/// cuda.core.
pub(crate) fn device(given: &Bound<'_, PyAny>) -> PyResult<Option<Device>> {
    if given.is_none() {
        return Ok(None);
    }
    if is_integer(given) {
        return index(given).map(Some);
    }
    if let Ok(text) = given.cast::<PyString>() {
        return device_of_text(given, &text.to_cow()?);
    }
    // torch.device: its index is None for the current device.
    if let Some(found) = attribute(given, "index")?.filter(|found| !found.is_callable()) {
        let vendor = given.getattr("type")?;
        check_vendor(given, &vendor.cast::<PyString>()?.to_cow()?)?;
        return if found.is_none() { Ok(None) } else { index(&found).map(Some) };
    }
    for name in ["device_id", "id"] {
        if let Some(found) = attribute(given, name)?.filter(is_integer) {
            return index(&found).map(Some);
        }
    }
    let remedy =
        "pass an index, text such as \"cuda:0\", a torch.device, or a Device of CuPy or cuda.core";
    Err(wrong_type("device", remedy, given))
}

/// Parses text such as "cuda:0". Returns `None` for text without an index.
fn device_of_text(given: &Bound<'_, PyAny>, text: &str) -> PyResult<Option<Device>> {
    let (vendor, ordinal) = match text.split_once(':') {
        Some((vendor, ordinal)) => (vendor, Some(ordinal)),
        None => (text, None),
    };
    check_vendor(given, vendor)?;
    let Some(ordinal) = ordinal else { return Ok(None) };
    match ordinal.parse() {
        Ok(ordinal) => Ok(Some(Device::new(KIND, ordinal))),
        Err(_) => Err(no_device(text)),
    }
}

/// Returns an error unless `name` is the vendor of this build.
fn check_vendor(given: &Bound<'_, PyAny>, name: &str) -> PyResult<()> {
    if name == TORCH_NAME || name == KIND.name() {
        return Ok(());
    }
    match name.parse::<BackendKind>() {
        Ok(other) => {
            let (operation, expected) = ("device", KIND);
            let error = ContractError::BackendMismatch { operation, expected, given: other };
            Err(raise(given.py(), error))
        }
        Err(_) => Err(no_device(name)),
    }
}

/// Reads a device index.
fn index(given: &Bound<'_, PyAny>) -> PyResult<Device> {
    match given.extract::<u32>() {
        Ok(ordinal) => Ok(Device::new(KIND, ordinal)),
        Err(_) => Err(no_device(&given.str()?.to_cow()?)),
    }
}

/// Creates the error for a name that is no device.
fn no_device(given: &str) -> PyErr {
    let name = TORCH_NAME;
    let text = format!("device: {given:?} is no device; use {name}:0, {name}:1 and so on");
    PyValueError::new_err(text)
}

/// Reads a device argument that must name a device.
pub(crate) fn named_device(given: &Bound<'_, PyAny>) -> PyResult<Device> {
    device(given)?.ok_or_else(|| {
        PyValueError::new_err(
            "device: there is no current device; name one, such as 0 or \"cuda:0\"",
        )
    })
}
