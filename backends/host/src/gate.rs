//! An event that the program completes: [`Gate`].

use std::sync::Arc;

use gpu_stream_core::{Device, EventOptions};

use crate::executor::queue::Queue;
use crate::executor::record::Record;
use crate::executor::{executor, process_state};
use crate::owner::Owner;
use crate::{HostError, HostEvent, device};

/// A latch: its event completes when the program opens the gate.
///
/// Streams that wait for the event are held back until then. A waiting stream holds no thread.
/// Dropping the gate opens it, so that no submitted work is lost.
///
/// The equivalent on CUDA is
/// [`cuStreamWaitValue32`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__MEMOP.html), in
/// OpenCL a
/// [user event](https://registry.khronos.org/OpenCL/specs/3.0-unified/html/OpenCL_API.html#clCreateUserEvent).
///
/// ```
/// use gpu_stream_core::{Backend, Stream, StreamOptions};
/// use gpu_stream_host::{Gate, Host};
///
/// let device = Host::device(0)?;
/// let stream = Host::new_stream(device, StreamOptions::new())?;
/// let gate = Gate::new(device)?;
/// stream.wait_event(gate.event())?;
/// stream.launch(|| println!("the gate is open"))?;
/// assert!(!stream.query()?);
/// gate.open();
/// stream.synchronize()?;
/// # Ok::<(), gpu_stream_host::HostError>(())
/// ```
#[doc(alias("cuStreamWaitValue32", "hipStreamWaitValue32", "clCreateUserEvent"))]
#[derive(Debug)]
#[must_use = "dropping the gate opens it"]
pub struct Gate {
    event: HostEvent,
    queue: GateQueue,
}

/// The queue of a gate. Its item 1 completes when the gate is opened.
struct GateQueue(Arc<Queue>);

impl Gate {
    /// Creates a closed gate. Does not block.
    ///
    /// # Errors
    /// [`BackendMismatch`](gpu_stream_core::ErrorKind::BackendMismatch) or
    /// [`InvalidDevice`](gpu_stream_core::ErrorKind::InvalidDevice) if the host has no such device.
    pub fn new(device: Device) -> Result<Self, HostError> {
        device::ordinal(device, "Gate::new")?;
        let queue = Queue::new_external(&executor()?.pool);
        let event = HostEvent::new(device, EventOptions::new());
        let record = Record::new(Arc::clone(&queue), 1, None);
        event.record_with(Owner::default(), || Ok(record))?;
        Ok(Gate { event, queue: GateQueue(queue) })
    }

    /// Returns the event, which is recorded, and pending until the gate is open.
    ///
    /// Recording it on a stream replaces the gate's record, as for any event.
    pub fn event(&self) -> &HostEvent {
        &self.event
    }

    /// Opens the gate, which completes its event. Does not block. Has no effect on an open gate.
    pub fn open(&self) {
        if process_state::is_forked() {
            return; // The gate belongs to the parent process.
        }
        self.queue.0.complete_external();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl std::fmt::Debug for GateQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.progress.done() == 0 { "closed" } else { "open" })
    }
}
