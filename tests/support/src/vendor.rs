//! What the shared tests have to know of a backend beyond the contract: [`Vendor`].

use std::ffi::{c_int, c_void};
use std::path::PathBuf;

use gpu_stream_core::{Backend, Device, EventOptions, PlainHandles, RawStream, StreamOptions};
use gpu_stream_faults::Controls;

use crate::Children;

/// Any handle of a driver.
pub type Ptr = *mut c_void;
/// The stream type of a vendor's backend.
pub type StreamOf<V> = <<V as Vendor>::Backend as Backend>::Stream;
/// The event type of a vendor's backend.
pub type EventOf<V> = <<V as Vendor>::Backend as Backend>::Event;
/// The error type of a vendor's backend.
pub type ErrorOf<V> = <<V as Vendor>::Backend as Backend>::Error;

/// The capture modes: global, thread-local, relaxed.
pub const MODES: [c_int; 3] = [0, 1, 2];

/// A vendor's backend, and direct driver calls without it.
///
/// The direct calls panic if they fail. Streams, memory and graphs are never freed, unless a function
/// says otherwise. Addresses are those of numbers in the device's memory.
///
/// A *place* is where a stream can be: a context of the first device, or a device. Place 0 is the primary
/// context of the first device.
pub trait Vendor: Sized + 'static {
    /// The backend.
    type Backend: PlainHandles;
    /// Holds the later work of a stream back until it is dropped.
    type Gate: Send + Sync;
    /// A place that is current until this is dropped.
    type Entered;
    /// A captured graph. The drop destroys it.
    type Captured;
    /// An executable graph.
    type Graph;

    /// The environment variable that names the driver's library.
    const LIBRARY: &'static str;
    /// The child processes of the vendor's test programs.
    const CHILDREN: Children;
    /// The driver's function that makes an event.
    const CREATES_EVENT: &'static str;
    /// The driver's function that records an event.
    const RECORDS: &'static str;
    /// The driver's function that makes a stream wait for an event.
    const WAITS: &'static str;
    /// The driver's function that queries a stream.
    const QUERIES: &'static str;

    /// `true` if the backend may allocate in a call that finds work pending.
    const PENDING_ALLOCATES: bool = false;

    /// The number of allocations of one call of `record_event`.
    const RECORD_EVENT_ALLOCATES: usize = 0;

    /// Prepares a process that has one thread: loads simulated devices if there are no real ones.
    fn prepare();

    /// Prepares a process over a library that [`LIBRARY`](Self::LIBRARY) names, as [`prepare`](Self::prepare).
    fn prepare_child() {
        Self::prepare();
    }

    /// Returns the path of a driver library that has a fault plan, and runs without a real device.
    ///
    /// # Errors
    /// The reason if there is none.
    fn faulty_library() -> Result<PathBuf, String>;

    /// Returns the number of places.
    fn places() -> usize;

    /// Makes a place current.
    fn enter(place: usize) -> Self::Entered;

    /// Makes no context current, where the driver has contexts.
    fn leave() {}

    /// Returns the calling thread's current place, capture mode and last error, as text.
    fn thread_state() -> String;

    /// Makes a stream. Flags 1: it does not synchronize with the default stream.
    fn new_stream(place: usize, flags: u32, priority: i32) -> Ptr;

    /// Makes an event. Flags 2: without timing.
    fn new_event(place: usize, flags: u32) -> Ptr;

    /// Records an event of place 0.
    fn record(event: Ptr, stream: Ptr);

    /// Shuts a gate on a stream.
    fn gate(stream: Ptr) -> Self::Gate;

    /// Opens a gate.
    fn open(gate: &Self::Gate);

    /// Returns `true` if the driver gives itself out as another version.
    fn plays_another_version() -> bool {
        false
    }

    /// Waits for the work of a stream.
    fn synchronize(stream: Ptr);

    /// Allocates numbers at the current place, all 0.
    fn words(count: usize) -> usize;

    /// Zeroes numbers.
    fn clear(address: usize, count: usize);

    /// Returns numbers. Earlier work of other streams may be pending.
    fn read(address: usize, count: usize) -> Vec<u32>;

    /// Makes the stream store a number, below [`rounds`](Self::rounds) plus 1,000.
    fn store(stream: Ptr, to: usize, value: u32);

    /// Makes the stream store a number after work that takes about as long as a launch.
    fn store_slowly(stream: Ptr, to: usize, value: u32);

    /// Makes the stream copy a number.
    fn copy(stream: Ptr, to: usize, from: usize);

    /// Begins a capture in one of [`MODES`].
    fn begin_capture(stream: Ptr, mode: c_int);

    /// Returns the capture status: 0 is none, 1 active, 2 broken.
    ///
    /// # Errors
    /// The driver's code.
    fn capture_status(stream: Ptr) -> Result<c_int, c_int>;

    /// Ends a capture.
    ///
    /// # Errors
    /// The driver's code, if the capture was broken.
    fn end_capture(stream: Ptr) -> Result<Self::Captured, c_int>;

    /// Makes a graph of `stream`'s context executable.
    fn instantiate(captured: Self::Captured, stream: Ptr) -> Self::Graph;

    /// Launches a graph.
    fn launch(graph: &Self::Graph, stream: Ptr);

    /// Makes all calls that are allowed beside the capture of `stream`. Calls `check` after each step.
    fn beside_a_capture(stream: RawStream<Self::Backend>, check: &dyn Fn(&str));

    /// Returns `true` if the driver has stream ids.
    fn has_stream_ids() -> bool {
        true
    }

    /// Returns `true` if the default stream's calls report the capture of a blocking stream.
    fn default_stream_sees_captures() -> bool {
        true
    }

    /// Returns `true` if a stream that was drawn into a capture is free after the capture's end.
    fn releases_drawn_streams() -> bool {
        true
    }

    /// Returns `true` if the driver may reject an event that was recorded before the stream's capture.
    fn confuses_earlier_events() -> bool {
        false
    }

    /// Returns `true` if the driver has interprocess events.
    fn has_interprocess() -> bool {
        true
    }

    /// Returns the bytes of an event's interprocess handle.
    ///
    /// # Errors
    /// The backend's errors.
    fn ipc_handle(event: &EventOf<Self>) -> Result<[u8; 64], ErrorOf<Self>>;

    /// Opens an interprocess handle on the first device.
    ///
    /// # Errors
    /// The backend's errors.
    ///
    /// # Safety
    /// The process that made the event keeps it until the result is dropped.
    unsafe fn ipc_open(bytes: [u8; 64]) -> Result<EventOf<Self>, ErrorOf<Self>>;

    /// Returns `GPU_STREAM_ROUNDS`, or a number of rounds that takes about a second.
    ///
    /// # Panics
    /// If the variable is not a number.
    fn rounds() -> u32 {
        let rounds = std::env::var("GPU_STREAM_ROUNDS").ok();
        rounds.map_or(2_000, |text| text.parse().expect("GPU_STREAM_ROUNDS is a number"))
    }

    /// Returns the controls of [`faulty_library`](Self::faulty_library) in a child process over it.
    ///
    /// # Panics
    /// If this is not such a process.
    fn controls() -> &'static Controls {
        let library = std::env::var_os(Self::LIBRARY).expect("a library with a fault plan");
        Box::leak(Box::new(Controls::of(library).expect("a library with a fault plan")))
    }
}

/// Returns the first device.
///
/// # Panics
/// If there is none.
pub fn device<V: Vendor>() -> Device {
    V::Backend::device(0).expect("device 0")
}

/// Creates a stream on the first device.
///
/// # Panics
/// If the backend rejects it.
#[track_caller]
pub fn own_stream<V: Vendor>() -> StreamOf<V> {
    V::Backend::new_stream(device::<V>(), StreamOptions::new()).expect("a stream")
}

/// Creates an event on the first device.
///
/// # Panics
/// If the backend rejects it.
#[track_caller]
pub fn own_event<V: Vendor>(options: EventOptions) -> EventOf<V> {
    V::Backend::new_event(device::<V>(), options).expect("an event")
}

/// Wraps a stream that the tests do not destroy before the wrapper.
///
/// # Panics
/// If the backend rejects it.
#[track_caller]
pub fn wrap<V: Vendor>(stream: Ptr) -> StreamOf<V> {
    // SAFETY: the tests' streams are alive until the process ends.
    unsafe { V::Backend::stream_from_raw(RawStream::from_ptr(stream), None) }.expect("a stream")
}

/// Returns the handle of a stream.
pub fn ptr<V: Vendor>(stream: &StreamOf<V>) -> Ptr {
    use gpu_stream_core::Stream as _;
    stream.raw().as_ptr()
}

/// An active capture. It belongs to the thread that began it.
///
/// The drop ends it, also in a case that fails. Otherwise the driver would reject calls of later cases.
pub struct Capture<V: Vendor> {
    stream: Ptr,
    mode: c_int,
    has_ended: bool,
    vendor: std::marker::PhantomData<V>,
}

impl<V: Vendor> Capture<V> {
    /// Begins a capture in one of [`MODES`].
    #[track_caller]
    pub fn begin(stream: Ptr, mode: c_int) -> Self {
        V::begin_capture(stream, mode);
        Capture { stream, mode, has_ended: false, vendor: std::marker::PhantomData }
    }

    /// Returns the driver's status: 0 is none, 1 active, 2 broken.
    ///
    /// # Errors
    /// The driver's code.
    pub fn status(&self) -> Result<c_int, c_int> {
        V::capture_status(self.stream)
    }

    /// Panics if the capture is not active. The message names `step`, the last call before.
    #[track_caller]
    pub fn alive(&self, step: &str) {
        let status = self.status();
        assert_eq!(status, Ok(1), "mode {}: the capture is broken after: {step}", self.mode);
    }

    /// Ends the capture.
    ///
    /// # Errors
    /// The driver's code, if the capture was broken.
    pub fn end(mut self) -> Result<V::Captured, c_int> {
        self.has_ended = true;
        V::end_capture(self.stream)
    }

    /// Ends the capture and makes its graph executable. Panics if the capture was broken.
    #[track_caller]
    pub fn graph(self) -> V::Graph {
        let (mode, stream) = (self.mode, self.stream);
        match self.end() {
            Ok(captured) => V::instantiate(captured, stream),
            Err(code) => panic!("mode {mode}: the capture was broken, its end returned {code}"),
        }
    }

    /// Checks that a call is rejected because of the capture, and that the capture survives it.
    #[track_caller]
    pub fn rejects<T, E: gpu_stream_core::Error>(
        &self,
        step: &str,
        result: Result<T, E>,
    ) -> String {
        let text = crate::expect_kind(step, result, gpu_stream_core::ErrorKind::Capturing);
        self.alive(step);
        text
    }
}

impl<V: Vendor> Drop for Capture<V> {
    fn drop(&mut self) {
        if !self.has_ended {
            drop(V::end_capture(self.stream));
        }
    }
}
