//! The Python class [`ExternalStream`], with the methods of `torch.cuda.ExternalStream`.

use std::hash::{DefaultHasher, Hash, Hasher};

use gpu_stream::retain::Refused;
use gpu_stream::{
    Backend, CaptureStatus, ContractError, Device, Error, ErrorKind, EventOptions, HandleKind,
    Stream, StreamOptions,
};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::argument::{OnStream, StreamArg, device, named_device};
use crate::error::{of_kind, raise, wrong_type};
use crate::event::Event;
use crate::kept::{Kept, detach};
use crate::vendor::{KIND, TORCH_NAME, Vendor, VendorError, VendorStream};

/// A foreign stream, or one created by `new_stream`.
///
/// `stream` is an object with `__cuda_stream__`, such as a stream of torch, CuPy or cuda.core. It is kept
/// alive. `stream` can also be a handle as an int. That stream must outlive this object and everything
/// created from it. `device` is checked against the driver's answer. If it is None, the driver's answer
/// is used. `owner` is any object to keep alive as well.
#[pyclass(frozen, weakref, module = "gpu_stream_torch")]
pub(crate) struct ExternalStream {
    stream: VendorStream,
}

impl ExternalStream {
    /// Returns the wrapped stream.
    pub(crate) fn stream(&self) -> &VendorStream {
        &self.stream
    }

    /// Holds a stream. A thread's own stream is an error.
    pub(crate) fn from_arg(py: Python<'_>, arg: StreamArg) -> PyResult<Self> {
        match arg {
            StreamArg::Shared(stream) => Ok(ExternalStream { stream }),
            StreamArg::PerThread(_) => {
                let reason = "is the calling thread's own stream, which is another one on each thread and cannot be \
                              held by an object; pass it to a function, which uses it during the call, or wrap a \
                              created stream";
                let operation = "ExternalStream";
                Err(raise(py, ContractError::InvalidHandle { operation, bits: 2, reason }))
            }
        }
    }

    /// Returns the stream as an argument.
    fn arg(&self) -> StreamArg {
        StreamArg::Shared(self.stream.clone())
    }
}

/// Makes a stream wait for any other.
struct WaitStream<'s>(&'s VendorStream);

impl OnStream for WaitStream<'_> {
    type Output = Result<(), VendorError>;

    fn run<S: Stream<Backend = Vendor>>(self, other: &S) -> Self::Output {
        self.0.wait_stream(other)
    }
}

#[pymethods]
impl ExternalStream {
    #[new]
    #[pyo3(signature = (stream, device = None, *, owner = None))]
    fn py_new(
        stream: &Bound<'_, PyAny>,
        device: Option<&Bound<'_, PyAny>>,
        owner: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let device = device.map(self::device).transpose()?.flatten();
        Self::from_arg(stream.py(), StreamArg::with(stream, device, owner)?)
    }

    /// Returns True if all work submitted to the stream so far is done. Does not block.
    fn query(&self, py: Python<'_>) -> PyResult<bool> {
        detach(py, || self.stream.query()).map_err(|error| raise(py, error))
    }

    /// Blocks until all work submitted to the stream so far is done, with the interpreter's lock
    /// released.
    fn synchronize(&self, py: Python<'_>) -> PyResult<()> {
        detach(py, || self.stream.synchronize()).map_err(|error| raise(py, error))
    }

    /// Records an event on the stream and returns it. Does not block.
    ///
    /// Without an argument, records a new event without timing. torch records a torch.cuda.Event.
    #[pyo3(signature = (event = None))]
    fn record_event<'py>(
        slf: &Bound<'py, Self>,
        event: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let event = match event {
            Some(event) => event,
            None => Bound::new(py, Event::new(EventOptions::new()))?.into_any(),
        };
        if let Ok(ours) = event.cast::<Event>() {
            let (ours, stream) = (ours.get(), slf.get().arg());
            detach(py, || ours.record_on(&stream)).map_err(|error| raise(py, error))?;
        } else if is_torch_event(&event)? {
            event.call_method1("record", (Self::torch_stream(slf)?,))?;
        } else {
            let remedy = "pass a gpu_stream_torch.Event or a torch.cuda.Event";
            return Err(wrong_type("event", remedy, &event));
        }
        Ok(event)
    }

    /// Makes all later work of the stream wait for the event's last record. Does not block.
    ///
    /// For a torch.cuda.Event, torch makes the wait.
    fn wait_event(slf: &Bound<'_, Self>, event: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        if let Ok(ours) = event.cast::<Event>() {
            let (ours, stream) = (ours.get(), slf.get().arg());
            return detach(py, || ours.wait_on(&stream)).map_err(|error| raise(py, error));
        }
        if is_torch_event(event)? {
            return event.call_method1("wait", (Self::torch_stream(slf)?,)).map(drop);
        }
        let remedy = "pass a gpu_stream_torch.Event or a torch.cuda.Event; for another library's event, make that \
                      library's stream wait, or use wait_stream";
        Err(wrong_type("event", remedy, event))
    }

    /// Makes all later work of this stream wait for all work submitted to `stream` so far. Does not block.
    fn wait_stream(&self, py: Python<'_>, stream: &Bound<'_, PyAny>) -> PyResult<()> {
        let other = StreamArg::of(stream)?;
        detach(py, || other.on(WaitStream(&self.stream))).map_err(|error| raise(py, error))
    }

    /// Keeps `object` alive until all work submitted to the stream so far is done. Blocks only as a submission does, if
    /// the driver's queue is full.
    ///
    /// For example, the object can be memory that the work uses. Call this after the submission. The first later call
    /// into this module that reaches the driver, after the work is done, releases the object on its own thread. So do
    /// `collect` and `drain`. Objects that are kept at interpreter exit are not released.
    ///
    /// If it raises, the object is not kept: keep it until a `synchronize` of the stream returns. Raises
    /// CapturingError while the stream is capturing: keep the object as long as the graph, which can run its work any
    /// number of times.
    fn keep_until_done(&self, py: Python<'_>, object: Py<PyAny>) -> PyResult<()> {
        let object = Kept::new(vec![object]);
        let kept = detach(py, || object.keep_until_done(&self.stream).map_err(Refused::into_error));
        kept.map_err(|error| {
            let remedy = match error.kind() {
                ErrorKind::Capturing => "keep it as long as the graph",
                _ => "keep it until a synchronize of the stream returns",
            };
            let text = format!("keep_until_done: the object is not kept; {remedy} ({error})");
            of_kind(py, error.kind(), error.code(), text)
        })
    }

    /// Returns True if the stream is being captured into a graph. Does not block or affect the capture.
    fn is_capturing(&self, py: Python<'_>) -> PyResult<bool> {
        let status = detach(py, || self.stream.capture_status());
        Ok(status.map_err(|error| raise(py, error))? != CaptureStatus::None)
    }

    /// Returns the stream as a torch.cuda.Stream, which keeps this object alive. Use it with
    /// `with torch.cuda.stream(…)` and `tensor.record_stream(…)`.
    ///
    /// torch accepts neither 0 nor 1 as a handle, so this returns `torch.cuda.default_stream` for a default
    /// stream.
    fn torch_stream<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let cuda = slf.py().import("torch.cuda")?;
        let stream = &slf.get().stream;
        let device = stream.device().ordinal();
        if stream.raw().kind() == HandleKind::Default {
            return cuda.call_method1("default_stream", (device,));
        }
        let torchs = cuda.call_method1("ExternalStream", (stream.raw().to_bits(), device))?;
        torchs.setattr("_gpu_stream_owner", slf)?;
        Ok(torchs)
    }

    /// Returns True if both wrap the same stream, even if different libraries created the wrappers.
    fn is_same(&self, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(match StreamArg::of(other)? {
            StreamArg::Shared(other) => self.stream == other,
            StreamArg::PerThread(_) => false,
        })
    }

    /// Returns the device: a torch.device if torch is imported, otherwise text such as "cuda:0".
    #[getter]
    fn device<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        torch_device(py, self.stream.device())
    }

    /// Returns the device's index.
    #[getter]
    fn device_id(&self) -> u32 {
        self.stream.device().ordinal()
    }

    /// Returns the priority. A lower number is more urgent, and 0 is normal.
    #[getter]
    fn priority(&self, py: Python<'_>) -> PyResult<i32> {
        detach(py, || self.stream.priority()).map_err(|error| raise(py, error))
    }

    /// Returns the handle. Keep this object alive while the handle is used.
    #[getter]
    fn cuda_stream(&self) -> usize {
        self.stream.raw().to_bits()
    }

    /// Returns the handle, under the name that CuPy reads. Keep this object alive while it is used.
    #[getter]
    fn ptr(&self) -> usize {
        self.cuda_stream()
    }

    /// Returns the number to pass to another library's `__dlpack__(stream=)`, which makes this stream wait
    /// for the data. It is the handle, or the protocol's number for a default stream.
    #[getter]
    fn dlpack_stream(&self, py: Python<'_>) -> PyResult<i128> {
        self.arg().dlpack_number(py)
    }

    /// Returns the handle for functions of ctypes.
    #[getter]
    fn _as_parameter_<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("ctypes")?.call_method1("c_void_p", (self.cuda_stream(),))
    }

    /// Returns (0, handle): the protocol by which CuPy and cuda.core accept this stream.
    fn __cuda_stream__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        (0, self.cuda_stream()).into_pyobject(py)
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.stream == other.stream
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.stream.hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        let (device, handle) = (self.stream.device().ordinal(), self.cuda_stream());
        format!(
            "<gpu_stream_torch.ExternalStream device={TORCH_NAME}:{device} cuda_stream={handle:#x}>"
        )
    }
}

/// Returns `true` if `event` is a torch.cuda.Event. It accepts only torch's streams.
fn is_torch_event(event: &Bound<'_, PyAny>) -> PyResult<bool> {
    let imported = event.py().import("sys")?.getattr("modules")?.contains("torch")?;
    Ok(imported && event.is_instance(&event.py().import("torch.cuda")?.getattr("Event")?)?)
}

/// Converts a device to a torch.device, or to text if torch is not imported.
pub(crate) fn torch_device(py: Python<'_>, device: Device) -> PyResult<Bound<'_, PyAny>> {
    let modules = py.import("sys")?.getattr("modules")?;
    let torch = modules.call_method1("get", ("torch",))?;
    match torch.getattr_opt("device")? {
        Some(make) => make.call1((TORCH_NAME, device.ordinal())),
        None => Ok(format!("{TORCH_NAME}:{}", device.ordinal()).into_pyobject(py)?.into_any()),
    }
}

/// Creates a stream of `device`, which is destroyed when its last reference is dropped.
///
/// `priority` 0 is normal, and a lower number is more urgent.
#[pyfunction]
#[pyo3(signature = (device, priority = 0))]
pub(crate) fn new_stream(device: &Bound<'_, PyAny>, priority: i32) -> PyResult<ExternalStream> {
    let py = device.py();
    let device = named_device(device)?;
    let options = StreamOptions::new().priority(priority);
    let made = detach(py, || Vendor::new_stream(device, options));
    Ok(ExternalStream { stream: made.map_err(|error| raise(py, error))? })
}

/// Returns the default stream of `device`, which always exists.
#[pyfunction]
pub(crate) fn default_stream(device: &Bound<'_, PyAny>) -> PyResult<ExternalStream> {
    let py = device.py();
    let device = named_device(device)?;
    let found = detach(py, || Vendor::default_stream(device));
    Ok(ExternalStream { stream: found.map_err(|error| raise(py, error))? })
}

/// Returns the backend, the driver's version and library, and the names of the devices.
#[pyfunction]
pub(crate) fn probe(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let info = detach(py, Vendor::probe).map_err(|error| raise(py, error))?;
    let result = PyDict::new(py);
    result.set_item("backend", KIND.name())?;
    result.set_item("version", info.version)?;
    result.set_item("library", info.library)?;
    let names: Vec<_> = info.devices.into_iter().map(|device| device.name).collect();
    result.set_item("devices", names)?;
    Ok(result)
}
