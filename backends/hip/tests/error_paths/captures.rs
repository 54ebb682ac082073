//! Captures beside calls of the backend.

use std::sync::Mutex;

use gpu_stream_core::{
    Backend, Error, ErrorKind, Event, EventOptions, EventStatus, RawStream, Stream,
};
use gpu_stream_hip::{Hip, HipError};

use crate::support::bare::new_stream;
use crate::support::capture::Capture;
use crate::support::{device, expect_kind, fake, operations, own_event, own_stream, wrap};

pub fn captures_survive(_: &fake::Fake) {
    for mode in [0, 1, 2] {
        let raw = new_stream(0, 1, 0);
        let (stream, other) = (wrap(raw), own_stream());
        let event = own_event(EventOptions::new());
        let second = new_stream(1, 1, 0);
        let interprocess = EventOptions::builder().interprocess(true).build().unwrap();
        let interprocess = Hip::new_event(device(), interprocess);
        let capture = Capture::begin(raw, mode);
        let expect_rejected = |step, result| {
            expect_kind(step, result, ErrorKind::Capturing);
            capture.alive(step);
        };
        wrap(second);
        capture.alive("wrapping a stream of another device");
        Hip::new_event(Hip::device(1).unwrap(), EventOptions::new()).unwrap();
        capture.alive("the first call for a device");
        // Some versions reject interprocess events.
        interprocess
            .and_then(|event| event.ipc_handle())
            .map(drop)
            .or_else(|error| match error.kind() {
                ErrorKind::Unsupported => Ok(()),
                _ => Err(error),
            })
            .unwrap();
        capture.alive("ipc_handle");
        for _ in 0..2 {
            expect_rejected("query", stream.query().map(drop));
            expect_rejected("synchronize", stream.synchronize());
            expect_rejected("host function", stream.launch_host_func(Box::new(|| ())));
            stream.record(&event).unwrap();
            expect_rejected("event query", event.query().map(drop));
            expect_rejected("event synchronize", event.synchronize());
            let handle = RawStream::from_ptr(raw);
            operations::beside_a_capture(handle, &|step| capture.alive(step));
            std::thread::scope(|scope| {
                let call_all = || operations::beside_a_capture(handle, &|_| ());
                scope.spawn(call_all).join().expect("another thread");
            });
            capture.alive("the calls of another thread");
        }
        capture.end().expect("the end of the capture");
        expect_kind("event query", event.query(), ErrorKind::InvalidEvent);
        expect_kind("wait", other.wait_event(&event), ErrorKind::InvalidEvent);
        stream.record(&event).unwrap();
        assert_eq!(event.status().unwrap(), EventStatus::Complete);
        other.wait_event(&event).unwrap();
    }
}

/// A record first checks whether the stream is captured. A capture that another thread begins after the
/// check is noticed anyway: the event then has no work.
pub fn capture_that_begins_after_the_check_is_noticed(fake: &fake::Fake) {
    let raw = new_stream(0, 1, 0);
    let (stream, waiter) = (wrap(raw), wrap(new_stream(0, 1, 0)));
    let event = own_event(EventOptions::new());
    // Enough streams that every scratch event is recorded.
    let others: Vec<_> = (0..2_000).map(|_| wrap(new_stream(0, 1, 0))).collect();
    let during = |call: &(dyn Fn() + Sync)| {
        // So that the call takes the fast path, which has an event.
        call();
        fake.hold_next("hipEventRecord");
        let capture = std::thread::scope(|scope| {
            scope.spawn(call);
            fake.wait_until_held();
            let capture = Capture::begin(raw, 2);
            fake.release();
            capture
        });
        let other = &others[0];
        waiter.join([other]).unwrap();
        other.fork([&waiter]).unwrap();
        other.record_event().unwrap();
        others.iter().for_each(|other| waiter.wait_stream(other).unwrap());
        assert_eq!(fake.lost(), 0, "events of the capture were recorded elsewhere");
        capture.end().map(drop).unwrap();
    };
    during(&|| stream.record(&event).unwrap());
    expect_kind("status", event.status(), ErrorKind::InvalidEvent);
    let made = Mutex::new(None);
    during(&|| *made.lock().unwrap() = Some(stream.record_event().unwrap()));
    let made = made.into_inner().unwrap().unwrap();
    expect_kind("status", made.status(), ErrorKind::InvalidEvent);
    // Unlike the real runtime, the fake rejects each wait for such an event.
    let ignore = |result: Result<(), HipError>| drop(result);
    during(&|| ignore(wrap(new_stream(0, 1, 0)).wait_stream(&stream)));
    during(&|| ignore(stream.fork([&wrap(new_stream(0, 1, 0))])));
    during(&|| ignore(wrap(new_stream(0, 1, 0)).join([&stream])));
}

/// A capture has pointers to the events that were recorded in it, and writes to them when it ends.
pub fn captured_events_stay_intact_until_the_capture_ends(fake: &fake::Fake) {
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
        assert_eq!(fake.lost(), 0);
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
    fake.calls("");
    drop(escaped);
    assert_eq!(fake.calls("hipEventDestroy"), 0);
    capture.end().map(drop).unwrap();
}
