//! The pool of events, and codes that no vendor defines. The driver is [`Vendor::faulty_library`].

use gpu_stream_core::{Error, ErrorKind, Event, EventOptions, EventStatus, Stream};
use gpu_stream_faults::{At, InjectedFault, Threads};

use crate::expect_kind;
use crate::vendor::{Capture, Vendor, own_event, own_stream, ptr};

/// Checks that events return to the pool, except those with an escaped handle, and that the pool has a bound.
pub fn events_return_to_the_pool<V: Vendor>() {
    let controls = V::controls();
    let (one, other) = (own_stream::<V>(), own_stream::<V>());
    let all = || {
        one.wait_stream(&other).unwrap();
        other.fork([&one]).unwrap();
        other.join([&one]).unwrap();
        drop(one.record_event().unwrap());
    };
    (0..2).for_each(|_| all());
    controls.watch(Threads::All);
    (0..100).for_each(|_| all());
    assert!(!controls.seen().iter().any(|call| call == V::CREATES_EVENT), "events were created");
    let live = || controls.live("event");
    let given = one.record_event().unwrap();
    given.raw();
    let before = live();
    drop(given);
    assert_eq!(live(), before - 1, "an event with an escaped handle went into the pool");
    // A program may create and drop many events of `new_event`.
    let before = live();
    drop(own_event::<V>(EventOptions::new()));
    assert_eq!(live(), before, "an event of new_event went into the pool");
    for _ in 0..3 {
        let held: Vec<_> = (0..4_200).map(|_| one.record_event().unwrap()).collect();
        one.synchronize().unwrap();
        assert!(held.iter().all(|event| event.status().unwrap() == EventStatus::Complete));
    }
    // The bound, and the events that `all` used.
    assert!(live() <= 4_096 + 4, "the pool exceeds its bound: {}", live());
    let fresh = own_event::<V>(EventOptions::new());
    assert_eq!(fresh.status().unwrap(), EventStatus::Unrecorded, "a new event has an old record");
    controls.clear();
}

/// Checks that an event that was recorded in a capture does not return to the pool, even if it was recorded
/// outside since.
pub fn captured_events_do_not_return_to_the_pool<V: Vendor>() {
    let (one, other) = (own_stream::<V>(), own_stream::<V>());
    for again in [false, true] {
        let _current = V::enter(0);
        let capture = Capture::<V>::begin(ptr::<V>(&one), 0);
        let captured = one.record_event().unwrap();
        if again {
            other.record(&captured).unwrap();
        }
        let before = V::controls().live("event");
        drop(captured);
        assert_eq!(V::controls().live("event"), before - 1, "it went into the pool");
        capture.end().map(drop).expect("the end of the capture");
    }
}

/// Checks that a code that no vendor defines is an error with that code, and that a fault's code is a fault.
pub fn unknown_codes_are_reported<V: Vendor>() {
    let (controls, stream) = (V::controls(), own_stream::<V>());
    let answer = |code| {
        controls.clear();
        controls.set(V::QUERIES, At::Always, Threads::All, InjectedFault::Answer(code));
    };
    for code in [123_456, 919, -7] {
        answer(code);
        let error = stream.query().expect_err("an unknown code is no answer");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Driver, Some(code)));
        assert!(error.to_string().contains(&code.to_string()), "{error}");
    }
    answer(700);
    expect_kind("query", stream.query(), ErrorKind::StreamFault);
    controls.clear();
    assert!(stream.query().unwrap());
}
