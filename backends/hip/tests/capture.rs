//! Captures survive all calls of the backend, and their graphs do what was captured.

mod support;

use std::process::ExitCode;

use gpu_stream_core::{Backend, Error, ErrorKind, Event, EventOptions, EventStatus, Stream};
use gpu_stream_hip::{Hip, HipError, HipStream};
use gpu_stream_test_support::{MODES, Vendor as _, cases, shared_cases};
use support::bare::{bare, gate, new_event, new_stream, record, version};
use support::capture::Capture;
use support::{OnHip, device, expect_kind, own_event, own_stream, skip, wrap};

fn main() -> ExitCode {
    let shared = shared_cases![OnHip, capture:
        queries_leave_the_capture_active,
        any_call_beside_a_capture_leaves_it_active,
        default_stream_beside_a_capture_is_rejected,
        record_outside_makes_a_captured_event_valid,
        events_of_a_capture_do_not_reach_the_pool,
        waits_alternate_inside_and_outside_of_a_capture
    ];
    let more: [support::Case; 5] = cases![
        bare_query_of_a_captured_stream,
        record_outside_during_the_capture,
        scratch_event_of_a_broken_capture_is_not_reused,
        capture_of_the_per_thread_stream,
        capture_that_begins_during_synchronize_survives
    ];
    support::main(&[&shared[..], &more].concat())
}

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
            expect_kind("a record outside", recorded, ErrorKind::NotPermitted);
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

/// A capture begins while another thread synchronizes the stream. That thread gets an error or waits on.
fn capture_that_begins_during_synchronize_survives() {
    let raw = new_stream(0, 1, 0);
    let stream = wrap(raw);
    for _ in 0..5 {
        let gate = OnHip::gate(raw);
        let started = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                started.wait();
                stream.synchronize()
            });
            started.wait();
            let capture = Capture::begin(raw, 2);
            OnHip::open(&gate);
            if let Err(error) = waiter.join().expect("no panic") {
                assert_eq!(error.kind(), ErrorKind::Capturing, "{error}");
            }
            capture.alive("synchronize on another thread");
            capture.end().map(drop).expect("the end of the capture");
        });
        OnHip::synchronize(raw);
    }
}
