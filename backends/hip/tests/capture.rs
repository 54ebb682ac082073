//! Captures survive all calls of the backend, and their graphs do what was captured.

mod support;

use std::process::ExitCode;

use gpu_stream_core::{
    Backend, CaptureStatus, Error, ErrorKind, Event, EventOptions, EventStatus, RawStream, Stream,
};
use gpu_stream_hip::{Hip, HipError, HipStream};
use gpu_stream_test_support::cases;
use support::bare::{
    Words, bare, gate, new_event, new_stream, record, synchronize, version, words,
};
use support::capture::{Capture, Graph};
use support::{device, expect_kind, operations, own_event, own_stream, skip, wrap};

fn main() -> ExitCode {
    support::main(&cases![
        bare_query_of_a_captured_stream,
        queries_leave_the_capture_active,
        any_call_beside_a_capture_leaves_it_active,
        default_stream_beside_a_capture_is_rejected,
        record_outside_makes_a_captured_event_valid,
        record_outside_during_the_capture,
        capture_that_begins_during_synchronize_survives,
        events_of_a_capture_do_not_reach_the_pool,
        scratch_event_of_a_broken_capture_is_not_reused,
        capture_of_the_per_thread_stream
    ])
}

const MODES: [i32; 3] = [0, 1, 2];

/// What the tests below would observe if the backend did not check before it queries.
fn bare_query_of_a_captured_stream() {
    let stream = new_stream(0, 1, 0);
    let capture = Capture::begin(stream, 2);
    // SAFETY: the stream is alive.
    let code = unsafe { (bare().stream_query)(stream) };
    let end = capture.end().err();
    match version() {
        // HIP 5.2 to 5.6 answers "done", although nothing has run.
        50_200_000..50_700_000 => assert_eq!((code, end), (0, None)),
        50_700_000..60_000_000 => assert_eq!((code, end), (900, None)),
        _ => assert_eq!((code, end), (900, Some(901))),
    }
    for mode in MODES {
        // Printed only: what bare calls on other streams do to the capture.
        let (other, event) = (new_stream(0, 1, 0), new_event(2));
        record(event, other);
        let capture = Capture::begin(stream, mode);
        // SAFETY: the stream and the event are alive.
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
    for mode in MODES {
        let (raw, raw_branch) = (new_stream(0, 1, 0), new_stream(0, 1, 0));
        let (stream, branch) = (wrap(raw), wrap(raw_branch));
        let words = words(3);
        let before = stream.record_event().expect("an event before the capture");
        before.synchronize().expect("synchronize before the capture");
        let reused = own_event(EventOptions::new());
        let capture = Capture::begin(raw, mode);
        let expect_rejected = |step, result| {
            expect_kind(step, result, ErrorKind::Capturing);
            capture.alive(step);
        };
        // HIP does not capture a memory write of the stream (`hipStreamWriteValue32`). It captures a copy.
        words.set(2, 7);
        words.copy(raw, 0, 2);
        capture.alive("a launch in the capture");
        expect_rejected("query", stream.query().map(drop));
        expect_rejected("synchronize", stream.synchronize());
        expect_rejected("host function", stream.launch_host_func(Box::new(|| ())));
        assert_eq!(stream.capture_status().expect("capture_status"), CaptureStatus::Active);
        stream.record(&reused).expect("a record in the capture");
        capture.alive("a record in the capture");
        let event = stream.record_event().expect("an event in the capture");
        capture.alive("record_event in the capture");
        for event in [&event, &reused] {
            expect_rejected("event query", event.query().map(drop));
            let text = event.query().expect_err("it is captured").to_string();
            assert!(text.starts_with("Event::query"), "{text}");
            expect_rejected("event status", event.status().map(drop));
            expect_rejected("event synchronize", event.synchronize());
        }
        match before.query() {
            Ok(done) => assert!(done),
            // The versions in which the query would break the capture.
            rejection => expect_rejected("a query of an event from before", rejection.map(drop)),
        }
        capture.alive("a query of an event from before");
        let beside = wrap(new_stream(0, 1, 0));
        match beside.wait_event(&before) {
            Ok(()) => beside.synchronize().expect("synchronize beside it"),
            // HIP cannot tell the event from one in the capture.
            rejection => expect_rejected("a wait for an event from before", rejection),
        }
        capture.alive("a wait for an event from before");
        // Draws the branch into the capture, and joins it again.
        branch.wait_stream(&stream).expect("fork inside the capture");
        capture.alive("a fork inside the capture");
        words.copy(raw_branch, 1, 0);
        expect_rejected("query of the branch", branch.query().map(drop));
        expect_rejected("synchronize of the branch", branch.synchronize());
        stream.wait_stream(&branch).expect("join inside the capture");
        capture.alive("a join inside the capture");
        drop(before);
        capture.alive("dropping an event from before");
        let graph = capture.graph();
        assert_eq!([words.get(0), words.get(1)], [0, 0], "captured work ran");
        for event in [&event, &reused] {
            expect_kind("event query", event.query(), ErrorKind::InvalidEvent);
            expect_kind("event synchronize", event.synchronize(), ErrorKind::InvalidEvent);
            expect_kind("wait for it", branch.wait_event(event), ErrorKind::InvalidEvent);
        }
        assert_eq!(stream.capture_status().expect("capture_status"), CaptureStatus::None);
        for _ in 0..3 {
            launch_and_check(&graph, &stream, words);
        }
    }
}

/// Launches a graph that copies number 2, a 7, to the numbers 0 and 1.
fn launch_and_check(graph: &Graph, stream: &HipStream, words: Words) {
    words.set(0, 0);
    words.set(1, 0);
    graph.launch(stream.raw().as_ptr());
    stream.synchronize().expect("synchronize after the capture");
    assert!(stream.query().expect("query after the capture"));
    assert_eq!([words.get(0), words.get(1)], [7, 7], "result of the graph");
}

/// A capture in any mode, on this thread or another, survives calls on other streams and the wrapping of
/// its own stream.
fn any_call_beside_a_capture_leaves_it_active() {
    for mode in MODES {
        let raw = new_stream(0, 1, 0);
        let word = words(2);
        let capture = Capture::begin(raw, mode);
        word.set(1, 5);
        word.copy(raw, 0, 1);
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
        synchronize(raw);
        assert_eq!(word.get(0), 5);
    }
}

/// The default stream synchronizes with every stream that was created blocking. A query of it would
/// break the capture of such a stream.
fn default_stream_beside_a_capture_is_rejected() {
    let default = Hip::default_stream(device()).expect("default_stream");
    let event = own_event(EventOptions::new());
    for mode in MODES {
        let raw = new_stream(0, 0, 0);
        let word = words(2);
        let capture = Capture::begin(raw, mode);
        let expect_rejected = |step, result| {
            expect_kind(step, result, ErrorKind::Capturing);
            capture.alive(step);
        };
        word.set(1, 6);
        word.copy(raw, 0, 1);
        if version() < 50_700_000 {
            // HIP before 5.7 does not report the capture, and queries do not break it.
            default.query().expect("query");
            default.synchronize().expect("synchronize");
            capture.alive("questions");
            continue;
        }
        expect_rejected("query", default.query().map(drop));
        expect_rejected("synchronize", default.synchronize());
        expect_rejected("record", default.record(&event));
        expect_rejected("record_event", default.record_event().map(drop));
        expect_rejected("wait_event", default.wait_event(&event));
        expect_rejected("host function", default.launch_host_func(Box::new(|| ())));
        if bare().stream_id.is_some() {
            expect_rejected("id", default.id().map(drop));
        }
        expect_rejected("priority", default.priority().map(drop));
        expect_rejected("capture_status", default.capture_status().map(drop));
        Hip::default_stream(device()).expect("default_stream");
        capture.alive("default_stream");
        let graph = capture.graph();
        graph.launch(raw);
        synchronize(raw);
        assert_eq!(word.get(0), 6);
        assert_eq!(event.status().unwrap(), EventStatus::Unrecorded);
        assert!(default.query().is_ok());
    }
}

fn record_outside_makes_a_captured_event_valid() {
    let raw = new_stream(0, 1, 0);
    let (stream, word) = (wrap(raw), words(2));
    let event = own_event(EventOptions::new());
    for _ in 0..3 {
        let capture = Capture::begin(raw, 1);
        word.copy(raw, 0, 1);
        stream.record(&event).expect("a record in the capture");
        capture.end().map(drop).expect("the end of the capture");
        expect_kind("event query", event.query(), ErrorKind::InvalidEvent);
        let gate = gate(raw);
        stream.record(&event).expect("a record outside");
        assert_eq!(event.status().unwrap(), EventStatus::Pending);
        gate.open();
        event.synchronize().expect("event synchronize");
        assert_eq!(event.status().unwrap(), EventStatus::Complete);
    }
}

/// One thread synchronizes a stream while another begins to capture it. The capture survives, and the
/// waiting thread gets an error or waits on.
fn capture_that_begins_during_synchronize_survives() {
    let raw = new_stream(0, 1, 0);
    let stream = wrap(raw);
    for _ in 0..5 {
        let gate = gate(raw);
        let started = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                started.wait();
                stream.synchronize()
            });
            started.wait();
            let capture = Capture::begin(raw, 2);
            gate.open();
            if let Err(error) = waiter.join().expect("no panic") {
                assert_eq!(error.kind(), ErrorKind::Capturing, "{error}");
            }
            capture.alive("synchronize on another thread");
            capture.end().map(drop).expect("the end of the capture");
        });
        synchronize(raw);
    }
}

/// Records an event outside while its capture is active. HIP 5.2 would draw the waiting stream into the
/// capture. Newer versions write to the event when the capture ends, even if it was destroyed by then.
fn record_outside_during_the_capture() {
    for handle_is_known in [false, true] {
        let (raw, raw_other, raw_waiter) =
            (new_stream(0, 1, 0), new_stream(0, 1, 0), new_stream(0, 1, 0));
        let (stream, other, waiter) = (wrap(raw), wrap(raw_other), wrap(raw_waiter));
        let event = own_event(EventOptions::new());
        if handle_is_known {
            event.raw();
        }
        let capture = Capture::begin(raw, 2);
        stream.record(&event).expect("a record in the capture");
        let gate = gate(raw_other);
        let recorded = other.record(&event);
        if handle_is_known && version() < 50_700_000 {
            expect_kind("a record outside", recorded, ErrorKind::Capturing);
            gate.open();
        } else {
            recorded.expect("a record outside");
            waiter.wait_event(&event).expect("a wait");
            assert_eq!(support::capture::status_of(raw_waiter), Ok(0), "drawn into the capture");
            assert_eq!(event.status().expect("status"), EventStatus::Pending);
            gate.open();
            event.synchronize().expect("event synchronize");
        }
        drop(event);
        capture.end().map(drop).expect("the end of the capture");
        waiter.synchronize().expect("synchronize");
    }
}

/// Events that `wait_stream` recorded in a capture are not reused by a later wait.
fn events_of_a_capture_do_not_reach_the_pool() {
    let (raw, raw_branch) = (new_stream(0, 1, 0), new_stream(0, 1, 0));
    let (stream, branch) = (wrap(raw), wrap(raw_branch));
    let words = words(3);
    for round in 1..=50 {
        let capture = Capture::begin(raw, 0);
        branch.wait_stream(&stream).expect("fork inside the capture");
        if version() < 50_700_000 {
            stream.wait_stream(&branch).expect("join inside the capture");
            capture.end().map(drop).expect("the end of the capture");
            assert_eq!(support::capture::status_of(raw_branch), Ok(1));
            skip("HIP 5.2 never releases a stream that a capture drew in");
        }
        words.set(2, round);
        words.copy(raw_branch, 0, 2);
        stream.wait_stream(&branch).expect("join inside the capture");
        let graph = capture.graph();
        // The first launch may wait for running work, so it must come before the gate is shut.
        graph.launch(raw);
        synchronize(raw);
        words.set(0, 0);
        words.set(1, 0);
        let gate = gate(raw);
        graph.launch(raw);
        // Outside of the capture, these must be an ordinary record and an ordinary wait.
        let event = stream.record_event().expect("record_event");
        assert_eq!(event.status().unwrap(), EventStatus::Pending);
        branch.wait_event(&event).expect("wait_event");
        words.copy(raw_branch, 1, 0);
        gate.open();
        branch.synchronize().expect("synchronize");
        assert_eq!(words.get(1), round);
    }
}

/// HIP keeps a list of the events that were recorded in a capture, and clears it only when the capture
/// ends successfully. A wait for one of them draws the waiter in, even if the event was recorded again.
fn scratch_event_of_a_broken_capture_is_not_reused() {
    for _ in 0..3 {
        let (raw, raw_waiter) = (new_stream(0, 1, 0), new_stream(0, 1, 0));
        let (stream, waiter) = (wrap(raw), wrap(raw_waiter));
        type Wait<'a> = &'a dyn Fn(&HipStream) -> Result<(), HipError>;
        let waits: [Wait; 3] =
            [&|to| to.wait_stream(&stream), &|to| stream.fork([to]), &|to| to.join([&stream])];
        // So that each kind of wait has a scratch event from before.
        waits.iter().for_each(|wait| wait(&waiter).expect("a wait before the capture"));
        let capture = Capture::begin(raw, 0);
        waits.iter().for_each(|wait| wait(&wrap(new_stream(0, 1, 0))).expect("a wait inside"));
        capture.alive("waits inside the capture");
        // SAFETY: the stream is alive.
        let code = unsafe { (bare().stream_query)(raw) };
        let is_broken = capture.status() != Ok(1);
        let end = capture.end().map(drop);
        eprintln!("the query returns {code}, the end of the capture {end:?}");
        if !is_broken {
            skip("no query breaks a capture in this version");
        }
        for wait in waits {
            // HIP leaves the stream in the state of a broken capture, and the wait reports that.
            if let Err(error) = wait(&waiter) {
                assert_eq!(error.kind(), ErrorKind::InvalidEvent, "{error}");
            }
            let status = support::capture::status_of(raw_waiter);
            assert_eq!(status, Ok(0), "the waiter was drawn into a capture that has ended");
        }
        let gate = gate(raw_waiter);
        let event = waiter.record_event().expect("record_event");
        assert_eq!(event.status().expect("status"), EventStatus::Pending);
        gate.open();
        event.synchronize().expect("synchronize");
    }
}

/// The per-thread stream (handle 2) can be captured as well, on its own thread.
fn capture_of_the_per_thread_stream() {
    let own = Hip::per_thread_stream(device()).expect("per_thread_stream");
    let other = own_stream();
    for mode in MODES {
        let capture = Capture::begin(own.raw().as_ptr(), mode);
        expect_kind("query", own.query(), ErrorKind::Capturing);
        expect_kind("synchronize", own.synchronize(), ErrorKind::Capturing);
        let event = own.record_event().expect("a record in the capture");
        expect_kind("event query", event.query(), ErrorKind::Capturing);
        capture.alive("questions");
        std::thread::scope(|scope| {
            // On that thread, handle 2 is a different stream.
            let other_thread = scope.spawn(|| event.query());
            let answer = other_thread.join().expect("another thread");
            expect_kind("event query other_thread", answer, ErrorKind::InvalidEvent);
        });
        capture.alive("a query on another thread");
        capture.end().map(drop).expect("the end of the capture");
        expect_kind("event query", event.query(), ErrorKind::InvalidEvent);
        expect_kind("wait for it", other.wait_event(&event), ErrorKind::InvalidEvent);
        own.record(&event).expect("a record outside");
        event.synchronize().expect("event synchronize");
    }
}
