//! Every call of the backend, on every kind of stream, for tests of what a call leaves behind.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use gpu_stream_core::Event as _;
use gpu_stream_core::{
    Backend, BackendKind, Device, ErrorKind, EventOptions, RawStream, Stream, StreamOptions,
};
use gpu_stream_cuda::ipc::IpcEventHandle;
use gpu_stream_cuda::{Cuda, CudaEvent, CudaStream};

use super::bare::{self, Ptr, begin_capture, new_context, new_stream, primary_context};

/// The objects of the calls.
pub struct World {
    pub primary: Ptr,
    pub second: Ptr,
    /// A stream of the primary context, one of a second context, one of the primary context that was
    /// created blocking, and the default stream.
    pub streams: Vec<(&'static str, CudaStream)>,
    /// A stream that is being captured until the process ends, with an event that was recorded there.
    captured: CudaStream,
    in_capture: CudaEvent,
    raw: Ptr,
}

// SAFETY: the driver accepts its handles on any thread.
unsafe impl Sync for World {}
// SAFETY: the driver accepts its handles on any thread.
unsafe impl Send for World {}

impl World {
    pub fn new() -> Self {
        let (primary, second) = (primary_context(), new_context());
        let raw = new_stream(primary, 1, 0);
        let streams = vec![
            ("primary", super::wrap(raw)),
            ("second", super::wrap(new_stream(second, 1, 0))),
            ("blocking", super::wrap(new_stream(primary, 0, 0))),
            ("default", Cuda::default_stream(super::device()).expect("default_stream")),
        ];
        // Last, because a capturing thread cannot make all calls. Thread-local, so that the calls of other
        // threads are not rejected.
        let raw_captured = new_stream(primary, 1, 0);
        let captured = super::wrap(raw_captured);
        begin_capture(raw_captured, 1);
        let in_capture = captured.record_event().expect("a record in a capture");
        World { primary, second, streams, captured, in_capture, raw }
    }
}

/// A call with its name. Its result does not matter.
pub type Operation<'a> = (String, Box<dyn Fn() + 'a>);

pub fn all(world: &World) -> Vec<Operation<'_>> {
    let mut all: Vec<Operation> = Vec::new();
    let mut add = |name: String, call: Box<dyn Fn()>| all.push((name, call));
    // SAFETY: the calls do not outlive `world`: the return value borrows it.
    let world: &'static World = unsafe { &*std::ptr::from_ref(world) };
    let device = super::device();
    macro_rules! call {
        ($name:expr, $call:expr) => {
            add(
                $name.to_string(),
                Box::new(move || {
                    let _ = $call;
                }),
            )
        };
    }
    call!("probe", Cuda::probe());
    call!("devices", Cuda::devices());
    call!("priority_range", Cuda::priority_range(device));
    call!("new_stream", Cuda::new_stream(device, StreamOptions::new()));
    call!(
        "new_stream of no such priority",
        Cuda::new_stream(device, StreamOptions::new().priority(99))
    );
    call!("new_event", Cuda::new_event(device, EventOptions::new()));
    call!("new_event, timed", Cuda::new_event(device, EventOptions::timed()));
    call!("default_stream", Cuda::default_stream(device));
    let absent = [Device::new(BackendKind::Cuda, 9_999), Device::new(BackendKind::Hip, 0)];
    for absent in absent {
        call!(format!("new_stream on {absent}"), Cuda::new_stream(absent, StreamOptions::new()));
        call!(format!("new_event on {absent}"), Cuda::new_event(absent, EventOptions::new()));
    }
    call!("per_thread_stream", {
        let mine = Cuda::per_thread_stream(device);
        mine.map(|mine| {
            (
                mine.query().is_ok(),
                mine.record_event().is_ok(),
                mine.synchronize().is_ok(),
                mine.id().is_ok(),
            )
        })
    });
    for bits in [0, 1, 2, world.raw.expose_provenance()] {
        for given in [None, Some(device), Some(absent[0])] {
            let raw = RawStream::from_bits(bits);
            // SAFETY: the stream is never destroyed, and the other handles are rejected or always exist.
            call!(format!("wrap {bits:#x} {given:?}"), unsafe {
                Cuda::stream_from_raw(raw, given)
            });
        }
        let raw = RawStream::from_bits(bits);
        // SAFETY: the stream is never destroyed, and the other handles are rejected or always exist.
        call!(format!("wrap unchecked {bits:#x}, record"), unsafe {
            Cuda::stream_from_raw_unchecked(raw, device).map(|stream| stream.record_event().is_ok())
        });
    }
    call!("ipc_handle", {
        let options = EventOptions::builder().interprocess(true).build().unwrap();
        Cuda::new_event(device, options).and_then(|event| event.ipc_handle())
    });
    call!(
        "ipc_handle of an ordinary event",
        Cuda::new_event(device, EventOptions::new()).and_then(|event| event.ipc_handle())
    );
    // SAFETY: no process created the event, so none destroys it.
    call!("ipc open of zeros", unsafe { IpcEventHandle::from_bytes([0; 64]).open(device) });
    for (sort, stream) in &world.streams {
        call!(format!("query, {sort}"), stream.query());
        call!(format!("synchronize, {sort}"), stream.synchronize());
        call!(format!("priority, {sort}"), stream.priority());
        call!(format!("id, {sort}"), stream.id());
        call!(format!("capture_status, {sort}"), stream.capture_status());
        call!(format!("record_event, {sort}"), stream.record_event());
        call!(format!("new_event in the context, {sort}"), stream.new_event(EventOptions::timed()));
        call!(format!("host function, {sort}"), {
            let launched = stream.launch_host_func(Box::new(|| ()));
            launched.and_then(|()| stream.synchronize())
        });
        call!(format!("clone, compare, hash, {sort}"), {
            let mut hasher = DefaultHasher::new();
            stream.clone().hash(&mut hasher);
            (stream.clone() == *stream, hasher.finish())
        });
        call!(format!("events, {sort}"), {
            let make = || stream.new_event(EventOptions::timed());
            make().and_then(|start| {
                let end = make()?;
                let _ = (end.status(), end.elapsed_since(&start));
                let _ = (stream.record(&start), stream.record(&end), stream.wait_event(&end));
                let _ = (end.status(), end.query(), end.synchronize());
                end.elapsed_since(&start)
            })
        });
        call!(format!("record of the primary context's event, {sort}"), {
            Cuda::new_event(device, EventOptions::new()).and_then(|event| stream.record(&event))
        });
        for (other_sort, other) in &world.streams {
            call!(format!("{sort} waits for {other_sort}"), stream.wait_stream(other));
            call!(format!("fork from {sort} to {other_sort}"), stream.fork([other]));
            call!(format!("join of {other_sort} into {sort}"), stream.join([other]));
        }
    }
    call!("query while captured", world.captured.query());
    call!("synchronize while captured", world.captured.synchronize());
    call!("host function while captured", world.captured.launch_host_func(Box::new(|| ())));
    call!("record while captured", world.captured.record_event());
    call!("event synchronize while captured", world.in_capture.synchronize());
    all
}

/// Runs every call with each context current in turn, and in each capture mode. Calls `before` and `after`
/// around each, with its name.
pub fn run_all(world: &World, before: &dyn Fn(&str), after: &dyn Fn(&str)) {
    let operations = all(world);
    for context in [std::ptr::null_mut(), world.primary, world.second] {
        for mode in [0, 1, 2] {
            bare::set_current(context);
            bare::set_capture_mode(mode);
            for (name, call) in &operations {
                let found = bare::thread_state();
                before(name);
                call();
                after(name);
                assert_eq!(
                    bare::thread_state(),
                    found,
                    "{name} changed the thread's context or capture mode"
                );
            }
        }
    }
    bare::set_current(std::ptr::null_mut());
    bare::set_capture_mode(0);
}

/// Makes all calls that are allowed while `captured` is being captured: on that stream, on other streams
/// and on their events. Calls `check` after each step.
#[track_caller]
pub fn beside_a_capture(captured: RawStream<Cuda>, check: &dyn Fn(&str)) {
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
    let wrapped = unsafe { Cuda::stream_from_raw(captured, None) };
    let wrapped = step!("wrapping the captured stream", wrapped);
    super::expect_kind("the captured stream's id", wrapped.id(), ErrorKind::Capturing);
    check("the captured stream's id");
    step!("the captured stream's priority", wrapped.priority());
    step!("the captured stream's status", wrapped.capture_status());
    step!("probe", Cuda::probe());
    step!("priority_range", Cuda::priority_range(device));
    let other = step!("new_stream", Cuda::new_stream(device, StreamOptions::new()));
    let more = step!("new_stream, once more", Cuda::new_stream(device, StreamOptions::new()));
    let timed = EventOptions::timed();
    let start = step!("new_event", Cuda::new_event(device, timed));
    let end = step!("new_event in a stream's context", other.new_event(timed));
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
    step!("id", other.id());
    step!("priority", other.priority());
    step!("host function", other.launch_host_func(Box::new(|| ())));
    step!("synchronize behind it", other.synchronize());
    let event = step!("record_event", other.record_event());
    step!("event query, of record_event", event.query());
    drop(event);
    check("dropping an event into the pool");
    drop((start, end));
    check("dropping events");
    drop((other, more));
    check("dropping streams");
}
