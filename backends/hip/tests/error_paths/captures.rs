//! Captures beside calls of the backend.

use gpu_stream_core::{Error, ErrorKind, Event, EventOptions, Stream};

use crate::support::bare::new_stream;
use crate::support::capture::Capture;
use crate::support::layer::Layer;
use crate::support::{own_event, wrap};

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
