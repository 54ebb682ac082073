//! An event that the program completes: [`Gate`].

use std::sync::Arc;

use gpu_stream_core::{Device, EventOptions, KeepAlive};

use crate::executor::driver;
use crate::executor::process_state;
use crate::executor::queue::Queue;
use crate::executor::record::Record;
use crate::{HostError, HostEvent, device};

/// Holds back whatever waits for its event, until the program opens it.
///
/// What
/// [`cuStreamWaitValue32`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__MEMOP.html) is
/// on CUDA and a [user
/// event](https://registry.khronos.org/OpenCL/specs/3.0-unified/html/OpenCL_API.html#clCreateUserEvent)
/// in OpenCL. No thread is held while the gate is shut. Dropping the gate opens it, so that nothing
/// that was submitted is lost.
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
    queue: Shut,
}

/// The queue behind the gate, with one item in it that nobody runs.
struct Shut(Arc<Queue>);

impl Gate {
    /// A gate that is shut. Does not block.
    ///
    /// # Errors
    /// [`BackendMismatch`](gpu_stream_core::ErrorKind::BackendMismatch),
    /// [`InvalidDevice`](gpu_stream_core::ErrorKind::InvalidDevice).
    pub fn new(device: Device) -> Result<Self, HostError> {
        device::ordinal(device, "Gate::new")?;
        let queue = Queue::held(&driver()?.pool);
        let event = HostEvent::new(device, EventOptions::new());
        let record = Record::new(Arc::clone(&queue), 1, None);
        event.record_with(KeepAlive::none(), || Ok(record))?;
        Ok(Gate { event, queue: Shut(queue) })
    }

    /// The event: recorded, and pending until the gate is open.
    ///
    /// It is an event like any other: whoever records it on a stream makes it stand for that.
    pub fn event(&self) -> &HostEvent {
        &self.event
    }

    /// Opens the gate: its event is complete from now on. Does not block; once open, nothing more
    /// happens.
    pub fn open(&self) {
        if process_state::is_forked() {
            return; // it is the parent's
        }
        self.queue.0.release();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl std::fmt::Debug for Shut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.progress.done() == 0 { "shut" } else { "open" })
    }
}
