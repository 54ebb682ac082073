//! What a test needs from a backend beyond the contract: the trait [`Fixture`].

use std::sync::Arc;

use gpu_stream_core::dynamic::DynBackend;
use gpu_stream_core::{
    Backend, BackendKind, Device, ErrorOf, EventOptions, Stream, StreamOptions, StreamOwner,
};

use crate::awaiting::{self, BoxedDone};
use crate::retention::{BoxedReclaimer, Retention};
use crate::{Outcome, Verdict};

/// The backend of fixture `F`.
pub type BackendOf<F> = <F as Fixture>::Backend;

/// The stream type of fixture `F`'s backend.
pub type StreamOf<F> = <<F as Fixture>::Backend as Backend>::Stream;

/// The event type of fixture `F`'s backend.
pub type EventOf<F> = <<F as Fixture>::Backend as Backend>::Event;

/// The raw stream handle of fixture `F`'s backend.
pub type RawStreamOf<F> = <<F as Fixture>::Backend as Backend>::RawStream;

/// The raw event handle of fixture `F`'s backend.
pub type RawEventOf<F> = <<F as Fixture>::Backend as Backend>::RawEvent;

/// Which calls a capture forbids, and to which threads.
///
/// Origin:
/// [`CUstreamCaptureMode`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__STREAM.html),
/// whose numbers these are, and HIP's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CaptureMode {
    /// Unsafe calls of any thread break the capture.
    Global = 0,
    /// Unsafe calls of the thread that began it break the capture.
    ThreadLocal = 1,
    /// Unsafe calls are allowed.
    Relaxed = 2,
}

impl CaptureMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Global, Self::ThreadLocal, Self::Relaxed];
}

const NO_EVENTS: &str = "the fixture makes no events without the backend";
const NO_GRAPHS: &str = "the backend has no graphs";

/// The test tools of a backend: work that a stream can do, a way to hold it back, and streams that
/// the backend did not make.
///
/// The contract is about *when*, so a case needs work whose place in time is visible. That is a
/// number on a device that a stream stores and copies ([`Data`](Self::Data)). A
/// [`Gate`](Self::Gate) holds a stream's later work back until the case opens it. Order is then
/// shown by data that would be wrong, and by data that has not changed while a gate is shut. No
/// case decides anything by the clock.
///
/// # What a fixture promises the cases
/// - Nothing but [`foreign_works`](Fixture::foreign_works) and [`finishes`](Fixture::finishes)
///   waits for a stream, since a gate may be shut on any of them, the default stream included.
///   Allocating and freeing wait for the whole device on some drivers. So take numbers from memory
///   that was allocated beforehand, and free it at the end.
/// - Work, gates, foreign streams and events, and captures use the driver directly, so that a
///   broken wrapper does not break them too.
///
/// # What the cases promise a fixture
/// - Gates are opened in the order in which they were made. While one is shut, no work after a
///   later one is expected to *finish*. So gates may all block one thread, as host functions do on
///   some vendors.
/// - Data and the stream that works on it are on one device; [`copy`](Self::copy) is between data
///   of one device.
/// - If a stream is expected to continue, at most [`independent`](Self::independent) others are
///   held back: GPUs map streams onto a small number of hardware queues.
/// - Where [`destroy_waits`](Self::destroy_waits) is `true`, no stream is destroyed while a gate
///   holds its work back, unless the case fails.
/// - Cases run one at a time, each on a thread of its own that has never called the driver before.
/// - Values may be dropped in any order, even while gates are shut.
///
/// # Optional
/// Foreign events, captures, streams in another context, and resets have defaults that skip the cases
/// about them. A skip is counted, and printed with its reason.
///
/// The crate's documentation has a worked example.
pub trait Fixture: Send + Sync + 'static {
    /// The backend under test.
    type Backend: Backend;

    /// A stream made by the bare driver, without the wrapper under test. It synchronises with the
    /// default stream only if its options say `blocking`. Dropping it destroys it, and work that
    /// was submitted to it still runs to its end.
    type Foreign: StreamOwner<Self::Backend>;

    /// A gate, which holds back what is submitted to one stream after it. Dropping it opens it.
    type Gate: Send + Sync + 'static;

    /// A `u32` that work on one device can access. Dropping it with work pending is allowed.
    type Data: Send + Sync + 'static;

    /// Returns the devices to test. Cases that need two are skipped if there is one.
    ///
    /// # Errors
    /// As [`Backend::devices`].
    fn devices(&self) -> Result<Vec<Device>, Verdict> {
        Ok(Self::Backend::devices()?)
    }

    /// Returns the backend that the devices belong to. It is the one under test, unless that
    /// forwards its calls to others, as the run-time choice does.
    fn device_backend(&self) -> BackendKind {
        Self::Backend::KIND
    }

    /// Returns the handle with this integer value.
    fn raw_stream(&self, bits: usize) -> RawStreamOf<Self>;

    /// Makes a stream with the bare driver.
    ///
    /// # Errors
    /// What the driver says.
    fn foreign(&self, device: Device, options: StreamOptions) -> Result<Self::Foreign, Verdict>;

    /// Submits work to `foreign` with the bare driver and waits for it, to show that the stream was
    /// not destroyed. So it waits for all earlier work, too.
    ///
    /// # Errors
    /// [`Verdict::Failed`] if the stream is gone.
    fn foreign_works(&self, foreign: &Self::Foreign) -> Outcome;

    /// Shuts a gate on `stream`: work that is submitted from now on is held back. Does not block.
    ///
    /// Use what is *not* under test where you can: the driver's own call on the raw handle.
    ///
    /// # Errors
    /// What the driver says.
    fn gate<S: Stream<Backend = Self::Backend>>(&self, stream: &S) -> Result<Self::Gate, Verdict>;

    /// Opens the gate. A second call does nothing.
    fn open(&self, gate: &Self::Gate);

    /// Creates a number on `device`, which holds `value` before this returns.
    ///
    /// # Errors
    /// What the driver says.
    fn data(&self, device: Device, value: u32) -> Result<Self::Data, Verdict>;

    /// Submits a store of `value` into `data` to `stream`. Does not block.
    ///
    /// # Errors
    /// What the driver says.
    fn store<S: Stream<Backend = Self::Backend>>(
        &self,
        stream: &S,
        data: &Self::Data,
        value: u32,
    ) -> Outcome;

    /// Submits a copy of what `from` holds by then into `to`, to `stream`. Does not block.
    ///
    /// # Errors
    /// What the driver says.
    fn copy<S: Stream<Backend = Self::Backend>>(
        &self,
        stream: &S,
        from: &Self::Data,
        to: &Self::Data,
    ) -> Outcome;

    /// Returns what `data` holds at this moment, without waiting for any stream or gate.
    ///
    /// # Errors
    /// What the driver says.
    fn load(&self, data: &Self::Data) -> Result<u32, Verdict>;

    /// Gives all work of `streams` that nothing holds back the chance to run. The streams are named
    /// in the order in which they depend on each other.
    ///
    /// A case calls it before it checks that held work was really held. An early return can miss a
    /// broken backend and never fails a correct one. So best effort is enough: yielding for some
    /// milliseconds is fine.
    fn settle(&self, streams: &[&StreamOf<Self>]);

    /// Returns `true` if all work of `streams` finishes although some *other* stream is held back.
    /// The streams are named in the order in which they depend on each other.
    ///
    /// A backend that can tell that a stream is stuck returns `false`. Otherwise the call blocks,
    /// and the runner's time limit ends the case.
    ///
    /// # Errors
    /// What the backend says.
    fn finishes(&self, streams: &[&StreamOf<Self>]) -> Result<bool, Verdict> {
        for stream in streams {
            stream.synchronize()?;
        }
        Ok(true)
    }

    /// Submits work that fails to `stream`, and to no other stream.
    ///
    /// # Errors
    /// [`Verdict::inapplicable`] where failing work would end more than its stream, such as a CUDA
    /// context.
    fn fault(&self, stream: &StreamOf<Self>) -> Outcome;

    /// Returns `true` if the backend validates a handle before it uses it. A destroyed or made-up
    /// handle is then an error and not a crash. The vendors do not validate; then the cases with
    /// such handles are skipped.
    fn detects_bad_handles(&self) -> bool {
        false
    }

    /// Returns `true` if the backend can tell that it is called from inside work that a stream is
    /// running.
    fn detects_calls_from_work(&self) -> bool {
        false
    }

    /// Returns `true` if a query of a stream is `true` as soon as its work is done, and not after some repetitions.
    fn queries_are_exact(&self) -> bool {
        true
    }

    /// Returns `true` if an event has a handle before its first record, and the same one after each record.
    fn events_keep_their_handle(&self) -> bool {
        true
    }

    /// Returns `true` if dropping a busy stream, the backend's or a foreign one, blocks until its
    /// work is done. The cases then open their gates first.
    fn destroy_waits(&self) -> bool {
        false
    }

    /// Returns how many streams can be held back at the same time while another one still
    /// continues.
    fn independent(&self) -> usize {
        4
    }

    /// Returns `true` if work that a stream runs may submit more work. A GPU's host functions may
    /// not call its API. The default is `true` only if no number of held streams can block another
    /// one.
    fn work_may_submit(&self) -> bool {
        self.independent() == usize::MAX
    }

    /// Returns the object-safe form of the backend, for the cases about it. `None` skips them.
    fn dynamic(&self) -> Option<&dyn DynBackend> {
        None
    }

    /// Returns a new reclaimer, for the cases about retained values. The suite's mutants override it.
    fn reclaimer(&self) -> Arc<dyn Retention<Self::Backend>> {
        Arc::new(BoxedReclaimer::new())
    }

    /// Returns a future of the work that `stream` has so far, for the cases about awaited streams. The
    /// suite's mutants override it.
    ///
    /// # Errors
    /// As [`DoneExt::done`](gpu_stream_async::DoneExt::done).
    fn done<S: Stream<Backend = Self::Backend>>(
        &self,
        stream: &S,
    ) -> Result<BoxedDone<Self::Backend>, ErrorOf<S>> {
        awaiting::done(stream)
    }

    /// Makes `device` the calling thread's current one, by the bare driver. Does nothing where the
    /// backend has no current device.
    ///
    /// # Errors
    /// What the driver says.
    fn make_current(&self, device: Device) -> Outcome;

    /// Returns the calling thread's state in the driver, as text to compare: current device or
    /// context, last error. The text is empty where the backend keeps none.
    ///
    /// # Errors
    /// What the driver says.
    fn thread_state(&self) -> Result<String, Verdict>;

    /// Returns the event handle with this integer value. Optional.
    ///
    /// # Errors
    /// [`Verdict::inapplicable`] where the fixture has no foreign events.
    fn raw_event(&self, bits: usize) -> Result<RawEventOf<Self>, Verdict> {
        let _ = bits;
        Err(Verdict::inapplicable(NO_EVENTS))
    }

    /// Makes an event with the bare driver. Optional. The case calls
    /// [`destroy_event`](Self::destroy_event) after the last use.
    ///
    /// # Errors
    /// What the driver says.
    fn create_event(
        &self,
        device: Device,
        options: EventOptions,
    ) -> Result<RawEventOf<Self>, Verdict> {
        let _ = (device, options);
        Err(Verdict::inapplicable(NO_EVENTS))
    }

    /// Destroys an event of [`create_event`](Self::create_event) with the bare driver. Does not block.
    ///
    /// # Errors
    /// [`Verdict::Failed`] if the event is gone.
    fn destroy_event(&self, event: RawEventOf<Self>) -> Outcome {
        let _ = event;
        Err(Verdict::inapplicable(NO_EVENTS))
    }

    /// Records `event`, a foreign one or the backend's, on `stream` with the bare driver.
    ///
    /// # Errors
    /// [`Verdict::Failed`] if the event is gone, else what the driver says.
    fn record_bare<S>(&self, stream: &S, event: RawEventOf<Self>) -> Outcome
    where
        S: Stream<Backend = Self::Backend>,
    {
        let _ = (stream, event);
        Err(Verdict::inapplicable(NO_EVENTS))
    }

    /// Returns `true` if the bare driver says that `event` is complete.
    ///
    /// # Errors
    /// [`Verdict::Failed`] if the event is gone, else what the driver says.
    fn query_bare(&self, event: RawEventOf<Self>) -> Result<bool, Verdict> {
        let _ = event;
        Err(Verdict::inapplicable(NO_EVENTS))
    }

    /// Makes a stream with the bare driver in a new context, which differs from that of the
    /// backend's own streams. Optional.
    ///
    /// # Errors
    /// What the driver says.
    fn foreign_elsewhere(&self, device: Device) -> Result<Self::Foreign, Verdict> {
        let _ = device;
        Err(Verdict::inapplicable("the backend has one context for each device"))
    }

    /// Begins a capture of `stream` with the bare driver. Optional.
    ///
    /// # Errors
    /// What the driver says.
    fn begin_capture<S>(&self, stream: &S, mode: CaptureMode) -> Outcome
    where
        S: Stream<Backend = Self::Backend>,
    {
        let _ = (stream, mode);
        Err(Verdict::inapplicable(NO_GRAPHS))
    }

    /// Returns `true` if the bare driver says that `stream` is in a capture that is not broken.
    ///
    /// # Errors
    /// What the driver says.
    fn is_capturing<S>(&self, stream: &S) -> Result<bool, Verdict>
    where
        S: Stream<Backend = Self::Backend>,
    {
        let _ = stream;
        Err(Verdict::inapplicable(NO_GRAPHS))
    }

    /// Ends the capture of `stream` with the bare driver. With `launch`, submits the graph to
    /// `stream` once. Returns the number of nodes of the graph, where the driver knows it.
    ///
    /// # Errors
    /// [`Verdict::Failed`] if the capture was broken, or left a stream unjoined.
    fn end_capture<S>(&self, stream: &S, launch: bool) -> Result<Option<usize>, Verdict>
    where
        S: Stream<Backend = Self::Backend>,
    {
        let _ = (stream, launch);
        Err(Verdict::inapplicable(NO_GRAPHS))
    }

    /// Fails with [`Verdict::inapplicable`] where the vendor's own calls cannot end a capture in which
    /// a branch forks again.
    ///
    /// # Errors
    /// The reason.
    fn captures_nested_forks(&self) -> Outcome {
        Ok(())
    }

    /// Resets `device` with the bare driver, as another library may. Optional. Nothing that was
    /// made on the device before can be used afterwards, not even the fixture's own.
    ///
    /// # Errors
    /// What the driver says.
    fn reset(&self, device: Device) -> Outcome {
        let _ = device;
        Err(Verdict::inapplicable("the backend has no context that others can reset"))
    }

    /// Uses the device after a [`reset`](Self::reset), as another library does that got over it. The
    /// backend under test is not told.
    ///
    /// # Errors
    /// What the driver says.
    fn use_again(&self, device: Device) -> Outcome {
        let _ = device;
        Err(Verdict::inapplicable("the backend has no context that others can reset"))
    }
}
