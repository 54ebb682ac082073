//! Captures beside calls of the backend.

use gpu_stream_core::{CaptureStatus, Error, ErrorKind, Event, EventOptions, Stream};
use gpu_stream_faults::At;
use gpu_stream_hip::{HipError, HipEvent, HipStream};
use gpu_stream_test_support::{Vendor, expect_kind};

use crate::support::bare::{bare, new_event, new_stream, record, synchronize};
use crate::support::capture::Capture;
use crate::support::layer::Layer;
use crate::support::{OnHip, own_event, own_stream, wrap};

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

/// Another thread begins a capture between a record's first check and one of its calls of the runtime. The event then stands
/// for no work, and never counts as complete. The work of the stream is pending all the time, behind a gate.
pub fn capture_that_begins_during_a_record_is_noticed() {
    let layer = Layer::get();
    let options = EventOptions::builder().blocking(true).build().unwrap();
    let escaped = || {
        let event = own_event(EventOptions::new());
        event.raw();
        event
    };
    // How to make an event, whether it was recorded before, and the record at which the capture begins.
    let of_new = |stream: &HipStream, _: HipEvent| stream.record_event();
    let of_given = |stream: &HipStream, event: HipEvent| stream.record(&event).map(|()| event);
    type Make = fn(&HipStream, HipEvent) -> Result<HipEvent, HipError>;
    let cases: [(&str, Make, &dyn Fn() -> HipEvent, u32); 5] = [
        ("record_event", of_new, &|| own_event(EventOptions::new()), 1),
        ("record", of_given, &|| own_event(EventOptions::new()), 1),
        ("record of an event whose handle is known", of_given, &escaped, 1),
        ("record of a blocking event, its marker", of_given, &|| own_event(options), 1),
        ("record of a blocking event", of_given, &|| own_event(options), 2),
    ];
    for ((name, make, event, at), is_recorded) in
        cases.iter().flat_map(|case| [(case, false), (case, true)])
    {
        let raw = new_stream(0, 1, 0);
        let stream = wrap(raw);
        let event = event();
        if is_recorded {
            // Also leaves an event in the pool that is complete.
            stream.record_event().unwrap().synchronize().unwrap();
            stream.record(&event).unwrap();
            event.synchronize().unwrap();
        }
        let gate = OnHip::gate(raw);
        let _end = layer.work_at_drop();
        layer.hold("hipEventRecord", At::Occurrence(*at));
        let (event, capture) = std::thread::scope(|scope| {
            let record = scope.spawn(|| make(&stream, event));
            layer.wait_until_held();
            let capture = Capture::begin(raw, 2);
            layer.work();
            (record.join().unwrap().expect(name), capture)
        });
        expect_kind(name, event.status(), ErrorKind::Capturing);
        expect_kind(name, event.synchronize(), ErrorKind::Capturing);
        capture.alive(name);
        capture.end().map(drop).unwrap();
        expect_kind(name, event.status(), ErrorKind::InvalidEvent);
        expect_kind(name, own_stream().wait_event(&event), ErrorKind::InvalidEvent);
        drop(event);
        // No event of the capture is in the pool.
        let next = stream.record_event().unwrap();
        assert!(!next.query().unwrap(), "{name}: the next event is complete too early");
        OnHip::open(&gate);
        next.synchronize().unwrap();
    }
}

/// Shows why a record is checked while the capture lasts: after that the runtime reports the event as complete, although the
/// stream's work before the record is pending. The event was recorded outside of captures before, as those of the pool.
pub fn runtime_takes_an_event_of_a_past_capture_for_complete() {
    let (raw, event) = (new_stream(0, 1, 0), new_event(0));
    record(event, raw);
    synchronize(raw);
    let gate = OnHip::gate(raw);
    let capture = Capture::begin(raw, 2);
    record(event, raw);
    capture.end().map(drop).unwrap();
    // SAFETY: the event is live.
    assert_eq!(unsafe { (bare().event_query)(event) }, 0);
    // The work is pending: an event that is recorded now is not ready.
    record(event, raw);
    // SAFETY: the event is live.
    assert_eq!(unsafe { (bare().event_query)(event) }, 600);
    OnHip::open(&gate);
    synchronize(raw);
}
