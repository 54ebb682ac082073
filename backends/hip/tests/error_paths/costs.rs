//! Reuse of events, and the runtime calls of each operation.

use gpu_stream_core::{Backend, Event, EventOptions, EventStatus, Stream};
use gpu_stream_hip::Hip;

use crate::support::bare::peek_error;
use crate::support::{device, fake, own_event, own_stream};

pub fn events_return_to_the_pool(fake: &fake::Fake) {
    let (one, other) = (own_stream(), own_stream());
    one.wait_stream(&other).unwrap();
    other.fork([&one]).unwrap();
    fake.calls("");
    for _ in 0..100 {
        one.wait_stream(&other).unwrap();
        other.fork([&one]).unwrap();
    }
    assert_eq!(fake.calls("hipEventCreateWithFlags"), 0, "created events");
    // An event with an escaped handle does not go to the pool, nor does one with options.
    let escaped = one.record_event().unwrap();
    escaped.raw();
    let live = fake.live_events();
    drop(escaped);
    assert_eq!(fake.live_events(), live - 1, "an event with an escaped handle went to the pool");
    // An event of `new_event` does not go to the pool either, because a program may create and drop
    // many.
    let live = fake.live_events();
    drop(own_event(EventOptions::new()));
    assert_eq!(fake.live_events(), live, "an event of new_event went to the pool");
    for _ in 0..10 {
        let held: Vec<_> = (0..300).map(|_| one.record_event().unwrap()).collect();
        assert!(held.iter().all(|event| event.status().unwrap() == EventStatus::Complete));
    }
    // The bound, and one event for each stream that was waited for.
    assert!(fake.live_events() <= 256 + 3, "the pool has no bound: {}", fake.live_events());
    let fresh = own_event(EventOptions::new());
    assert_eq!(fresh.status().unwrap(), EventStatus::Unrecorded, "a new event has an old record");
}

/// Counts the runtime calls of the most frequent operations on an explicit stream.
pub fn runtime_calls_of_frequent_operations(fake: &fake::Fake) {
    let (one, other) = (own_stream(), own_stream());
    one.wait_stream(&other).unwrap();
    let event = other.record_event().unwrap();
    let version = std::env::var("FAKE_HIP_VERSION").expect("the version");
    // The capture mode is exchanged twice in the versions that need it.
    let mode = if matches!(&version[..1], "5" | "6" | "7") { 0 } else { 2 };
    let query = if version.starts_with('5') { 2 } else { 4 };
    // Since HIP 7, a query also checks whether a reset has freed the stream, if that has an owner.
    let query = query + if matches!(&version[..1], "7" | "9") { 1 + mode } else { 0 };
    let count = |call: &dyn Fn()| {
        fake.calls("");
        call();
        fake.calls("")
    };
    let raw = one.raw();
    // SAFETY: `one` outlives the wrapper.
    let unchecked = || drop(unsafe { Hip::stream_from_raw_unchecked(raw, device()) }.unwrap());
    // SAFETY: `one` outlives the wrapper.
    let checked = || drop(unsafe { Hip::stream_from_raw(raw, Some(device())) }.unwrap());
    // The pool has only `event`, so one is created before the count.
    one.wait_stream(&other).unwrap();
    assert_eq!(count(&unchecked), 0, "wrapping unchecked");
    assert_eq!(count(&|| one.wait_stream(&one.clone()).unwrap()), 0, "wait for the same stream");
    assert_eq!(count(&checked), 1 + mode, "wrapping: hipStreamGetDevice, mode");
    assert_eq!(count(&|| drop(one.query())), query, "query: check, mode, query, mode");
    assert_eq!(count(&|| one.synchronize().unwrap()), query, "synchronize, idle: calls of query");
    assert_eq!(count(&|| one.wait_event(&event).unwrap()), 2, "wait_event: check, wait");
    let own = one.record_event().unwrap();
    assert_eq!(count(&|| one.wait_event(&own).unwrap()), 1, "wait for its own record: check");
    drop(own);
    assert_eq!(count(&|| other.record(&event).unwrap()), 3, "record: check, record, check");
    drop(other.record_event().unwrap());
    assert_eq!(count(&|| drop(other.record_event())), 3, "record_event: check, record, check");
    let wait = count(&|| one.wait_stream(&other).unwrap());
    assert_eq!(wait, 5, "wait_stream: check, check, record, check, wait");
    let third = own_stream();
    one.fork([&other]).unwrap();
    let fork = count(&|| one.fork([&other, &third, &one]).unwrap());
    assert_eq!(fork, 7, "fork: check, check, record, check, wait; check, wait");
    let join = count(&|| one.join([&other, &third, &one]).unwrap());
    assert_eq!(join, 10, "join: check, check, record, check, wait; the same again");
    // In HIP 6.4 the mode makes no difference, and the stream is checked instead.
    let event_query = match &version[..1] {
        "5" => 1,
        "6" => 2,
        _ => 3,
    };
    assert_eq!(count(&|| drop(event.query())), event_query, "event query: mode, query, mode");
    // "Not ready" is cleared from the last error in the versions that store it there.
    fake.set_busy(true);
    let is_stored = matches!(&version[..1], "5" | "6") || version == "12090";
    let peek = if is_stored { 2 } else { 1 };
    assert_eq!(count(&|| drop(one.query())), query + peek, "query, not ready");
    assert_eq!(peek_error(), 0);
}
