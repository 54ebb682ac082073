//! Every call of a backend, on every kind of stream, for tests of what a call leaves behind.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use gpu_stream_core::{
    Backend, BackendKind, Device, ErrorKind, Event, EventOptions, PlainHandles, RawStream, Stream,
    StreamOptions,
};
use gpu_stream_test_drivers::Ptr;

use crate::expect_kind;

/// The stream type of a driver's backend.
type StreamOf<D> = <<D as OperationsDriver>::Backend as Backend>::Stream;
/// The event type of a driver's backend.
type EventOf<D> = <<D as OperationsDriver>::Backend as Backend>::Event;
/// The error type of a driver's backend.
type ErrorOf<D> = <<D as OperationsDriver>::Backend as Backend>::Error;

/// What the operations need of a driver. Its functions panic if the driver fails.
pub trait OperationsDriver: Sized + 'static {
    /// The backend.
    type Backend: PlainHandles;

    /// Creates a stream of the first device, which is never destroyed. Flags 1: it does not synchronize
    /// with the default stream.
    fn new_stream(flags: u32) -> Ptr;

    /// Creates a stream of another context or device, which is never destroyed. Returns its kind with it,
    /// and `None` if there is only one.
    fn new_stream_elsewhere() -> Option<(&'static str, Ptr)>;

    /// Begins a capture that rejects calls of its own thread only.
    fn begin_capture(stream: Ptr);

    /// Makes the context or device with this number current, or none. Returns `false` if there is none
    /// with this number.
    fn enter(place: usize) -> bool;

    /// Sets the thread's capture mode.
    fn set_capture_mode(mode: i32);

    /// Returns the thread's current context or device and its capture mode.
    fn thread_state() -> String;

    /// Clears the thread's last error, if the vendor has one.
    fn clear_last_error() {}

    /// Returns the thread's last error, or 0.
    fn last_error() -> i32 {
        0
    }

    /// Returns `true` if streams have ids.
    fn has_stream_ids() -> bool {
        true
    }

    /// Makes a handle of an event for another process.
    ///
    /// # Errors
    /// The backend's errors.
    fn ipc_handle(event: &EventOf<Self>) -> Result<(), ErrorOf<Self>>;

    /// Opens a handle for another process that no process made.
    ///
    /// # Errors
    /// The backend's errors.
    fn open_ipc_zeros(device: Device) -> Result<EventOf<Self>, ErrorOf<Self>>;
}

/// The objects of the calls.
pub struct World<D: OperationsDriver> {
    /// An ordinary stream, one that was created blocking, the default stream and, if there is one, a stream
    /// of another context or device.
    streams: Vec<(&'static str, StreamOf<D>)>,
    /// A stream that is being captured until the process ends, with an event that was recorded there.
    captured: StreamOf<D>,
    in_capture: EventOf<D>,
    raw: RawStream<D::Backend>,
}

impl<D: OperationsDriver> std::fmt::Debug for World<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

fn device<D: OperationsDriver>() -> Device {
    D::Backend::device(0).expect("device 0")
}

fn wrap<D: OperationsDriver>(stream: RawStream<D::Backend>) -> StreamOf<D> {
    // SAFETY: the tests' streams are never destroyed.
    unsafe { D::Backend::stream_from_raw(stream, None) }.expect("wrapping a stream")
}

impl<D: OperationsDriver> World<D> {
    /// Creates the objects.
    ///
    /// # Panics
    /// If the driver fails.
    pub fn new() -> Self {
        let raw = RawStream::from_ptr(D::new_stream(1));
        let mut streams = vec![
            ("ordinary", wrap::<D>(raw)),
            ("blocking", wrap::<D>(RawStream::from_ptr(D::new_stream(0)))),
            ("default", D::Backend::default_stream(device::<D>()).expect("default_stream")),
        ];
        let elsewhere = D::new_stream_elsewhere();
        streams.extend(elsewhere.map(|(kind, raw)| (kind, wrap::<D>(RawStream::from_ptr(raw)))));
        // Last, because a capturing thread cannot make all calls.
        let raw_captured = D::new_stream(1);
        let captured = wrap::<D>(RawStream::from_ptr(raw_captured));
        D::begin_capture(raw_captured);
        let in_capture = captured.record_event().expect("a record in a capture");
        World { streams, captured, in_capture, raw }
    }
}

impl<D: OperationsDriver> Default for World<D> {
    fn default() -> Self {
        Self::new()
    }
}

/// A call with its name. Its result does not matter.
pub type Operation<'a> = (String, Box<dyn Fn() + 'a>);

/// Adds a call to a list of operations.
macro_rules! add {
    ($operations:ident, $name:expr, $call:expr) => {
        $operations.push((
            $name.to_string(),
            Box::new(move || {
                let _ = $call;
            }),
        ))
    };
}

/// Returns every call of the backend.
pub fn all<D: OperationsDriver>(world: &World<D>) -> Vec<Operation<'_>> {
    let mut all = Vec::new();
    add_calls_of_the_backend(&mut all, world);
    for (kind, stream) in &world.streams {
        add_calls_of_a_stream(&mut all, world, kind, stream);
    }
    add!(all, "query while captured", world.captured.query());
    add!(all, "synchronize while captured", world.captured.synchronize());
    add!(all, "host function while captured", world.captured.launch_host_func(Box::new(|| ())));
    add!(all, "record while captured", world.captured.record_event());
    add!(all, "event synchronize while captured", world.in_capture.synchronize());
    all
}

/// Adds the calls that create or wrap streams and events.
fn add_calls_of_the_backend<'a, D: OperationsDriver>(
    all: &mut Vec<Operation<'a>>,
    world: &'a World<D>,
) {
    let device = device::<D>();
    add!(all, "probe", D::Backend::probe());
    add!(all, "devices", D::Backend::devices());
    add!(all, "priority_range", D::Backend::priority_range(device));
    add!(all, "new_stream", D::Backend::new_stream(device, StreamOptions::new()));
    let urgent = StreamOptions::new().priority(99);
    add!(all, "new_stream of no such priority", D::Backend::new_stream(device, urgent));
    add!(all, "new_event", D::Backend::new_event(device, EventOptions::new()));
    add!(all, "new_event, timed", D::Backend::new_event(device, EventOptions::timed()));
    add!(all, "default_stream", D::Backend::default_stream(device));
    let other = match D::Backend::KIND {
        BackendKind::Cuda => BackendKind::Hip,
        _ => BackendKind::Cuda,
    };
    let absent = [Device::new(D::Backend::KIND, 9_999), Device::new(other, 0)];
    for absent in absent {
        let options = StreamOptions::new();
        add!(all, format!("new_stream on {absent}"), D::Backend::new_stream(absent, options));
        let options = EventOptions::new();
        add!(all, format!("new_event on {absent}"), D::Backend::new_event(absent, options));
    }
    add!(all, "per_thread_stream", {
        let own = D::Backend::per_thread_stream(device);
        own.map(|own| {
            (
                own.query().is_ok(),
                own.record_event().is_ok(),
                own.synchronize().is_ok(),
                own.id().is_ok(),
            )
        })
    });
    for bits in [0, 1, 2, world.raw.to_bits()] {
        let raw = RawStream::from_bits(bits);
        for given in [None, Some(device), Some(absent[0])] {
            // SAFETY: the stream is never destroyed, and the other handles are rejected or always exist.
            add!(all, format!("wrap {bits:#x} {given:?}"), unsafe {
                D::Backend::stream_from_raw(raw, given)
            });
        }
        add!(all, format!("wrap unchecked {bits:#x}, record"), {
            // SAFETY: the stream is never destroyed, and the other handles are rejected or always exist.
            let wrapped = unsafe { D::Backend::stream_from_raw_unchecked(raw, device) };
            wrapped.map(|stream| stream.record_event().is_ok())
        });
    }
    add!(all, "ipc_handle", {
        let options = EventOptions::builder().interprocess(true).build().expect("options");
        D::Backend::new_event(device, options).and_then(|event| D::ipc_handle(&event))
    });
    add!(all, "ipc_handle of an ordinary event", {
        let event = D::Backend::new_event(device, EventOptions::new());
        event.and_then(|event| D::ipc_handle(&event))
    });
    add!(all, "ipc open of zeros", D::open_ipc_zeros(device));
}

/// Adds the calls of a stream and its events, and the waits between it and each other stream.
fn add_calls_of_a_stream<'a, D: OperationsDriver>(
    all: &mut Vec<Operation<'a>>,
    world: &'a World<D>,
    kind: &'a str,
    stream: &'a StreamOf<D>,
) {
    let device = device::<D>();
    add!(all, format!("query, {kind}"), stream.query());
    add!(all, format!("synchronize, {kind}"), stream.synchronize());
    add!(all, format!("priority, {kind}"), stream.priority());
    add!(all, format!("id, {kind}"), stream.id());
    add!(all, format!("capture_status, {kind}"), stream.capture_status());
    add!(all, format!("record_event, {kind}"), stream.record_event());
    add!(all, format!("new_event of the stream, {kind}"), stream.new_event(EventOptions::timed()));
    add!(all, format!("host function, {kind}"), {
        let launched = stream.launch_host_func(Box::new(|| ()));
        launched.and_then(|()| stream.synchronize())
    });
    add!(all, format!("clone, compare, hash, {kind}"), {
        let mut hasher = DefaultHasher::new();
        stream.clone().hash(&mut hasher);
        (stream.clone() == *stream, hasher.finish())
    });
    add!(all, format!("events, {kind}"), {
        let make = || stream.new_event(EventOptions::timed());
        make().and_then(|start| {
            let end = make()?;
            let _ = (end.status(), end.elapsed_since(&start));
            let _ = (stream.record(&start), stream.record(&end), stream.wait_event(&end));
            let _ = (end.status(), end.query(), end.synchronize());
            end.elapsed_since(&start)
        })
    });
    add!(all, format!("record of the first device's event, {kind}"), {
        let event = D::Backend::new_event(device, EventOptions::new());
        event.and_then(|event| stream.record(&event))
    });
    for (other_kind, other) in &world.streams {
        add!(all, format!("{kind} waits for {other_kind}"), stream.wait_stream(other));
        add!(all, format!("fork from {kind} to {other_kind}"), stream.fork([other]));
        add!(all, format!("join of {other_kind} into {kind}"), stream.join([other]));
    }
}

/// Runs every call with each context or device current in turn, and in each capture mode. Calls `before`
/// and `after` around each, with its name.
///
/// # Panics
/// If a call changes the thread's state.
pub fn run_all<D: OperationsDriver>(world: &World<D>, before: &dyn Fn(&str), after: &dyn Fn(&str)) {
    let operations = all(world);
    for place in (0..).take_while(|&place| D::enter(place)) {
        for mode in [0, 1, 2] {
            D::enter(place);
            D::set_capture_mode(mode);
            for (name, call) in &operations {
                let previous = D::thread_state();
                D::clear_last_error();
                before(name);
                call();
                // Checked first, because other calls of the driver may replace it.
                assert_eq!(D::last_error(), 0, "{name} left an error");
                after(name);
                let text = "changed the thread's context or device, or its capture mode";
                assert_eq!(D::thread_state(), previous, "{name} {text}");
            }
        }
    }
    D::enter(0);
    D::set_capture_mode(0);
}

/// Runs every call while calls of the driver fail. Calls nothing else of the driver between `before` and
/// `after`.
pub fn run_failing<D: OperationsDriver>(
    world: &World<D>,
    before: &dyn Fn(&str),
    after: &dyn Fn(&str),
) {
    for (name, call) in &all(world) {
        before(name);
        call();
        after(name);
    }
}

/// Makes all calls that are allowed while `captured` is being captured: on that stream, on other streams
/// and on their events. Calls `check` after each step.
///
/// # Panics
/// If a call fails.
#[track_caller]
pub fn beside_a_capture<D: OperationsDriver>(
    captured: RawStream<D::Backend>,
    check: &dyn Fn(&str),
) {
    macro_rules! step {
        ($name:literal, $call:expr) => {{
            let result = $call;
            if let Err(error) = &result {
                panic!("beside a capture, {}: {error}", $name);
            }
            check($name);
            result.unwrap()
        }};
    }
    let device = device::<D>();
    // SAFETY: the tests' streams are never destroyed.
    let wrapped = unsafe { D::Backend::stream_from_raw(captured, None) };
    let wrapped = step!("wrapping the captured stream", wrapped);
    let has_ids = D::has_stream_ids();
    let no_id = if has_ids { ErrorKind::Capturing } else { ErrorKind::Unsupported };
    expect_kind("the captured stream's id", wrapped.id(), no_id);
    check("the captured stream's id");
    step!("the captured stream's priority", wrapped.priority());
    step!("the captured stream's status", wrapped.capture_status());
    step!("probe", D::Backend::probe());
    step!("priority_range", D::Backend::priority_range(device));
    let other = step!("new_stream", D::Backend::new_stream(device, StreamOptions::new()));
    let more = step!("new_stream, once more", D::Backend::new_stream(device, StreamOptions::new()));
    let timed = EventOptions::timed();
    let start = step!("new_event", D::Backend::new_event(device, timed));
    let end = step!("new_event of a stream", other.new_event(timed));
    step!("status before a record", start.status());
    step!("record of the start", other.record(&start));
    step!("record of the end", other.record(&end));
    step!("query", other.query());
    step!("event synchronize", end.synchronize());
    step!("synchronize", other.synchronize());
    step!("event query", end.query());
    step!("elapsed_since", end.elapsed_since(&start));
    step!("wait_stream", more.wait_stream(&other));
    step!("fork", other.fork([&more]));
    step!("join", other.join([&more]));
    if has_ids {
        step!("id", other.id());
    }
    step!("priority", other.priority());
    step!("host function", other.launch_host_func(Box::new(|| ())));
    step!("synchronize after it", other.synchronize());
    let event = step!("record_event", other.record_event());
    step!("event query, of record_event", event.query());
    drop(event);
    check("dropping an event into the pool");
    drop((start, end));
    check("dropping events");
    drop((other, more));
    check("dropping streams");
}
