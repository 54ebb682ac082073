//! The Python class [`Event`], with the methods of `torch.cuda.Event`.

use std::sync::OnceLock;

use gpu_stream::{Backend, EventOptions, EventStatus, Stream};
use gpu_stream::{ContractError, Event as _};
use pyo3::prelude::*;

use crate::argument::{OnStream, StreamArg};
use crate::error::raise;
use crate::kept::detach;
use crate::stream::torch_device;
use crate::vendor::{self, Vendor, VendorError, VendorEvent};

/// A point in a stream's work.
///
/// As in torch, the driver creates the event at its first record, on the stream's device. Unlike
/// torch's, an event can be used from any thread, and `record` and `wait` take a stream, because there
/// is no current stream.
#[pyclass(frozen, weakref, module = "gpu_stream_torch")]
pub(crate) struct Event {
    options: EventOptions,
    event: OnceLock<VendorEvent>,
}

/// Records an event on any stream.
struct Record<'e>(&'e Event);

impl OnStream for Record<'_> {
    type Output = Result<(), VendorError>;

    fn run<S: Stream<Backend = Vendor>>(self, stream: &S) -> Self::Output {
        let make = || Vendor::new_event(stream.device(), self.0.options);
        stream.record(self.0.get_or_create(make)?)
    }
}

/// Makes any stream wait for an event.
struct Wait<'e>(&'e VendorEvent);

impl OnStream for Wait<'_> {
    type Output = Result<(), VendorError>;

    fn run<S: Stream<Backend = Vendor>>(self, stream: &S) -> Self::Output {
        stream.wait_event(self.0)
    }
}

impl Event {
    /// Creates an event that is not recorded. The driver's event is created later.
    pub(crate) fn new(options: EventOptions) -> Self {
        Event { options, event: OnceLock::new() }
    }

    /// Returns the driver's event. Creates it with `make` if there is none yet.
    fn get_or_create(
        &self,
        make: impl FnOnce() -> Result<VendorEvent, VendorError>,
    ) -> Result<&VendorEvent, VendorError> {
        if self.event.get().is_none() {
            // If two threads create an event at the same time, the second one is dropped.
            let _ = self.event.set(make()?);
        }
        Ok(self.event.get().expect("it was just set"))
    }

    /// Records the event on `stream`. Does not block.
    pub(crate) fn record_on(&self, stream: &StreamArg) -> Result<(), VendorError> {
        if let StreamArg::Shared(shared) = stream {
            // Created in the stream's own context, which may not be the device's primary context.
            self.get_or_create(|| vendor::new_event(shared, self.options))?;
        }
        stream.on(Record(self))
    }

    /// Makes `stream` wait for the event's last record. Does nothing if it was never recorded.
    pub(crate) fn wait_on(&self, stream: &StreamArg) -> Result<(), VendorError> {
        match self.event.get() {
            Some(event) => stream.on(Wait(event)),
            None => Ok(()),
        }
    }
}

#[pymethods]
impl Event {
    /// Creates an event that is not recorded. `interprocess` requires `enable_timing=False`.
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

    /// Records the event: from now on it represents all work submitted to `stream` so far. Does not block.
    fn record(&self, py: Python<'_>, stream: &Bound<'_, PyAny>) -> PyResult<()> {
        let stream = StreamArg::of(stream)?;
        detach(py, || self.record_on(&stream)).map_err(|error| raise(py, error))
    }

    /// Makes all later work of `stream` wait for the event's last record. Does not block, and does
    /// nothing if the event was never recorded.
    fn wait(&self, py: Python<'_>, stream: &Bound<'_, PyAny>) -> PyResult<()> {
        let stream = StreamArg::of(stream)?;
        detach(py, || self.wait_on(&stream)).map_err(|error| raise(py, error))
    }

    /// Returns True if all work before the last record is done. Also returns True if the event was never
    /// recorded. Does not block.
    fn query(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(event) = self.event.get() else { return Ok(true) };
        detach(py, || event.query()).map_err(|error| raise(py, error))
    }

    /// Blocks until all work before the last record is done, with the interpreter's lock released.
    fn synchronize(&self, py: Python<'_>) -> PyResult<()> {
        let Some(event) = self.event.get() else { return Ok(()) };
        detach(py, || event.synchronize()).map_err(|error| raise(py, error))
    }

    /// Returns the milliseconds from this event to `end_event`. Both must have `enable_timing`, and be
    /// recorded and complete. Does not block.
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
        detach(py, || end.elapsed_since(start)).map_err(|error| raise(py, error))
    }

    /// Returns "unrecorded", "pending" or "complete". Does not block.
    ///
    /// torch has no equivalent: it does not distinguish an unrecorded event from a complete one.
    #[getter]
    fn status(&self, py: Python<'_>) -> PyResult<&'static str> {
        let Some(event) = self.event.get() else { return Ok("unrecorded") };
        match detach(py, || event.status()).map_err(|error| raise(py, error))? {
            EventStatus::Unrecorded => Ok("unrecorded"),
            EventStatus::Pending => Ok("pending"),
            EventStatus::Complete => Ok("complete"),
        }
    }

    /// Returns the device of the stream that recorded the event. None before the first record.
    #[getter]
    fn device<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.event.get().map(|event| torch_device(py, event.device())).transpose()
    }

    /// Returns the driver's handle. 0 before the first record.
    #[getter]
    fn cuda_event(&self) -> usize {
        self.event.get().map_or(0, |event| event.raw().to_bits())
    }

    /// Returns the driver's handle, under the name that CuPy reads. 0 before the first record.
    #[getter]
    fn ptr(&self) -> usize {
        self.cuda_event()
    }

    fn __repr__(&self) -> String {
        match self.event.get() {
            // `Debug` does not count as handing the handle out.
            Some(event) => format!("<gpu_stream_torch.Event {event:?}>"),
            None => "<gpu_stream_torch.Event, not recorded yet>".into(),
        }
    }
}
