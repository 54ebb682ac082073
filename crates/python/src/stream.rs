//! A stream, as `torch.cuda.ExternalStream` is one.

use std::hash::{DefaultHasher, Hash, Hasher};

use gpu_stream::exchange::{DecodedStream, Protocol, Value};
use gpu_stream::{
    Backend, CaptureStatus, ContractError, Device, EventOptions, HandleKind, Stream, StreamOptions,
};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::argument::{OnStream, StreamArg, device, named_device};
use crate::error::{raise, wrong_type};
use crate::event::Event;
use crate::vendor::{KIND, TORCH_NAME, Vendor, VendorError, VendorStream};

/// A stream that somebody else made, or `new_stream`.
///
/// `stream` is the handle as an int, which must stay alive as long as this object and what was made
/// of it; or an object with `__cuda_stream__`, as torch, CuPy and cuda.core have it, which is kept
/// alive. `device` is compared with what the driver says, and taken from it if it is None. `owner`
/// is any object that is to be kept alive beside it.
#[pyclass(frozen, weakref, module = "gpu_stream_torch")]
pub(crate) struct ExternalStream {
    stream: VendorStream,
}

impl ExternalStream {
    pub(crate) fn stream(&self) -> &VendorStream {
        &self.stream
    }

    fn arg(&self) -> StreamArg {
        StreamArg::Shared(self.stream.clone())
    }
}

/// Makes one stream wait for whichever other.
struct HoldBack<'s>(&'s VendorStream);

impl OnStream for HoldBack<'_> {
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
        match StreamArg::with(stream, device, owner)? {
            StreamArg::Shared(stream) => Ok(ExternalStream { stream }),
            StreamArg::PerThread(_) => {
                let reason = "is the calling thread's own stream, which is another one on each thread, and no object \
                              could carry; pass it to a function, which uses it during the call, or take a stream that \
                              was created";
                let operation = "ExternalStream";
                let error = ContractError::InvalidHandle { operation, bits: 2, reason };
                Err(raise(stream.py(), error))
            }
        }
    }

    /// Whether all work submitted to the stream so far is done. Does not block.
    fn query(&self, py: Python<'_>) -> PyResult<bool> {
        py.detach(|| self.stream.query()).map_err(|error| raise(py, error))
    }

    /// Blocks until all work submitted to the stream so far is done, with the interpreter's lock
    /// released.
    fn synchronize(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.stream.synchronize()).map_err(|error| raise(py, error))
    }

    /// Records an event here, a new one without timing if none is given, and returns it. Does not
    /// block. An event of torch's is recorded by torch.
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
            py.detach(|| ours.record_on(&stream)).map_err(|error| raise(py, error))?;
        } else if is_torch_event(&event)? {
            event.call_method1("record", (Self::torch_stream(slf)?,))?;
        } else {
            let wanted = "give a gpu_stream_torch.Event or a torch.cuda.Event";
            return Err(wrong_type("event", wanted, &event));
        }
        Ok(event)
    }

    /// All work submitted from now on waits for the event's last record. Does not block. An event
    /// of torch's is waited for by torch.
    fn wait_event(slf: &Bound<'_, Self>, event: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        if let Ok(ours) = event.cast::<Event>() {
            let (ours, stream) = (ours.get(), slf.get().arg());
            return py.detach(|| ours.hold_back(&stream)).map_err(|error| raise(py, error));
        }
        if is_torch_event(event)? {
            return event.call_method1("wait", (Self::torch_stream(slf)?,)).map(drop);
        }
        let wanted = "give a gpu_stream_torch.Event or a torch.cuda.Event; for another library's, let that \
                      library's stream wait, or use wait_stream";
        Err(wrong_type("event", wanted, event))
    }

    /// All work submitted from now on waits for all work submitted to `stream` so far. Does not
    /// block.
    fn wait_stream(&self, py: Python<'_>, stream: &Bound<'_, PyAny>) -> PyResult<()> {
        let other = StreamArg::of(stream)?;
        py.detach(|| other.on(HoldBack(&self.stream))).map_err(|error| raise(py, error))
    }

    /// Keeps `object` alive until all work submitted to the stream so far is done: memory that the
    /// work still uses, for instance. Does not block.
    ///
    /// The driver's thread that sees the work done does not take the interpreter's lock: the object
    /// is let go by the next call into this module. Refused while the stream is captured.
    fn keep_until_done(&self, py: Python<'_>, object: Py<PyAny>) -> PyResult<()> {
        let keep = Box::new(move || drop(object));
        py.detach(|| self.stream.launch_host_func(keep)).map_err(|error| raise(py, error))
    }

    /// Whether the stream is being captured into a graph. Does not block, and leaves the capture
    /// alone.
    fn is_capturing(&self, py: Python<'_>) -> PyResult<bool> {
        let status = py.detach(|| self.stream.capture_status());
        Ok(status.map_err(|error| raise(py, error))? != CaptureStatus::None)
    }

    /// The same stream as a torch.cuda.Stream, which keeps this object alive: for
    /// `with torch.cuda.stream(…)` and `tensor.record_stream(…)`.
    ///
    /// torch takes neither 0 nor 1 for a handle; for a default stream, this is
    /// `torch.cuda.default_stream`.
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

    /// Whether both are wrappers of one stream, whoever made them.
    fn is_same(&self, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(match StreamArg::of(other)? {
            StreamArg::Shared(other) => self.stream == other,
            StreamArg::PerThread(_) => false,
        })
    }

    /// The device: a torch.device if torch is imported, else text as "cuda:0".
    #[getter]
    fn device<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        torch_device(py, self.stream.device())
    }

    /// The device's index.
    #[getter]
    fn device_id(&self) -> u32 {
        self.stream.device().ordinal()
    }

    /// How urgent: lower is more urgent, 0 is normal.
    #[getter]
    fn priority(&self, py: Python<'_>) -> PyResult<i32> {
        py.detach(|| self.stream.priority()).map_err(|error| raise(py, error))
    }

    /// The handle. Whoever uses it keeps this object alive.
    #[getter]
    fn cuda_stream(&self) -> usize {
        self.stream.raw().to_bits()
    }

    /// As `cuda_stream`, under the name that CuPy uses.
    #[getter]
    fn ptr(&self) -> usize {
        self.cuda_stream()
    }

    /// What to pass to another library's `__dlpack__(stream=)`, which makes this stream wait for the
    /// data: the handle, or the protocol's word for a default stream.
    #[getter]
    fn dlpack_stream(&self, py: Python<'_>) -> PyResult<i128> {
        let said = Protocol::DlPack.encode(DecodedStream::Stream(self.cuda_stream()), KIND);
        match said.map_err(|error| raise(py, error))? {
            Value::Int(int) => Ok(int),
            Value::None => unreachable!("a GPU's stream is a number"),
        }
    }

    /// For functions of ctypes.
    #[getter]
    fn _as_parameter_<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("ctypes")?.call_method1("c_void_p", (self.cuda_stream(),))
    }

    /// The protocol by which CuPy and cuda.core take this stream: (0, handle).
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

/// An event that torch records and waits for: it has a handle, and takes torch's streams only.
fn is_torch_event(event: &Bound<'_, PyAny>) -> PyResult<bool> {
    let imported = event.py().import("sys")?.getattr("modules")?.contains("torch")?;
    Ok(imported && event.is_instance(&event.py().import("torch.cuda")?.getattr("Event")?)?)
}

/// A device as torch has it, or as text.
pub(crate) fn torch_device(py: Python<'_>, device: Device) -> PyResult<Bound<'_, PyAny>> {
    let modules = py.import("sys")?.getattr("modules")?;
    let torch = modules.call_method1("get", ("torch",))?;
    match torch.getattr_opt("device")? {
        Some(make) => make.call1((TORCH_NAME, device.ordinal())),
        None => Ok(format!("{TORCH_NAME}:{}", device.ordinal()).into_pyobject(py)?.into_any()),
    }
}

/// A new stream of `device`, that is destroyed when nobody holds it any more. `priority` is 0 for
/// normal; lower is more urgent.
#[pyfunction]
#[pyo3(signature = (device, priority = 0))]
pub(crate) fn new_stream(device: &Bound<'_, PyAny>, priority: i32) -> PyResult<ExternalStream> {
    let py = device.py();
    let device = named_device(device)?;
    let options = StreamOptions::new().priority(priority);
    let made = py.detach(|| Vendor::new_stream(device, options));
    Ok(ExternalStream { stream: made.map_err(|error| raise(py, error))? })
}

/// The default stream of `device`, which is always there.
#[pyfunction]
pub(crate) fn default_stream(device: &Bound<'_, PyAny>) -> PyResult<ExternalStream> {
    let py = device.py();
    let device = named_device(device)?;
    let found = py.detach(|| Vendor::default_stream(device));
    Ok(ExternalStream { stream: found.map_err(|error| raise(py, error))? })
}

/// What there is: the backend, the driver's version and library, and the devices' names.
#[pyfunction]
pub(crate) fn probe(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let info = py.detach(Vendor::probe).map_err(|error| raise(py, error))?;
    let said = PyDict::new(py);
    said.set_item("backend", KIND.name())?;
    said.set_item("version", info.version)?;
    said.set_item("library", info.library)?;
    let names: Vec<_> = info.devices.into_iter().map(|device| device.name).collect();
    said.set_item("devices", names)?;
    Ok(said)
}
