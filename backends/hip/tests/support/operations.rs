//! Every call of the backend, on every kind of stream, for tests of what a call leaves behind.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use gpu_stream_core::Event as _;
use gpu_stream_core::{
    Backend, BackendKind, Device, ErrorKind, EventOptions, RawStream, Stream, StreamOptions,
};
use gpu_stream_hip::ipc::IpcEventHandle;
use gpu_stream_hip::{Hip, HipEvent, HipStream};

use super::bare::{self, begin_capture, new_stream};

/// The objects of the calls.
pub struct World {
    /// An ordinary stream, one that was created blocking, the default stream and, if there is a second
    /// device, a stream of that device.
    pub streams: Vec<(&'static str, HipStream)>,
    /// A stream that is being captured until the process ends, with an event that was recorded there.
    captured: HipStream,
    in_capture: HipEvent,
    raw: bare::Ptr,
}

// SAFETY: the runtime accepts its handles on any thread.
unsafe impl Sync for World {}
// SAFETY: the runtime accepts its handles on any thread.
unsafe impl Send for World {}

impl World {
    pub fn new() -> Self {
        let raw = new_stream(0, 1, 0);
        let mut streams = vec![
            ("ordinary", super::wrap(raw)),
            ("blocking", super::wrap(new_stream(0, 0, 0))),
            ("default", Hip::default_stream(super::device()).expect("default_stream")),
        ];
        if super::devices() > 1 {
            streams.push(("second device", super::wrap(new_stream(1, 1, 0))));
        }
        // Last, because a capturing thread cannot make all calls. Thread-local, so that the calls of
        // other threads are not rejected.
        let raw_captured = new_stream(0, 1, 0);
        let captured = super::wrap(raw_captured);
        begin_capture(raw_captured, 1);
        let in_capture = captured.record_event().expect("a record in a capture");
        World { streams, captured, in_capture, raw }
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
pub fn all(world: &World) -> Vec<Operation<'_>> {
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
fn add_calls_of_the_backend<'a>(all: &mut Vec<Operation<'a>>, world: &'a World) {
    let device = super::device();
    add!(all, "probe", Hip::probe());
    add!(all, "devices", Hip::devices());
    add!(all, "priority_range", Hip::priority_range(device));
    add!(all, "new_stream", Hip::new_stream(device, StreamOptions::new()));
    add!(
        all,
        "new_stream of no such priority",
        Hip::new_stream(device, StreamOptions::new().priority(99))
    );
    add!(all, "new_event", Hip::new_event(device, EventOptions::new()));
    add!(all, "new_event, timed", Hip::new_event(device, EventOptions::timed()));
    add!(all, "default_stream", Hip::default_stream(device));
    let absent = [Device::new(BackendKind::Hip, 9_999), Device::new(BackendKind::Cuda, 0)];
    for absent in absent {
        add!(all, format!("new_stream on {absent}"), Hip::new_stream(absent, StreamOptions::new()));
        add!(all, format!("new_event on {absent}"), Hip::new_event(absent, EventOptions::new()));
    }
    add!(all, "per_thread_stream", {
        let own = Hip::per_thread_stream(device);
        own.map(|own| {
            (
                own.query().is_ok(),
                own.record_event().is_ok(),
                own.synchronize().is_ok(),
                own.id().is_ok(),
            )
        })
    });
    for bits in [0, 1, 2, world.raw.expose_provenance()] {
        for given in [None, Some(device), Some(absent[0])] {
            let raw = RawStream::from_bits(bits);
            // SAFETY: the stream is never destroyed, and the other handles are rejected or always exist.
            add!(all, format!("wrap {bits:#x} {given:?}"), unsafe {
                Hip::stream_from_raw(raw, given)
            });
        }
        let raw = RawStream::from_bits(bits);
        // SAFETY: the stream is never destroyed, and the other handles are rejected or always exist.
        add!(all, format!("wrap unchecked {bits:#x}, record"), unsafe {
            Hip::stream_from_raw_unchecked(raw, device).map(|stream| stream.record_event().is_ok())
        });
    }
    add!(all, "ipc_handle", {
        let options = EventOptions::builder().interprocess(true).build().unwrap();
        Hip::new_event(device, options).and_then(|event| event.ipc_handle())
    });
    add!(
        all,
        "ipc_handle of an ordinary event",
        Hip::new_event(device, EventOptions::new()).and_then(|event| event.ipc_handle())
    );
    // SAFETY: no process created the event, so none destroys it.
    add!(all, "ipc open of zeros", unsafe { IpcEventHandle::from_bytes([0; 64]).open(device) });
}

/// Adds the calls of a stream and its events, and the waits between it and each other stream.
fn add_calls_of_a_stream<'a>(
    all: &mut Vec<Operation<'a>>,
    world: &'a World,
    kind: &'a str,
    stream: &'a HipStream,
) {
    let device = super::device();
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
        Hip::new_event(device, EventOptions::new()).and_then(|event| stream.record(&event))
    });
    for (other_kind, other) in &world.streams {
        add!(all, format!("{kind} waits for {other_kind}"), stream.wait_stream(other));
        add!(all, format!("fork from {kind} to {other_kind}"), stream.fork([other]));
        add!(all, format!("join of {other_kind} into {kind}"), stream.join([other]));
    }
}

/// Runs every call with each device current in turn, and in each capture mode. Calls `before` and
/// `after` around each, with its name.
pub fn run_all(world: &World, before: &dyn Fn(&str), after: &dyn Fn(&str)) {
    let operations = all(world);
    for device in 0..super::devices().min(2) {
        for mode in [0, 1, 2] {
            bare::set_device(device);
            bare::set_capture_mode(mode);
            for (name, call) in &operations {
                let previous = bare::thread_state();
                bare::fetch_error();
                before(name);
                call();
                // Checked first, because other calls of the runtime may replace it.
                assert_eq!(bare::peek_error(), 0, "{name} left an error");
                after(name);
                assert_eq!(
                    bare::thread_state(),
                    previous,
                    "{name} changed the thread's device or capture mode"
                );
            }
        }
    }
    bare::set_device(0);
    bare::set_capture_mode(0);
}

/// Runs every call while calls of the runtime fail. Calls nothing else of the runtime between `before`
/// and `after`.
pub fn run_failing(world: &World, before: &dyn Fn(&str), after: &dyn Fn(&str)) {
    for (name, call) in &all(world) {
        before(name);
        call();
        after(name);
    }
}

/// Makes all calls that are allowed while `captured` is being captured: on that stream, on other streams
/// and on their events. Calls `check` after each step.
#[track_caller]
pub fn beside_a_capture(captured: RawStream<Hip>, check: &dyn Fn(&str)) {
    let device = super::device();
    let done = |step: &str, failed: Option<String>| {
        if let Some(error) = failed {
            panic!("beside a capture, {step}: {error}");
        }
        check(step);
    };
    macro_rules! step {
        ($name:literal, $call:expr) => {{
            let result = $call;
            done($name, result.as_ref().err().map(ToString::to_string));
            result.unwrap()
        }};
    }
    // SAFETY: the tests' streams are never destroyed.
    let wrapped = unsafe { Hip::stream_from_raw(captured, None) };
    let wrapped = step!("wrapping the captured stream", wrapped);
    let has_ids = bare::bare().stream_id.is_some();
    let no_id = if has_ids { ErrorKind::Capturing } else { ErrorKind::Unsupported };
    super::expect_kind("the captured stream's id", wrapped.id(), no_id);
    check("the captured stream's id");
    step!("the captured stream's priority", wrapped.priority());
    step!("the captured stream's status", wrapped.capture_status());
    step!("probe", Hip::probe());
    step!("priority_range", Hip::priority_range(device));
    let other = step!("new_stream", Hip::new_stream(device, StreamOptions::new()));
    let more = step!("new_stream, once more", Hip::new_stream(device, StreamOptions::new()));
    let timed = EventOptions::timed();
    let start = step!("new_event", Hip::new_event(device, timed));
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
