//! Captures at their edges: a wait inside of one that renumbers its stream, and waits of default streams for
//! what is captured.

mod support;

use std::process::ExitCode;

use gpu_stream_core::{
    Backend, CaptureStatus, ErrorKind, Event, EventOptions, Stream, StreamOptions,
};
use gpu_stream_hip::{Hip, HipError, HipEvent, HipStream};
use support::bare::{gate, new_stream, synchronize, version};
use support::capture::Capture;
use support::{device, expect_kind, wrap};

fn main() -> ExitCode {
    support::main(&[
        (
            "event_stays_in_its_capture_after_its_stream_waits",
            event_stays_in_its_capture_after_its_stream_waits,
        ),
        (
            "event_of_an_earlier_capture_is_stale_in_the_next",
            event_of_an_earlier_capture_is_stale_in_the_next,
        ),
        ("record_in_place_draws_no_stream_into_a_capture", record_in_place_draws_no_stream),
        ("default_stream_does_not_wait_for_a_capture", default_stream_does_not_wait_for_a_capture),
        ("per_thread_stream_joins_a_capture", per_thread_stream_joins_a_capture),
    ])
}

const MODES: [i32; 3] = [0, 1, 2];

fn new_event() -> HipEvent {
    Hip::new_event(device(), EventOptions::new()).expect("an event")
}

fn new() -> HipStream {
    Hip::new_stream(device(), StreamOptions::new()).expect("a stream")
}

/// Up to HIP 5.6 a wait inside of a capture gives the waiting stream another capture id. Its earlier events then
/// count as of a capture that is over.
fn event_stays_in_its_capture_after_its_stream_waits() {
    for mode in MODES {
        let raw = new_stream(0, 1, 0);
        let (caller, [a, b]) = (wrap(raw), [new(), new()]);
        let capture = Capture::begin(raw, mode);
        caller.fork([&a, &b]).expect("a fork");
        let first = a.record_event().expect("a record");
        for round in 0..3 {
            a.wait_stream(&b).expect("a wait for another branch");
            a.wait_event(&b.record_event().expect("a record")).expect("a wait for an event");
            let later = a.record_event().expect("a record");
            let is_renumbered = version() < 50_700_000;
            if is_renumbered {
                expect_kind("status", first.status(), ErrorKind::InvalidEvent);
                expect_kind("wait_event", b.wait_event(&first), ErrorKind::InvalidEvent);
            }
            for event in [&first, &later].into_iter().skip(usize::from(is_renumbered)) {
                expect_kind("status", event.status(), ErrorKind::Capturing);
                b.wait_event(event).unwrap_or_else(|error| panic!("round {round}: {error}"));
                caller.wait_event(event).expect("a wait by the caller");
            }
        }
        caller.join([&a, &b]).expect("a join");
        capture.alive("waits for events of this capture");
        capture.end().map(drop).expect("the end of the capture");
        // HIP 5.2 leaves a stream that a capture drew in captured for ever.
        if version() >= 50_700_000 {
            expect_kind("status", first.status(), ErrorKind::InvalidEvent);
        }
    }
}

/// Up to HIP 5.6 a capture keeps the events that were recorded in it, under whatever id. The handle has escaped, so a
/// record does not replace it.
fn record_in_place_draws_no_stream() {
    for mode in MODES {
        let raw = new_stream(0, 1, 0);
        let (caller, [branch, outside, waiting]) = (wrap(raw), [new(), new(), new()]);
        let event = new_event();
        event.raw();
        let capture = Capture::begin(raw, mode);
        caller.fork([&branch]).expect("a fork");
        branch.record(&event).expect("a record");
        branch.wait_stream(&caller).expect("a wait");
        let recorded = outside.record(&event);
        if version() < 50_700_000 {
            expect_kind("a record", recorded, ErrorKind::NotPermitted);
        } else {
            recorded.expect("a record");
            waiting.wait_event(&event).expect("a wait");
        }
        assert_eq!(waiting.capture_status().expect("a status"), CaptureStatus::None);
        caller.join([&branch]).expect("a join");
        drop(capture);
    }
}

/// The next capture may get the graph's address of the one before.
fn event_of_an_earlier_capture_is_stale_in_the_next() {
    let raw = new_stream(0, 1, 0);
    let caller = wrap(raw);
    let mut stale: Vec<HipEvent> = Vec::new();
    for _ in 0..8 {
        let branch = new();
        let capture = Capture::begin(raw, 2);
        branch.wait_stream(&caller).expect("a fork");
        for event in &stale {
            let refused = caller.wait_event(event);
            expect_kind("a wait for a stale event", refused, ErrorKind::InvalidEvent);
            expect_kind("status", event.status(), ErrorKind::InvalidEvent);
        }
        stale.push(caller.record_event().expect("a record"));
        branch.wait_event(&caller.record_event().expect("a record")).expect("a wait");
        caller.wait_stream(&branch).expect("a join");
        stale.push(caller.record_event().expect("a record"));
        capture.end().map(drop).expect("the end of the capture");
    }
}

/// The default stream cannot become part of a capture. On HIP 7.2 the runtime itself says success, and
/// crashes when the capture ends.
fn default_stream_does_not_wait_for_a_capture() {
    // Flags 0: a stream that synchronizes with the default stream.
    for (mode, flags) in MODES.into_iter().flat_map(|mode| [(mode, 1), (mode, 0)]) {
        let raw = new_stream(0, flags, 0);
        let (captured, default) = (wrap(raw), Hip::default_stream(device()).expect("a stream"));
        let free = new();
        let capture = Capture::begin(raw, mode);
        let event = captured.record_event().expect("a record");
        let kept = new_event();
        captured.record(&kept).expect("a record");
        let shared = captured.record_event().expect("a record");
        let shared_bits = shared.raw().to_bits();
        let source = captured.raw().to_bits();
        let waits: [(&str, Result<(), HipError>, usize); 6] = [
            ("wait_stream", default.wait_stream(&captured), source),
            ("fork", captured.fork([&free, &default]), source),
            ("join", default.join([&captured]), source),
            ("wait_event", default.wait_event(&event), 0),
            ("wait_event, kept", default.wait_event(&kept), 0),
            ("wait_event, raw", default.wait_event(&shared), shared_bits),
        ];
        for (what, wait, bits) in waits {
            let text = expect_kind(what, wait, ErrorKind::Capturing);
            if flags == 1 {
                assert!(text.contains("stream 0x0"), "{what}: {text}");
                assert!(text.contains(&format!("{bits:#x}")), "{what}: {text}");
                assert!(text.contains("non-blocking stream"), "{what}: {text}");
            }
            capture.alive(what);
        }
        // `fork` has drawn the other branch in.
        captured.wait_stream(&free).expect("a join");
        capture.alive("a join");
        capture.end().map(drop).expect("the end of the capture");
        default.wait_stream(&captured).expect("a wait after the capture");
        default.synchronize().expect("synchronize");
        synchronize(raw);
    }
}

/// A thread's own default stream, unlike the legacy one, can be captured.
fn per_thread_stream_joins_a_capture() {
    // On a thread of its own: HIP 5.2 leaves a stream that a capture drew in captured for ever.
    let case = || {
        let raw = new_stream(0, 1, 0);
        let (caller, own) =
            (wrap(raw), Hip::per_thread_stream(device()).expect("per_thread_stream"));
        let capture = Capture::begin(raw, 2);
        own.wait_stream(&caller).expect("a fork");
        own.wait_event(&caller.record_event().expect("a record")).expect("a wait");
        expect_kind("query", own.query(), ErrorKind::Capturing);
        let escaped = new_event();
        escaped.raw();
        // Another library may use the event after the thread's end.
        expect_kind("record", own.record(&escaped), ErrorKind::NotPermitted);
        capture.alive("a record that is refused");
        caller.wait_stream(&own).expect("a join");
        capture.alive("a fork to the thread's own stream");
        capture.end().map(drop).expect("the end of the capture");
        if version() >= 50_700_000 {
            let gate = gate(raw);
            own.wait_stream(&caller).expect("a wait after the capture");
            assert!(!own.query().expect("query"));
            gate.open();
            own.synchronize().expect("synchronize");
        }
    };
    std::thread::spawn(case).join().expect("the thread");
}
