//! What a test works with: [`Kit`].

use std::fmt;
use std::sync::Arc;

use gpu_stream::{BackendInfo, Device, DeviceInfo, EventOptions, Stream, StreamOptions};
use gpu_stream_conformance::Fixture;

use crate::findings::Findings;
use crate::place::at_caller;
use crate::target::Target;
use crate::{Capture, CaptureMode, ForeignEvent, Number, TestBackend, TestResult, Verdict};

/// The owner of a foreign stream of backend `B`. Its drop destroys the stream.
pub type ForeignOf<B> = <<B as TestBackend>::Fixture as Fixture>::Foreign;

/// The devices of a backend, and what a test needs beyond the contract: streams and events that another
/// library made, gates, data that proves order, captures, work that fails.
///
/// Streams, events and gates are made by the driver's own calls and not by the backend. On the host, by
/// [`gpu_stream::host::raw`].
///
/// No call blocks, except where its docs say so. A call that the backend or the machine cannot carry out
/// returns a skip: with `?` the test is then counted as skipped, with the reason.
pub struct Kit<B: TestBackend> {
    fixture: Arc<B::Fixture>,
    target: Target,
    info: BackendInfo,
    findings: Findings,
}

impl<B: TestBackend> Kit<B> {
    pub(crate) fn new(fixture: B::Fixture, target: Target, info: BackendInfo) -> Self {
        Kit { fixture: Arc::new(fixture), target, info, findings: B::findings() }
    }

    pub(crate) fn findings(&self) -> &Findings {
        &self.findings
    }

    /// Returns the name of the variant of the test: `host`, `cuda`, `cuda_sim`, `hip`, `hip_sim` or `opencl`, or the
    /// name of a checked variant: `checked_host`, `checked_cuda_sim`, `checked_hip_sim` or `checked_opencl`.
    pub fn name(&self) -> &'static str {
        self.target.name()
    }

    /// Returns `true` if the backend is a `gpu_stream::Checked`, whose findings fail the test.
    pub fn is_checked(&self) -> bool {
        self.findings.is_checked()
    }

    /// Allows findings of a kind from now on, for a test that makes them on purpose. The kind has its name in reports,
    /// as in `kit.allow("not-joined")?`. Does nothing where the backend has no check.
    ///
    /// # Errors
    /// A failure in the checked variants if no kind has the name.
    #[track_caller]
    pub fn allow(&self, kind: &str) -> TestResult {
        self.findings.allow(kind)
    }

    /// Returns `true` if a simulator stands for the GPU. Streams are then ordered as on a GPU, and kernels
    /// do not compute.
    pub fn is_simulated(&self) -> bool {
        self.target.is_simulated()
    }

    /// Returns version, library and devices of the backend.
    pub fn info(&self) -> &BackendInfo {
        &self.info
    }

    /// Returns the first device.
    pub fn device(&self) -> Device {
        self.info.devices[0].device
    }

    /// Returns all devices, of which there is at least one.
    pub fn devices(&self) -> &[DeviceInfo] {
        &self.info.devices
    }

    /// Returns the second device. The host and the simulators have two, and PoCL has as many as `POCL_DEVICES` names.
    ///
    /// # Errors
    /// A skip if there is one device. `GPU_STREAM_REQUIRE=cuda:2` makes each test fail then.
    pub fn second_device(&self) -> Result<Device, Verdict> {
        let second = self.info.devices.get(1).map(|info| info.device);
        second.ok_or_else(|| Verdict::needs_devices(2))
    }

    /// Creates a stream of the first device with the backend.
    ///
    /// # Errors
    /// As [`Backend::new_stream`](gpu_stream::Backend::new_stream).
    #[track_caller]
    pub fn new_stream(&self) -> Result<B::Stream, Verdict> {
        Ok(at_caller(|| B::new_stream(self.device(), StreamOptions::new()))?)
    }

    /// Creates a stream of the first device without the backend, and wraps it. The wrapper and its clones
    /// keep it alive.
    ///
    /// # Errors
    /// The driver's error, or that of
    /// [`Backend::stream_from_owner`](gpu_stream::Backend::stream_from_owner).
    #[track_caller]
    pub fn foreign_stream(&self) -> Result<B::Stream, Verdict> {
        let owner = self.foreign(self.device(), StreamOptions::new())?;
        Ok(at_caller(|| B::stream_from_owner(Arc::new(owner), None))?)
    }

    /// Creates a stream without the backend, and does not wrap it. For a test that wraps it itself:
    /// [`StreamOwner::raw_stream`](gpu_stream::StreamOwner::raw_stream) returns the handle.
    ///
    /// # Errors
    /// The driver's error.
    pub fn foreign(&self, device: Device, options: StreamOptions) -> Result<ForeignOf<B>, Verdict> {
        self.fixture.foreign(device, options)
    }

    /// Submits work to a foreign stream with the driver's own call, to show that the stream was not
    /// destroyed. Blocks until all work of the stream is done.
    ///
    /// # Errors
    /// A failure if the stream is gone. A crash of the driver counts as one, too.
    pub fn check_alive(&self, foreign: &ForeignOf<B>) -> TestResult {
        self.fixture.foreign_works(foreign)
    }

    /// Creates an event of the first device without the backend. [`ForeignEvent`] is its owner.
    ///
    /// # Errors
    /// The driver's error, or a skip on OpenCL, where only a command makes an event.
    pub fn foreign_event(&self, options: EventOptions) -> Result<Arc<ForeignEvent<B>>, Verdict> {
        ForeignEvent::new(&self.fixture, self.device(), options)
    }

    /// Shuts a gate on `stream`: work that is submitted from now on waits until the gate is opened or
    /// dropped, also by a panic. Bind it to a name, as in `let _gate = …`: a `let _ = …` drops it, and so opens
    /// it at once.
    ///
    /// A test of a wait needs a gate on the stream that is waited for.
    ///
    /// Open gates in the order in which you made them. While one is shut, expect no work behind a later
    /// one to finish: on some drivers one thread serves all gates. GPUs also map streams onto a few
    /// hardware queues, so expect at most four streams to be held back while another continues.
    ///
    /// # Errors
    /// The driver's error.
    #[track_caller]
    pub fn gate<S: Stream<Backend = B>>(&self, stream: &S) -> Result<Gate<B>, Verdict> {
        let gate = at_caller(|| self.fixture.gate(stream))?;
        Ok(Gate { gate, fixture: Arc::clone(&self.fixture) })
    }

    /// Creates a number that streams of all devices store and copy, and that the test reads at any time. On OpenCL,
    /// whose memory belongs to a context, only streams of the first device can.
    ///
    /// # Errors
    /// The driver's error.
    pub fn number(&self, value: u32) -> Result<Number<B>, Verdict> {
        Number::new(&self.fixture, self.device(), value)
    }

    /// Gives all work of `streams` that no gate holds back the chance to run. Name the streams in the
    /// order in which they depend on each other.
    ///
    /// Call it before you check that held work has not run. An early return can miss a mistake of the
    /// library under test, and never fails a correct one. Blocks for some milliseconds on a GPU.
    ///
    /// A check does not take it for an order: the work need not be done.
    #[track_caller]
    pub fn settle(&self, streams: &[&B::Stream]) {
        // A simulated GPU is made of threads, which a busy machine schedules late.
        let rounds = if self.target.is_simulated() { 5 } else { 1 };
        at_caller(|| (0..rounds).for_each(|_| self.fixture.settle(streams)));
    }

    /// Begins a capture of `stream` with the driver's own call, as a caller does that records a graph.
    ///
    /// # Errors
    /// A skip where the backend has no graphs, as the host and OpenCL; or the driver's error.
    #[track_caller]
    pub fn capture<S>(&self, stream: &S, mode: CaptureMode) -> Result<Capture<B, S>, Verdict>
    where
        S: Stream<Backend = B> + Clone,
    {
        at_caller(|| Capture::begin(&self.fixture, stream, mode))
    }

    /// Submits work that fails to `stream`. On CUDA it ends the whole context; the process of the test
    /// has no other use for it.
    ///
    /// # Errors
    /// A skip on HIP and OpenCL, where it would end the process.
    #[track_caller]
    pub fn fault(&self, stream: &B::Stream) -> TestResult {
        at_caller(|| self.fixture.fault(stream))
    }
}

impl<B: TestBackend> fmt::Debug for Kit<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kit").field("name", &self.name()).field("info", &self.info).finish()
    }
}

/// A gate that holds a stream back: [`Kit::gate`]. Its drop opens it.
#[must_use = "the drop opens the gate"]
pub struct Gate<B: TestBackend> {
    /// Its drop opens it, as every fixture promises.
    gate: <B::Fixture as Fixture>::Gate,
    fixture: Arc<B::Fixture>,
}

impl<B: TestBackend> Gate<B> {
    /// Opens the gate. A second call does nothing.
    pub fn open(&self) {
        self.fixture.open(&self.gate);
    }
}

impl<B: TestBackend> fmt::Debug for Gate<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}
