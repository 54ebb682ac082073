//! Captures beside calls of the backend.

use gpu_stream_core::{CaptureStatus, Error, ErrorKind, Event, EventOptions, Stream};
use gpu_stream_hip::HipStream;
use gpu_stream_test_support::expect_kind;

use crate::support::bare::new_stream;
use crate::support::capture::Capture;
use crate::support::layer::Layer;
use crate::support::{own_event, own_stream, wrap};

/// A capture has pointers to the events that were recorded in it, and writes to them when it ends.
pub fn captured_events_stay_intact_until_the_capture_ends() {
    let layer = Layer::get();
    let raw = new_stream(0, 1, 0);
    let (stream, other) = (wrap(raw), wrap(new_stream(0, 1, 0)));
    let blocking = EventOptions::builder().blocking(true).build().unwrap();
    let event = own_event(EventOptions::new());
    let (blocking, escaped) = (own_event(blocking), own_event(EventOptions::new()));
    escaped.raw();
    for event in [&event, &blocking].into_iter().cycle().take(6) {
        let capture = Capture::begin(raw, 2);
        stream.record(event).unwrap();
        other.record(event).unwrap();
        event.synchronize().unwrap();
        stream.record(event).unwrap();
        drop(stream.record_event().unwrap());
        assert_eq!(layer.lost(), 0);
        capture.end().map(drop).unwrap();
    }
    // An event with an escaped handle must keep it, so it is not destroyed.
    let raw = escaped.raw();
    let capture = Capture::begin(stream.raw().as_ptr(), 2);
    stream.record(&escaped).unwrap();
    if let Err(error) = other.record(&escaped) {
        assert_eq!(error.kind(), ErrorKind::NotPermitted, "{error}");
    }
    assert_eq!(escaped.raw(), raw);
    layer.calls("");
    drop(escaped);
    assert_eq!(layer.calls("hipEventDestroy"), 0);
    capture.end().map(drop).unwrap();
}

/// A stream whose handle nobody has becomes part of a capture by a wait for a captured stream. From then on it is asked for
/// its capture: it can wait for no uncaptured stream, and a query would break the capture.
pub fn wait_for_a_captured_stream_is_noticed() {
    let raw = new_stream(0, 1, 0);
    let source = wrap(raw);
    let waits: [fn(&HipStream, &HipStream); 3] = [
        |waiter, source| waiter.wait_stream(source).unwrap(),
        |waiter, source| source.fork([&own_stream(), waiter]).unwrap(),
        |waiter, source| waiter.join([&own_stream(), source]).unwrap(),
    ];
    for wait in waits {
        let waiter = own_stream();
        let capture = Capture::begin(raw, 2);
        wait(&waiter, &source);
        let isolated = waiter.wait_stream(&own_stream());
        expect_kind("a wait for an uncaptured stream", isolated, ErrorKind::Capturing);
        expect_kind("a query in a capture", waiter.query(), ErrorKind::Capturing);
        assert_eq!(source.capture_status().unwrap(), CaptureStatus::Active);
        // A platform may refuse it: the waiting stream has not been joined.
        drop(capture.end());
    }
}

/// The wait is noticed before the runtime makes it: another thread may query the stream at any time.
pub fn wait_for_a_captured_event_is_noticed_in_time() {
    let layer = Layer::get();
    let raw = new_stream(0, 1, 0);
    let (source, waiter, other) = (wrap(raw), own_stream(), own_stream());
    let capture = Capture::begin(raw, 2);
    let event = source.record_event().unwrap();
    let _end = layer.work_at_drop();
    layer.hold_next_after("hipStreamWaitEvent");
    std::thread::scope(|scope| {
        let wait = scope.spawn(|| waiter.wait_event(&event));
        layer.wait_until_held();
        let isolated = waiter.wait_stream(&other);
        layer.work();
        wait.join().unwrap().unwrap();
        expect_kind("a call beside the wait", isolated, ErrorKind::Capturing);
    });
    // A platform may refuse it: the waiting stream has not been joined.
    drop(capture.end());
}
