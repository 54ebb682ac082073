//! An event, as `torch.cuda.Event` is one.

use std::sync::OnceLock;

use gpu_stream::{Backend, EventOptions, EventStatus, Stream};
use gpu_stream::{ContractError, Event as _};
use pyo3::prelude::*;

use crate::argument::{OnStream, StreamArg};
use crate::error::raise;
use crate::stream::torch_device;
use crate::vendor::{self, Vendor, VendorError, VendorEvent};

/// A place in a stream's work.
///
/// As torch's, it is made by the driver when it is first recorded, on that stream's device. Unlike
/// torch's it may be used from any thread, and `record` and `wait` need a stream: nothing is
/// current here.
#[pyclass(frozen, weakref, module = "gpu_stream_torch")]
pub(crate) struct Event {
    options: EventOptions,
    event: OnceLock<VendorEvent>,
}

/// Records the event on whichever stream.
struct Record<'e>(&'e Event);

impl OnStream for Record<'_> {
    type Output = Result<(), VendorError>;

    fn run<S: Stream<Backend = Vendor>>(self, stream: &S) -> Self::Output {
        let make = || Vendor::new_event(stream.device(), self.0.options);
        stream.record(self.0.made(make)?)
    }
}

struct Wait<'e>(&'e VendorEvent);

impl OnStream for Wait<'_> {
    type Output = Result<(), VendorError>;

    fn run<S: Stream<Backend = Vendor>>(self, stream: &S) -> Self::Output {
        stream.wait_event(self.0)
    }
}

impl Event {
    pub(crate) fn new(options: EventOptions) -> Self {
        Event { options, event: OnceLock::new() }
    }

    /// The driver's event, made by `make` if there is none yet.
    fn made(
        &self,
        make: impl FnOnce() -> Result<VendorEvent, VendorError>,
    ) -> Result<&VendorEvent, VendorError> {
        if self.event.get().is_none() {
            // Two threads may both make one: the second is dropped.
            let _ = self.event.set(make()?);
        }
        Ok(self.event.get().expect("it was just set"))
    }

    pub(crate) fn record_on(&self, stream: &StreamArg) -> Result<(), VendorError> {
        if let StreamArg::Shared(shared) = stream {
            // In the stream's own context, which need not be the device's primary one.
            self.made(|| vendor::new_event(shared, self.options))?;
        }
        stream.on(Record(self))
    }

    pub(crate) fn hold_back(&self, stream: &StreamArg) -> Result<(), VendorError> {
        match self.event.get() {
            Some(event) => stream.on(Wait(event)),
            None => Ok(()),
        }
    }
}

#[pymethods]
impl Event {
    /// An event that is not recorded yet. `interprocess` needs `enable_timing` off.
    #[new]
    #[pyo3(signature = (enable_timing = false, blocking = false, interprocess = false))]
    fn py_new(
        py: Python<'_>,
        enable_timing: bool,
        blocking: bool,
        interprocess: bool,
    ) -> PyResult<Self> {
        let options = EventOptions::builder().timing(enable_timing);
        let options = options.blocking(blocking).interprocess(interprocess).build();
        Ok(Event::new(options.map_err(|error| raise(py, error))?))
    }

    /// From now on the event stands for all work submitted to `stream` so far. Does not block.
    fn record(&self, py: Python<'_>, stream: &Bound<'_, PyAny>) -> PyResult<()> {
        let stream = StreamArg::of(stream)?;
        py.detach(|| self.record_on(&stream)).map_err(|error| raise(py, error))
    }

    /// All work submitted to `stream` from now on waits for the event's last record. Does not
    /// block. Nothing happens if the event was never recorded.
    fn wait(&self, py: Python<'_>, stream: &Bound<'_, PyAny>) -> PyResult<()> {
        let stream = StreamArg::of(stream)?;
        py.detach(|| self.hold_back(&stream)).map_err(|error| raise(py, error))
    }

    /// Whether all work before the last record is done; true if there is none. Does not block.
    fn query(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(event) = self.event.get() else { return Ok(true) };
        py.detach(|| event.query()).map_err(|error| raise(py, error))
    }

    /// Blocks until all work before the last record is done, with the interpreter's lock released.
    fn synchronize(&self, py: Python<'_>) -> PyResult<()> {
        let Some(event) = self.event.get() else { return Ok(()) };
        py.detach(|| event.synchronize()).map_err(|error| raise(py, error))
    }

    /// Milliseconds from this event to `end_event`, both made with `enable_timing`, recorded and
    /// complete. Does not block.
    fn elapsed_time(&self, py: Python<'_>, end_event: &Bound<'_, Event>) -> PyResult<f32> {
        let end = end_event.get();
        let both = [("start", self), ("end", end)];
        for (which, event) in both {
            if !event.options.is_timed() {
                return Err(raise(py, ContractError::EventNotTimed { which }));
            }
        }
        for (which, event) in both {
            if event.event.get().is_none() {
                return Err(raise(py, ContractError::EventNotRecorded { which }));
            }
        }
        let (Some(start), Some(end)) = (self.event.get(), end.event.get()) else {
            unreachable!("both are recorded");
        };
        py.detach(|| end.elapsed_since(start)).map_err(|error| raise(py, error))
    }

    /// "unrecorded", "pending" or "complete". Does not block. torch has no such question: there an
    /// event that was never recorded and one that is complete look the same.
    #[getter]
    fn status(&self, py: Python<'_>) -> PyResult<&'static str> {
        let Some(event) = self.event.get() else { return Ok("unrecorded") };
        match py.detach(|| event.status()).map_err(|error| raise(py, error))? {
            EventStatus::Unrecorded => Ok("unrecorded"),
            EventStatus::Pending => Ok("pending"),
            EventStatus::Complete => Ok("complete"),
        }
    }

    /// The device of the stream that recorded it, or None.
    #[getter]
    fn device<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.event.get().map(|event| torch_device(py, event.device())).transpose()
    }

    /// The driver's handle, or 0 before the first record.
    #[getter]
    fn cuda_event(&self) -> usize {
        self.event.get().map_or(0, |event| event.raw().to_bits())
    }

    /// As `cuda_event`, under the name that CuPy looks for.
    #[getter]
    fn ptr(&self) -> usize {
        self.cuda_event()
    }

    fn __repr__(&self) -> String {
        match self.event.get() {
            // By its `Debug`, which does not count as giving the handle away.
            Some(event) => format!("<gpu_stream_torch.Event {event:?}>"),
            None => "<gpu_stream_torch.Event, not recorded yet>".into(),
        }
    }
}
