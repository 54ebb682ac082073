//! A queue of closures: [`HostStream`].

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use gpu_stream_core::{
    BackendKind, CaptureStatus, ContractError, Device, EventOptions, HandleKind, HostFunc,
    KeepAlive, PerThread, RawStream, Stream, StreamOptions,
};

use crate::event::ensure_outside_task;
use crate::executor::queue::{Queue, SubmitError};
use crate::executor::record::{Record, Timestamp};
use crate::executor::{Driver, Entry, Origin, driver, process_state};
use crate::host::check_stream;
use crate::{Host, HostError, HostEvent, device};

/// A stream of the host backend: closures that run one after the other, on whichever thread is
/// free.
///
/// A clone is the same stream. A stream that was made by [`Host`] is destroyed with the last clone,
/// and what was submitted to it still runs.
///
/// A task must not block for what another stream's task does: it holds a thread of a pool that has
/// as many as the machine has cores. Let the stream wait for an event; a waiting stream holds no
/// thread.
#[derive(Clone)]
pub struct HostStream {
    entry: Arc<Entry>,
    raw: RawStream<Host>,
    owner: KeepAlive,
}

impl HostStream {
    /// Runs `task` when the stream comes to it: after all that was submitted before, and before all
    /// that is submitted later. Does not block.
    ///
    /// The closure runs on a thread of the pool, or on a thread that is blocked in
    /// [`synchronize`](Stream::synchronize) of this stream, of a stream that waits for it, or of an
    /// event of either (`GPU_STREAM_HOST_HELP=0` turns that off). It is dropped before the stream
    /// calls it done. One of up to 128 bytes, with the alignment of a `u64` or less, is stored
    /// without an allocation.
    ///
    /// It may submit work, to this stream too, and may not block on a stream or event. If it panics
    /// the stream has a fault from then on: what stands behind it is dropped unrun, and every later
    /// call says [`StreamFault`](gpu_stream_core::ErrorKind::StreamFault) with the panic's message.
    /// A stream that waits for work behind the fault gets it too; all others go on.
    ///
    /// # Errors
    /// [`StreamFault`](gpu_stream_core::ErrorKind::StreamFault);
    /// [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) if the stream was destroyed.
    /// The closure is dropped.
    #[doc(alias(
        "cuLaunchHostFunc",
        "cudaLaunchHostFunc",
        "hipLaunchHostFunc",
        "spawn",
        "enqueue"
    ))]
    pub fn launch(&self, task: impl FnOnce() + Send + 'static) -> Result<(), HostError> {
        self.submitted("HostStream::launch", self.queue().launch(task)).map(drop)
    }

    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.entry.queue
    }

    /// The number of what was submitted, or why it was not.
    fn submitted(
        &self,
        operation: &'static str,
        outcome: Result<u64, SubmitError>,
    ) -> Result<u64, HostError> {
        outcome.map_err(|refused| self.refused(operation, refused))
    }

    /// The number of the last item submitted, if the stream can be used.
    fn usable(&self, operation: &'static str) -> Result<u64, HostError> {
        self.submitted(operation, self.queue().usable())
    }

    fn refused(&self, operation: &'static str, refused: SubmitError) -> HostError {
        match refused {
            SubmitError::Faulted(fault) => HostError::fault(operation, fault),
            SubmitError::Process(error) => error.into(),
            SubmitError::Closed => ContractError::InvalidHandle {
                operation,
                bits: self.raw.to_bits(),
                reason: "was destroyed by its owner; keep the owner alive with `stream_from_owner`",
            }
            .into(),
        }
    }
}

// SAFETY: items of a queue end in the order of their submission, closures dropped, before its
// number passes them, with release and acquire between the two threads; `query` and `synchronize`
// compare that number with the last one submitted at the call. A fault is an error in both.
// `wait_event` puts the record itself into the queue, which goes no further before the record is
// complete, whatever becomes of the event.
unsafe impl Stream for HostStream {
    type Backend = Host;

    fn raw(&self) -> RawStream<Host> {
        self.raw
    }

    fn device(&self) -> Device {
        Device::new(BackendKind::Host, self.entry.device)
    }

    fn query(&self) -> Result<bool, HostError> {
        const OPERATION: &str = "Stream::query";
        let last = self.usable(OPERATION)?;
        self.queue().progress.check(last).map_err(|fault| HostError::fault(OPERATION, fault))
    }

    fn synchronize(&self) -> Result<(), HostError> {
        const OPERATION: &str = "Stream::synchronize";
        ensure_outside_task(OPERATION)?;
        let last = self.usable(OPERATION)?;
        let help = driver()?.help;
        self.queue().wait_for(last, help).map_err(|reason| HostError::no_wait(OPERATION, reason))
    }

    fn record(&self, event: &HostEvent) -> Result<(), HostError> {
        const OPERATION: &str = "Stream::record";
        use gpu_stream_core::Event as _;
        event.device().check_is(self.device(), OPERATION)?;
        process_state::ensure_not_forked()?;
        event.record_with(self.owner.clone(), || {
            let (number, stamp) = if event.options().is_timed() {
                let stamp = Arc::new(Timestamp::default());
                let number = self.queue().stamp(Arc::clone(&stamp));
                (self.submitted(OPERATION, number)?, Some(stamp))
            } else {
                (self.usable(OPERATION)?, None)
            };
            Ok(Record::new(Arc::clone(self.queue()), number, stamp))
        })
    }

    fn wait_event(&self, event: &HostEvent) -> Result<(), HostError> {
        const OPERATION: &str = "Stream::wait_event";
        self.usable(OPERATION)?;
        match event.to_wait_for(self.queue()) {
            Some(record) => self.submitted(OPERATION, self.queue().wait(record)).map(drop),
            None => Ok(()),
        }
    }

    /// As the contract says; shorter, since nobody else knows the event yet.
    fn record_event(&self) -> Result<HostEvent, HostError> {
        let number = self.usable("Stream::record_event")?;
        let record = Record::new(Arc::clone(self.queue()), number, None);
        Ok(HostEvent::recorded(self.device(), EventOptions::new(), record, self.owner.clone()))
    }

    fn priority(&self) -> Result<i32, HostError> {
        Ok(self.queue().level().priority())
    }

    fn id(&self) -> Result<u64, HostError> {
        Ok(self.queue().id())
    }

    /// The host has no graphs: always [`CaptureStatus::None`].
    fn capture_status(&self) -> Result<CaptureStatus, HostError> {
        Ok(CaptureStatus::None)
    }

    /// [`HostStream::launch`], with its rules.
    fn launch_host_func(&self, func: HostFunc) -> Result<(), HostError> {
        self.submitted("Stream::launch_host_func", self.queue().launch(func)).map(drop)
    }
}

/// Equal if the device and the handle are.
impl PartialEq for HostStream {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other)
    }
}

impl Eq for HostStream {}

impl Hash for HostStream {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.entry.device, self.raw).hash(state);
    }
}

impl std::fmt::Debug for HostStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = f.debug_struct("HostStream");
        text.field("raw", &self.raw).field("device", &self.device());
        text.field("owner", &self.owner).finish()
    }
}

/// The owner of a stream that we made: destroys it.
struct Owned {
    driver: &'static Driver,
    handle: usize,
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.driver.streams.destroy(self.handle);
    }
}

/// A new stream, and the share in the owner that destroys it.
fn create(
    device: Device,
    options: StreamOptions,
    origin: Origin,
    operation: &'static str,
) -> Result<(Arc<Entry>, KeepAlive), HostError> {
    let device = device::ordinal(device, operation)?;
    check_stream(options, operation)?;
    let driver = driver()?;
    let entry = driver.streams.create(&driver.pool, device, options, origin);
    let owner = Arc::new(Owned { driver, handle: entry.handle() });
    Ok((entry, KeepAlive::owner(owner)))
}

pub(crate) fn new_stream(device: Device, options: StreamOptions) -> Result<HostStream, HostError> {
    let (entry, owner) = create(device, options, Origin::Owned, "Backend::new_stream")?;
    Ok(HostStream { raw: RawStream::from_bits(entry.handle()), entry, owner })
}

pub(crate) fn default_stream(
    device: Device,
    operation: &'static str,
    owner: KeepAlive,
) -> Result<HostStream, HostError> {
    let ordinal = device::ordinal(device, operation)?;
    let found = driver()?.streams.default_stream(ordinal);
    let entry = found.ok_or(ContractError::InvalidDevice {
        operation,
        given: device,
        count: driver()?.devices,
    })?;
    Ok(HostStream { entry, raw: RawStream::DEFAULT, owner })
}

pub(crate) fn per_thread_stream(device: Device) -> Result<PerThread<HostStream>, HostError> {
    const OPERATION: &str = "Backend::per_thread_stream";
    thread_local! {
        static STREAMS: std::cell::RefCell<Vec<HostStream>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    process_state::ensure_not_forked()?;
    let found = STREAMS.try_with(|streams| {
        let mut streams = streams.borrow_mut();
        if let Some(stream) = streams.iter().find(|stream| stream.device() == device) {
            return Ok::<_, HostError>(stream.clone());
        }
        let (entry, owner) = create(device, StreamOptions::new(), Origin::PerThread, OPERATION)?;
        let stream = HostStream { entry, raw: RawStream::PER_THREAD, owner };
        streams.push(stream.clone());
        Ok(stream)
    });
    let reason = "the thread is at its end and its default stream gone; use another stream";
    let stream =
        found.map_err(|_| ContractError::NotPermitted { operation: OPERATION, reason })??;
    // SAFETY: the stream belongs to this thread, and other wrappers of it lie only in this thread's
    // list.
    Ok(unsafe { PerThread::new_unchecked(stream) })
}

pub(crate) fn wrap(
    raw: RawStream<Host>,
    device: Option<Device>,
    owner: KeepAlive,
    operation: &'static str,
) -> Result<HostStream, HostError> {
    let invalid = |reason| ContractError::InvalidHandle { operation, bits: raw.to_bits(), reason };
    match raw.kind() {
        HandleKind::PerThread => {
            let reason = "is the calling thread's own stream; use `Backend::per_thread_stream`";
            Err(invalid(reason).into())
        }
        HandleKind::Default => {
            let device = device.unwrap_or(Device::new(BackendKind::Host, 0));
            default_stream(device, operation, owner)
        }
        HandleKind::Explicit => {
            let streams = &driver()?.streams;
            let entry = streams.find(raw.to_bits()).ok_or_else(|| {
                invalid(if streams.is_per_thread(raw.to_bits()) {
                    "is the id of a thread's own stream, and no handle; use \
                     `Backend::per_thread_stream` on that thread"
                } else {
                    "is no live stream of the host backend; it was destroyed, or is another's"
                })
            })?;
            let stream = HostStream { entry, raw, owner };
            if let Some(given) = device {
                device::ordinal(given, operation)?;
                given.check_is(stream.device(), operation)?;
            }
            Ok(stream)
        }
    }
}
