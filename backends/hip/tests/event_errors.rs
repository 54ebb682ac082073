//! Errors of foreign events: the text names what is wrong with the event that was given, and the way out.

mod support;

use std::process::ExitCode;

use gpu_stream_core::{
    Backend, BackendKind, Device, ErrorKind, Event, EventOptions, RawEvent, Stream,
};
use gpu_stream_hip::{Hip, HipEvent};
use support::bare::{Ptr, bare, enter, new_stream, ok};
use support::{device, expect_kind, wrap};

fn main() -> ExitCode {
    support::main(&[
        ("elapsed_time_names_a_foreign_event_without_time", elapsed_time_names_a_foreign_event),
        ("record_names_the_device_that_a_foreign_event_was_given", record_names_the_given_device),
    ])
}

/// Creates an event by the bare runtime. Flags 2: without timing.
fn foreign(device: i32, flags: u32) -> Ptr {
    let _current = enter(device);
    let mut event = std::ptr::null_mut();
    // SAFETY: `&mut event` is a valid out-pointer.
    ok("event_create", unsafe { (bare().event_create)(&mut event, flags) });
    event
}

fn wrap_event(event: Ptr, device: Device, options: EventOptions) -> HipEvent {
    let raw = RawEvent::from_ptr(event);
    // SAFETY: the tests' events are never destroyed, nor are the streams that record them.
    unsafe { Hip::event_from_raw_with_owner(raw, Some(device), Some(options), Default::default()) }
        .expect("a foreign event")
}

fn elapsed_time_names_a_foreign_event() {
    let stream = wrap(new_stream(0, 1, 0));
    let ours = Hip::new_event(device(), EventOptions::timed()).expect("an event");
    stream.record(&ours).expect("a record");
    stream.synchronize().expect("synchronize");
    // The wrapper is told that it keeps time, and it does not.
    let untimed = wrap_event(foreign(0, 2), device(), EventOptions::timed());
    stream.record(&untimed).expect("a record");
    untimed.synchronize().expect("synchronize");
    let bits = format!("{:#x}", untimed.raw().to_bits());
    for (end, start) in [(&untimed, &ours), (&ours, &untimed)] {
        let text = expect_kind("elapsed_since", end.elapsed_since(start), ErrorKind::InvalidHandle);
        assert!(text.contains(&bits) && text.contains("without timing"), "{text}");
        assert!(!text.contains("alive"), "{text}");
    }
}

fn record_names_the_given_device() {
    support::need_two_devices();
    let second = Device::new(BackendKind::Hip, 1);
    // The event is of device 0, and device 1 is named.
    let event = wrap_event(foreign(0, 2), second, EventOptions::new());
    let stream = wrap(new_stream(1, 1, 0));
    let refused = stream.record(&event);
    let text = expect_kind("a record", refused, ErrorKind::InvalidHandle);
    let bits = format!("{:#x}", event.raw().to_bits());
    assert!(text.contains(&bits) && text.contains("device"), "{text}");
    assert!(text.contains("event_from_raw"), "{text}");
}
