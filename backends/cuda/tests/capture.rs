//! Captures survive every call, and the graphs contain what was captured.

mod support;

use std::process::ExitCode;

use gpu_stream_core::{
    Backend, CaptureStatus, ErrorKind, Event, EventOptions, EventStatus, RawStream, Stream,
};
use gpu_stream_cuda::{Cuda, CudaStream};
use support::bare::{Space, bare, enter, ok};
use support::capture::Capture;
use support::{device, expect_kind, operations, wrap};

fn main() -> ExitCode {
    support::main(&[
        ("bare_query_invalidates_a_capture", bare_query_invalidates_a_capture),
        ("queries_leave_the_capture_active", queries_leave_the_capture_active),
        ("any_call_beside_a_capture_leaves_it_active", any_call_beside_a_capture_leaves_it_active),
        ("cudarc_streams_beside_a_capture", cudarc_streams_beside_a_capture),
        (
            "default_stream_beside_a_capture_is_rejected",
            default_stream_beside_a_capture_is_rejected,
        ),
        ("event_is_usable_after_a_record_outside", event_is_usable_after_a_record_outside),
        ("events_of_a_capture_do_not_reach_the_pool", events_of_a_capture_do_not_reach_the_pool),
        (
            "waits_alternate_inside_and_outside_of_a_capture",
            waits_alternate_inside_and_outside_of_a_capture,
        ),
    ])
}

const MODES: [i32; 3] = [0, 1, 2];

/// What the tests below would see if the backend did not check first.
fn bare_query_invalidates_a_capture() {
    let space = Space::primary();
    let _current = enter(space.context);
    let stream = space.stream(1, 0);
    let capture = Capture::begin(stream, 2);
    // SAFETY: the stream is alive.
    let code = unsafe { (bare().stream_query)(stream) };
    assert_ne!(code, 0, "the driver allowed a query of a capturing stream");
    let end = capture.end().err();
    assert_eq!(end, Some(901), "the capture should be broken after code {code}");
    for mode in MODES {
        // Prints what other captures do beside unguarded calls.
        let (other, mut event) = (space.stream(1, 0), std::ptr::null_mut());
        // SAFETY: the out-pointer is valid, and all handles are alive.
        unsafe {
            ok("event_create", (bare().event_create)(&mut event, 2));
            ok("event_record", (bare().event_record)(event, other));
        }
        let capture = Capture::begin(stream, mode);
        // SAFETY: all handles are alive.
        let codes = unsafe {
            [
                (bare().stream_query)(other),
                (bare().event_query)(event),
                (bare().stream_synchronize)(other),
            ]
        };
        let end = capture.end().map(|_| "alive").map_err(|code| format!("broken, {code}"));
        eprintln!(
            "mode {mode}: bare query, event query, synchronize of another stream: {codes:?}; capture {end:?}"
        );
    }
}

fn queries_leave_the_capture_active() {
    let space = Space::primary();
    let _current = enter(space.context);
    for mode in MODES {
        let (raw, raw_branch) = (space.stream(1, 0), space.stream(1, 0));
        let (stream, branch) = (wrap(raw), wrap(raw_branch));
        let words = space.words(2);
        let before = stream.record_event().expect("an event before the capture");
        let reused = Cuda::new_event(device(), EventOptions::new()).expect("an event");
        let capture = Capture::begin(raw, mode);
        let refused = |step, result| {
            expect_kind(step, result, ErrorKind::Capturing);
            capture.alive(step);
        };
        space.slow_store(raw, words, 7, 100);
        capture.alive("a launch in the capture");
        refused("query", stream.query().map(drop));
        refused("synchronize", stream.synchronize());
        refused("host function", stream.launch_host_func(Box::new(|| ())));
        assert_eq!(stream.capture_status().expect("capture_status"), CaptureStatus::Active);
        stream.record(&reused).expect("a record in the capture");
        capture.alive("a record in the capture");
        let event = stream.record_event().expect("an event in the capture");
        capture.alive("record_event in the capture");
        for event in [&event, &reused] {
            refused("event query", event.query().map(drop));
            refused("event status", event.status().map(drop));
            refused("event synchronize", event.synchronize());
        }
        assert!(before.query().expect("an event from before"));
        capture.alive("a query of an event from before");
        // Draws the branch into the capture, and joins it.
        branch.wait_stream(&stream).expect("fork inside the capture");
        capture.alive("a fork inside the capture");
        space.copy(raw_branch, words + 4, words);
        refused("query of the branch", branch.query().map(drop));
        refused("synchronize of the branch", branch.synchronize());
        stream.wait_stream(&branch).expect("join inside the capture");
        capture.alive("a join inside the capture");
        drop(before);
        capture.alive("dropping an event from before");
        let graph = capture.graph();
        assert_eq!(space.read(words, 2), [0, 0], "captured work ran");
        for event in [&event, &reused] {
            expect_kind("event query", event.query(), ErrorKind::InvalidEvent);
            expect_kind("event synchronize", event.synchronize(), ErrorKind::InvalidEvent);
            expect_kind("wait for it", branch.wait_event(event), ErrorKind::InvalidEvent);
        }
        assert_eq!(stream.capture_status().expect("capture_status"), CaptureStatus::None);
        for _ in 0..3 {
            space.clear(words, 2);
            graph.launch(raw);
            stream.synchronize().expect("synchronize after the capture");
            assert!(stream.query().expect("query after the capture"));
            assert_eq!(space.read(words, 2), [7, 7], "mode {mode}: what the graph did");
        }
    }
}

/// A capture in any mode, of this thread or another, survives queries of other streams and the wrapping of
/// its own stream.
fn any_call_beside_a_capture_leaves_it_active() {
    let space = Space::primary();
    for mode in MODES {
        let raw = space.stream(1, 0);
        let word = space.words(1);
        let _current = enter(space.context);
        let capture = Capture::begin(raw, mode);
        space.slow_store(raw, word, 5, 10);
        let handle = RawStream::from_ptr(raw);
        operations::beside_a_capture(handle, &|step| capture.alive(step));
        std::thread::scope(|scope| {
            let check = |step: &str| {
                let status = support::capture::status_of(handle.as_ptr());
                assert_eq!(status, Ok(1), "mode {mode}, on another thread, after: {step}");
            };
            let other = scope.spawn(move || operations::beside_a_capture(handle, &check));
            other.join().expect("another thread");
        });
        let graph = capture.graph();
        graph.launch(raw);
        space.synchronize(raw);
        assert_eq!(space.read(word, 1), [5]);
    }
}

/// cudarc's streams are wrapped, and their last reference is dropped.
fn cudarc_streams_beside_a_capture() {
    let space = Space::primary();
    let theirs = cudarc::driver::CudaContext::new(0).expect("cudarc's context");
    for mode in MODES {
        let (raw, word) = (space.stream(1, 0), space.words(1));
        let streams =
            [theirs.new_stream(), theirs.new_stream()].map(|made| made.expect("cudarc's"));
        let _current = enter(space.context);
        let capture = Capture::begin(raw, mode);
        space.slow_store(raw, word, 8, 10);
        for stream in streams {
            let ours = CudaStream::from_cudarc(&stream).expect("from_cudarc");
            capture.alive("wrapping a cudarc stream");
            ours.query().expect("query");
            capture.alive("a query");
            drop(stream);
            drop(ours);
            capture.alive("dropping the last share of a cudarc stream");
        }
        let graph = capture.graph();
        graph.launch(raw);
        space.synchronize(raw);
        assert_eq!(space.read(word, 1), [8]);
    }
}

/// The default stream synchronizes with a stream that was created blocking. A query of the default stream
/// would invalidate a capture of that stream.
fn default_stream_beside_a_capture_is_rejected() {
    let space = Space::primary();
    let default = Cuda::default_stream(device()).expect("default_stream");
    let event = Cuda::new_event(device(), EventOptions::new()).expect("an event");
    for mode in MODES {
        let raw = space.stream(0, 0);
        let word = space.words(1);
        let _current = enter(space.context);
        let capture = Capture::begin(raw, mode);
        let refused = |step, result| {
            expect_kind(step, result, ErrorKind::Capturing);
            capture.alive(step);
        };
        space.slow_store(raw, word, 6, 10);
        refused("query", default.query().map(drop));
        refused("synchronize", default.synchronize());
        refused("record", default.record(&event));
        refused("record_event", default.record_event().map(drop));
        refused("wait_event", default.wait_event(&event));
        refused("host function", default.launch_host_func(Box::new(|| ())));
        refused("id", default.id().map(drop));
        refused("priority", default.priority().map(drop));
        refused("capture_status", default.capture_status().map(drop));
        Cuda::default_stream(device()).expect("default_stream");
        capture.alive("default_stream");
        let graph = capture.graph();
        graph.launch(raw);
        space.synchronize(raw);
        assert_eq!(space.read(word, 1), [6]);
        assert_eq!(event.status().unwrap(), EventStatus::Unrecorded);
        assert!(default.query().is_ok());
    }
}

fn event_is_usable_after_a_record_outside() {
    let space = Space::primary();
    let raw = space.stream(1, 0);
    let (stream, word) = (wrap(raw), space.words(1));
    let event = Cuda::new_event(device(), EventOptions::new()).expect("an event");
    for _ in 0..3 {
        let capture = Capture::begin(raw, 1);
        space.slow_store(raw, word, 1, 1);
        stream.record(&event).expect("a record in the capture");
        drop(capture.graph());
        expect_kind("event query", event.query(), ErrorKind::InvalidEvent);
        let gate = space.gate(raw);
        stream.record(&event).expect("a record outside");
        assert_eq!(event.status().unwrap(), EventStatus::Pending);
        gate.open();
        event.synchronize().expect("event synchronize");
        assert_eq!(event.status().unwrap(), EventStatus::Complete);
    }
}

/// Whatever was recorded in a capture, the next record outside is an ordinary one.
fn events_of_a_capture_do_not_reach_the_pool() {
    let space = Space::primary();
    let (raw, raw_branch) = (space.stream(1, 0), space.stream(1, 0));
    let (stream, branch) = (wrap(raw), wrap(raw_branch));
    let words = space.words(2);
    for round in 1..=50 {
        let capture = Capture::begin(raw, 0);
        branch.wait_stream(&stream).expect("fork inside the capture");
        space.slow_store(raw_branch, words, round, 1);
        stream.wait_stream(&branch).expect("join inside the capture");
        drop(stream.record_event().expect("record_event inside the capture"));
        let graph = capture.graph();
        // The first launch may wait for running work, and must not wait for the gate.
        graph.launch(raw);
        space.synchronize(raw);
        space.clear(words, 2);
        let gate = space.gate(raw);
        graph.launch(raw);
        // Outside of the capture, both must be ordinary.
        let event = stream.record_event().expect("record_event");
        assert_eq!(event.status().unwrap(), EventStatus::Pending);
        branch.wait_event(&event).expect("wait_event");
        space.copy(raw_branch, words + 4, words);
        gate.open();
        branch.synchronize().expect("synchronize");
        assert_eq!(space.read(words + 4, 1), [round]);
    }
}

/// Scratch events are recorded alternately inside and outside of a capture. The capture stays active, the
/// graph contains what was captured, and the waits outside hold.
fn waits_alternate_inside_and_outside_of_a_capture() {
    let space = Space::primary();
    let raw = [(); 4].map(|()| space.stream(1, 0));
    let [inside, branch, outside, waiter] = raw.map(wrap);
    let [raw_inside, raw_branch, raw_outside, raw_waiter] = raw;
    let words = space.words(6);
    let (written, forked, joined) = (words, words + 4, words + 8);
    let (source, copied) = (words + 12, words + 16);
    for mode in MODES {
        for round in 1..=20 {
            space.clear(words, 6);
            // Memory is allocated and read outside of the capture: the driver rejects both beside one.
            let gate = space.gate(raw_outside);
            let _current = enter(space.context);
            let capture = Capture::begin(raw_inside, mode);
            space.slow_store(raw_inside, written, round, 1);
            // One event serves a join and is released; the next join acquires it.
            branch.join([&inside]).expect("fork inside the capture, by a join");
            capture.alive("a join inside the capture");
            assert_eq!(branch.capture_status().unwrap(), CaptureStatus::Active);
            space.copy(raw_branch, forked, written);
            space.slow_store(raw_outside, source, round, 1);
            waiter.join([&outside]).expect("a join outside, while the capture goes on");
            outside.fork([&waiter]).expect("a fork outside");
            waiter.wait_stream(&outside).expect("a wait outside");
            capture.alive("waits outside");
            assert_eq!(waiter.capture_status().unwrap(), CaptureStatus::None);
            space.copy(raw_waiter, copied, source);
            branch.fork([&inside]).expect("join inside the capture, by a fork");
            capture.alive("a fork inside the capture");
            space.copy(raw_inside, joined, forked);
            gate.open();
            waiter.synchronize().expect("the waiter is in no capture");
            capture.alive("a wait for the waiter");
            let graph = capture.graph();
            assert_eq!(space.read(copied, 1), [round], "mode {mode}: the wait outside");
            assert_eq!(space.read(words, 3), [0, 0, 0], "captured work ran");
            graph.launch(raw_inside);
            // The same order after the capture.
            branch.wait_stream(&inside).expect("a wait after the capture");
            space.copy(raw_branch, words + 20, joined);
            branch.synchronize().expect("synchronize");
            assert_eq!(space.read(words, 3), [round; 3], "mode {mode}: what the graph did");
            assert_eq!(space.read(words + 20, 1), [round], "mode {mode}: the wait after it");
        }
    }
}
