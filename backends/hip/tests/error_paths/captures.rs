//! Captures beside calls of the backend.

use std::sync::Mutex;

use gpu_stream_core::{Error, ErrorKind, Event, EventOptions, Stream};
use gpu_stream_hip::HipError;

use crate::support::bare::new_stream;
use crate::support::capture::Capture;
use crate::support::layer::Layer;
use crate::support::{expect_kind, own_event, wrap};

/// A record first checks whether the stream is captured. A capture that another thread begins after the
/// check is noticed anyway: the event then has no work.
pub fn capture_that_begins_after_the_check_is_noticed() {
    let layer = Layer::get();
    let raw = new_stream(0, 1, 0);
    let (stream, waiter) = (wrap(raw), wrap(new_stream(0, 1, 0)));
    let event = own_event(EventOptions::new());
    // Enough streams that every scratch event is recorded.
    let others: Vec<_> = (0..2_000).map(|_| wrap(new_stream(0, 1, 0))).collect();
    let during = |call: &(dyn Fn() + Sync)| {
        // So that the call takes the fast path, which has an event.
        call();
        layer.hold_next("hipEventRecord");
        let capture = std::thread::scope(|scope| {
            scope.spawn(call);
            layer.wait_until_held();
            let capture = Capture::begin(raw, 2);
            layer.work();
            capture
        });
        let other = &others[0];
        waiter.join([other]).unwrap();
        other.fork([&waiter]).unwrap();
        other.record_event().unwrap();
        others.iter().for_each(|other| waiter.wait_stream(other).unwrap());
        assert_eq!(layer.lost(), 0, "events of the capture were recorded elsewhere");
        capture.end().map(drop).unwrap();
    };
    during(&|| stream.record(&event).unwrap());
    expect_kind("status", event.status(), ErrorKind::InvalidEvent);
    let made = Mutex::new(None);
    during(&|| *made.lock().unwrap() = Some(stream.record_event().unwrap()));
    let made = made.into_inner().unwrap().unwrap();
    expect_kind("status", made.status(), ErrorKind::InvalidEvent);
    // Some versions reject a wait for such an event.
    let ignore = |result: Result<(), HipError>| drop(result);
    during(&|| ignore(wrap(new_stream(0, 1, 0)).wait_stream(&stream)));
    during(&|| ignore(stream.fork([&wrap(new_stream(0, 1, 0))])));
    during(&|| ignore(wrap(new_stream(0, 1, 0)).join([&stream])));
}

/// A capture has pointers to the events that were recorded in it, and writes to them when it ends.
pub fn captured_events_stay_intact_until_the_capture_ends() {
    let layer = Layer::get();
    let raw = new_stream(0, 1, 0);
    let (stream, other) = (wrap(raw), wrap(new_stream(0, 1, 0)));
    let event = || own_event(EventOptions::new());
    let (event, escaped) = (event(), event());
    escaped.raw();
    for _ in 0..3 {
        let capture = Capture::begin(raw, 2);
        stream.record(&event).unwrap();
        other.record(&event).unwrap();
        event.synchronize().unwrap();
        stream.record(&event).unwrap();
        drop(stream.record_event().unwrap());
        assert_eq!(layer.lost(), 0);
        capture.end().map(drop).unwrap();
    }
    // An event with an escaped handle must keep it, so it is not destroyed.
    let raw = escaped.raw();
    let capture = Capture::begin(stream.raw().as_ptr(), 2);
    stream.record(&escaped).unwrap();
    if let Err(error) = other.record(&escaped) {
        assert_eq!(error.kind(), ErrorKind::Capturing, "{error}");
    }
    assert_eq!(escaped.raw(), raw);
    layer.calls("");
    drop(escaped);
    assert_eq!(layer.calls("hipEventDestroy"), 0);
    capture.end().map(drop).unwrap();
}
