//! Streams of the host backend: [`HostStream`].

use std::any::Any;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use gpu_stream_core::{
    BackendKind, CaptureStatus, ContractError, Device, EventOptions, HandleKind, HostFunc,
    KeepAlive, PerThread, RawStream, Stream, StreamOptions,
};

use crate::executor::queue::{Queue, SubmitError};
use crate::executor::record::{Record, Timestamp};
use crate::executor::{Executor, Origin, StreamEntry, executor, process_state, task};
use crate::options::check_stream;
use crate::owner::Owner;
use crate::{Host, HostError, HostEvent, device};

/// A stream of the host backend. Its closures run one after the other, on any free thread.
///
/// A clone is the same stream. A stream that [`Host`] created is destroyed with its last clone.
/// Work that was submitted to the stream still runs.
///
/// A task must not block on a task of another stream. It would hold a worker thread, of which there
/// are only as many as the machine has cores. Let the stream wait for an event instead; a waiting
/// stream holds no thread.
#[derive(Clone)]
pub struct HostStream {
    entry: Arc<StreamEntry>,
    raw: RawStream<Host>,
    owner: Owner,
}

impl HostStream {
    /// Submits `task`, which runs after all earlier work of the stream and before all later work.
    /// Does not block.
    ///
    /// # Where it runs
    /// On a worker thread, or on a thread that is blocked in [`synchronize`](Stream::synchronize).
    /// Such a thread synchronizes this stream, a stream that waits for it, or an event of either.
    /// `GPU_STREAM_HOST_HELP=0` restricts tasks to worker threads.
    ///
    /// # Memory
    /// A closure of up to 128 bytes, with the alignment of a `u64` or less, is stored without an
    /// allocation. It is dropped before the stream counts it as complete.
    ///
    /// # Rules
    /// A task may submit work, also to this stream. It must not block on a stream or an event.
    ///
    /// A panic gives the stream a fault. Later tasks of the stream are dropped without running, and
    /// every later call fails with [`StreamFault`](gpu_stream_core::ErrorKind::StreamFault) and the
    /// panic's message. A stream that waits for such a task gets the fault too. All other streams
    /// continue.
    ///
    /// # Errors
    /// - [`StreamFault`](gpu_stream_core::ErrorKind::StreamFault) if the stream has a fault.
    /// - [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) if the stream was destroyed.
    ///
    /// `task` is dropped in both cases.
    #[doc(alias(
        "cuLaunchHostFunc",
        "cudaLaunchHostFunc",
        "hipLaunchHostFunc",
        "spawn",
        "enqueue"
    ))]
    pub fn launch(&self, task: impl FnOnce() + Send + 'static) -> Result<(), HostError> {
        self.number_or_error("HostStream::launch", self.queue().launch(task)).map(drop)
    }

    /// Returns the queue of the stream.
    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.entry.queue
    }

    /// Returns the number of a submitted item, or the error of `operation`.
    fn number_or_error(
        &self,
        operation: &'static str,
        result: Result<u64, SubmitError>,
    ) -> Result<u64, HostError> {
        result.map_err(|error| self.submit_error(operation, error))
    }

    /// Returns the number of the last item submitted. Fails if the stream accepts no work.
    fn ensure_usable(&self, operation: &'static str) -> Result<u64, HostError> {
        self.number_or_error(operation, self.queue().ensure_usable())
    }

    /// Makes later work wait for `event`. Errors name `operation`, the call of the user.
    fn wait_event_for(&self, operation: &'static str, event: &HostEvent) -> Result<(), HostError> {
        self.ensure_usable(operation)?;
        let Some(record) = event.pending_record(self.queue()) else { return Ok(()) };
        self.number_or_error(operation, self.queue().submit_wait(record)).map(drop)
    }

    /// Creates an event and records it. Errors name `operation`, the call of the user.
    ///
    /// Needs no lock, because no other thread has the event yet.
    fn record_event_for(&self, operation: &'static str) -> Result<HostEvent, HostError> {
        let number = self.ensure_usable(operation)?;
        let record = Record::new(Arc::clone(self.queue()), number, None);
        Ok(HostEvent::new_recorded(self.device(), EventOptions::new(), record, self.owner.clone()))
    }

    /// Makes later work wait for all work of `other`. Errors name `operation`, the call of the user.
    fn wait_stream_for<O: Stream<Backend = Host>>(
        &self,
        operation: &'static str,
        other: &O,
    ) -> Result<(), HostError> {
        if self.is_same(other) {
            return Ok(());
        }
        let event = match downcast(other) {
            Some(other) => other.record_event_for(operation)?,
            None => other.record_event()?,
        };
        self.wait_event_for(operation, &event)
    }

    /// Creates the error of a submission that failed.
    fn submit_error(&self, operation: &'static str, error: SubmitError) -> HostError {
        match error {
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

/// Returns `other` as a [`HostStream`]. Returns `None` for a wrapper type around one.
fn downcast<O: Stream>(other: &O) -> Option<&HostStream> {
    (other as &dyn Any).downcast_ref()
}

// SAFETY:
// - The items of a queue complete in the order of their submission. Each closure is dropped before
//   the progress reaches its number, with a release by the runner and an acquire by the caller.
// - `query` and `synchronize` compare the progress with the last number submitted at the call.
// - A fault is an error in both.
// - `wait_event` submits the record itself. The queue does not continue before that is complete,
//   even if the event is recorded again or dropped.
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
        let last = self.ensure_usable(OPERATION)?;
        self.queue().progress.check(last).map_err(|fault| HostError::fault(OPERATION, fault))
    }

    fn synchronize(&self) -> Result<(), HostError> {
        const OPERATION: &str = "Stream::synchronize";
        task::ensure_outside_task(OPERATION)?;
        let last = self.ensure_usable(OPERATION)?;
        let help = executor()?.help;
        self.queue().wait_for(last, help).map_err(|error| HostError::wait_error(OPERATION, error))
    }

    fn record(&self, event: &HostEvent) -> Result<(), HostError> {
        const OPERATION: &str = "Stream::record";
        use gpu_stream_core::Event as _;
        self.device().check_can_record(event.device(), OPERATION)?;
        process_state::ensure_not_forked()?;
        event.record_with(self.owner.clone(), || {
            let (number, timestamp) = if event.options().is_timed() {
                let timestamp = Arc::new(Timestamp::default());
                let number = self.queue().submit_timestamp(Arc::clone(&timestamp));
                (self.number_or_error(OPERATION, number)?, Some(timestamp))
            } else {
                (self.ensure_usable(OPERATION)?, None)
            };
            Ok(Record::new(Arc::clone(self.queue()), number, timestamp))
        })
    }

    fn wait_event(&self, event: &HostEvent) -> Result<(), HostError> {
        self.wait_event_for("Stream::wait_event", event)
    }

    fn record_event(&self) -> Result<HostEvent, HostError> {
        self.record_event_for("Stream::record_event")
    }

    fn wait_stream<O: Stream<Backend = Host>>(&self, other: &O) -> Result<(), HostError> {
        self.wait_stream_for("Stream::wait_stream", other)
    }

    fn fork<'a, I, O>(&self, branches: I) -> Result<(), HostError>
    where
        I: IntoIterator<Item = &'a O>,
        O: Stream<Backend = Host>,
    {
        const OPERATION: &str = "Stream::fork";
        let (mut event, mut outcome) = (None, Ok(()));
        for branch in branches {
            if branch.is_same(self) {
                continue;
            }
            let event = match &event {
                Some(event) => event,
                None => event.insert(self.record_event_for(OPERATION)?),
            };
            outcome = outcome.and(match downcast(branch) {
                Some(branch) => branch.wait_event_for(OPERATION, event),
                None => branch.wait_event(event),
            });
        }
        outcome
    }

    fn join<'a, I, O>(&self, branches: I) -> Result<(), HostError>
    where
        I: IntoIterator<Item = &'a O>,
        O: Stream<Backend = Host>,
    {
        let wait = |branch| self.wait_stream_for("Stream::join", branch);
        branches.into_iter().map(wait).fold(Ok(()), Result::and)
    }

    fn priority(&self) -> Result<i32, HostError> {
        process_state::ensure_not_forked()?;
        Ok(self.queue().level().priority())
    }

    fn id(&self) -> Result<u64, HostError> {
        process_state::ensure_not_forked()?;
        Ok(self.queue().id())
    }

    /// Returns [`CaptureStatus::None`]: the host has no graphs.
    fn capture_status(&self) -> Result<CaptureStatus, HostError> {
        process_state::ensure_not_forked()?;
        Ok(CaptureStatus::None)
    }

    /// Submits `func`, with the rules of [`HostStream::launch`].
    fn launch_host_func(&self, func: HostFunc) -> Result<(), HostError> {
        self.number_or_error("Stream::launch_host_func", self.queue().launch(func)).map(drop)
    }
}

/// Compares the device and the handle.
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

/// The owner of a stream that this backend created. Destroys the stream on drop.
struct OwnedStream {
    executor: &'static Executor,
    handle: usize,
}

impl Drop for OwnedStream {
    fn drop(&mut self) {
        self.executor.streams.destroy(self.handle);
    }
}

/// Creates a stream, and the owner that destroys it.
fn create(
    device: Device,
    options: StreamOptions,
    origin: Origin,
    operation: &'static str,
) -> Result<(Arc<StreamEntry>, Owner), HostError> {
    let device = device::ordinal(device, operation)?;
    check_stream(options, operation)?;
    let executor = executor()?;
    let entry = executor.streams.create(&executor.pool, device, options, origin);
    let owner = Arc::new(OwnedStream { executor, handle: entry.handle() });
    Ok((entry, KeepAlive::owner(owner).into()))
}

/// Creates a stream of [`Backend::new_stream`](gpu_stream_core::Backend::new_stream).
pub(crate) fn new_stream(device: Device, options: StreamOptions) -> Result<HostStream, HostError> {
    let (entry, owner) = create(device, options, Origin::Owned, "Backend::new_stream")?;
    Ok(HostStream { raw: RawStream::from_bits(entry.handle()), entry, owner })
}

/// Returns the default stream of `device`, with `owner`.
pub(crate) fn default_stream(
    device: Device,
    operation: &'static str,
    owner: Owner,
) -> Result<HostStream, HostError> {
    let ordinal = device::ordinal(device, operation)?;
    let executor = executor()?;
    let entry = executor.streams.default_stream(ordinal).ok_or(ContractError::InvalidDevice {
        operation,
        given: device,
        count: executor.devices,
    })?;
    Ok(HostStream { entry, raw: RawStream::DEFAULT, owner })
}

/// Returns the calling thread's own stream on `device`. The first call creates it.
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
    let reason = "the thread is exiting, and its default stream was destroyed; use another stream";
    let stream =
        found.map_err(|_| ContractError::NotPermitted { operation: OPERATION, reason })??;
    // SAFETY: the stream belongs to this thread, and every other wrapper of it is in this thread's
    // `STREAMS` or in a `PerThread`.
    Ok(unsafe { PerThread::new_unchecked(stream) })
}

/// Wraps the stream with the handle `raw`.
pub(crate) fn wrap(
    raw: RawStream<Host>,
    device: Option<Device>,
    owner: Owner,
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
            let streams = &executor()?.streams;
            let entry = streams.find(raw.to_bits()).ok_or_else(|| {
                invalid(if streams.is_per_thread(raw.to_bits()) {
                    "is the id of a per-thread stream, which is not a handle; use \
                     `Backend::per_thread_stream` on that thread"
                } else {
                    "is not a live stream of the host backend; pass a handle of this backend \
                     that has not been destroyed"
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
