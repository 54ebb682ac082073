//! Wrapping of streams: places, flags, priorities and host functions.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gpu_stream_core::{Backend, ErrorKind, Event, EventOptions, EventStatus, RawStream, Stream};

use crate::vendor::{ErrorOf, StreamOf, Vendor, own_event, own_stream, wrap};
use crate::{expect_kind, skip};

/// Checks that at each place, streams with each blocking flag and priority work. They have the properties
/// that they were created with.
pub fn every_kind_of_stream<V: Vendor>() {
    for place in 0..V::places() {
        let raw_waiter = V::new_stream(place, 1, 0);
        let waiter = wrap::<V>(raw_waiter);
        let range = V::Backend::priority_range(waiter.device()).unwrap();
        eprintln!("{}: priorities {range:?}", waiter.device());
        let _current = V::enter(place);
        for flags in [0, 1] {
            for priority in range.greatest..=range.least {
                let raw = V::new_stream(place, flags, priority);
                let stream = wrap::<V>(raw);
                assert_eq!(stream.device(), waiter.device());
                assert_eq!(stream.raw().as_ptr(), raw);
                assert_eq!(stream.priority().unwrap(), priority);
                let id = stream.id();
                assert_eq!(id.is_ok(), V::has_stream_ids(), "{id:?}");
                // Before the gate: zeroing memory waits for the default stream, which waits for blocking
                // streams.
                let words = V::words(2);
                let gate = V::gate(raw);
                assert!(!stream.query().unwrap());
                V::store(raw, words, 3);
                waiter.wait_stream(&stream).unwrap();
                V::copy(raw_waiter, words + 4, words);
                drop(gate);
                waiter.synchronize().unwrap();
                assert_eq!(V::read(words, 2), [3, 3]);
                assert!(stream.query().unwrap());
            }
        }
    }
}

/// Checks that waits cross places in both directions, whichever place is current, and that records do not.
pub fn waits_cross_places_and_records_do_not<V: Vendor>() {
    if V::places() < 2 {
        skip("there is one place");
    }
    let (raw_first, raw_second) = (V::new_stream(0, 1, 0), V::new_stream(1, 1, 0));
    let (one, other) = (wrap::<V>(raw_first), wrap::<V>(raw_second));
    assert_ne!(one, other);
    let of_one_device = one.device() == other.device();
    let refusal = if of_one_device { ErrorKind::InvalidHandle } else { ErrorKind::DeviceMismatch };
    if !of_one_device {
        // SAFETY: the handle is rejected before it is used.
        let wrong = unsafe { V::Backend::stream_from_raw(one.raw(), Some(other.device())) };
        let text = expect_kind("a wrong device", wrong, ErrorKind::DeviceMismatch);
        assert!([&one, &other].iter().all(|of| text.contains(&of.device().to_string())), "{text}");
    }
    for current in 0..=V::places() {
        let _current = (current < V::places()).then(|| V::enter(current));
        if current == V::places() {
            V::leave();
        }
        let gate = V::gate(raw_first);
        other.wait_stream(&one).unwrap();
        let event = other.record_event().unwrap();
        assert_eq!(event.device(), other.device());
        assert_eq!(event.status().unwrap(), EventStatus::Pending);
        one.wait_event(&event).unwrap();
        expect_kind("a record of another's event", one.record(&event), refusal);
        let unrecorded = own_event::<V>(EventOptions::new());
        let text = expect_kind("a record across places", other.record(&unrecorded), refusal);
        assert!(!of_one_device || text.contains("Stream::new_event"), "{text}");
        assert_eq!(unrecorded.status().unwrap(), EventStatus::Unrecorded);
        let timed = [(); 2].map(|()| other.new_event(EventOptions::timed()).unwrap());
        timed.iter().for_each(|event| other.record(event).unwrap());
        drop(gate);
        one.synchronize().unwrap();
        other.synchronize().unwrap();
        assert_eq!(event.status().unwrap(), EventStatus::Complete);
        assert!(timed[1].elapsed_since(&timed[0]).unwrap() >= 0.0);
        expect_kind("a record across places", one.record(&timed[1]), refusal);
        one.wait_event(&timed[1]).unwrap();
        one.synchronize().unwrap();
    }
}

/// Checks that a wrapper that was not checked works at every place of its device. Every wait for it holds,
/// whether it is the wrapper's first call or not.
pub fn unchecked_stream_works<V: Vendor>() {
    let waiter = own_stream::<V>();
    for place in 0..V::places() {
        let raw = V::new_stream(place, 1, 0);
        let (device, is_same) = {
            let checked = wrap::<V>(raw);
            (checked.device(), checked.device() == waiter.device())
        };
        // SAFETY: the stream belongs to this device, and is never destroyed.
        let unchecked = || unsafe {
            V::Backend::stream_from_raw_unchecked(RawStream::from_ptr(raw), device).unwrap()
        };
        assert!(unchecked().query().unwrap());
        assert_eq!(unchecked(), wrap::<V>(raw));
        type Wait<'a, S> = &'a dyn Fn(&S);
        let waits: [Wait<StreamOf<V>>; 4] = [
            &|stream| waiter.wait_stream(stream).unwrap(),
            &|stream| stream.fork([&waiter]).unwrap(),
            &|stream| waiter.join([stream]).unwrap(),
            &|stream| {
                let event = stream.record_event().unwrap();
                assert_eq!(event.status().unwrap(), EventStatus::Pending);
                waiter.wait_event(&event).unwrap();
            },
        ];
        let kept = unchecked();
        for wait in waits.iter().chain(&waits) {
            for stream in [&unchecked(), &kept] {
                let gate = V::gate(raw);
                wait(stream);
                assert!(!waiter.query().unwrap(), "the waiter did not wait");
                drop(gate);
                waiter.synchronize().unwrap();
            }
            let own = unchecked().new_event(EventOptions::new()).unwrap();
            unchecked().record(&own).unwrap();
            let foreign = own_event::<V>(EventOptions::new());
            let recorded = unchecked().record(&foreign);
            let is_recorded = foreign.status().unwrap() != EventStatus::Unrecorded;
            assert_eq!((recorded.is_ok(), is_recorded), (place == 0, place == 0), "{is_same}");
        }
    }
}

/// Checks that every call of the stream and its wrappers reports the fault of a panic, also on the fast
/// paths. Other streams work.
pub fn host_function_panic_is_a_stream_fault<V: Vendor>() {
    let raw = V::new_stream(0, 1, 0);
    let (stream, other) = (wrap::<V>(raw), wrap::<V>(V::new_stream(0, 1, 0)));
    let event = other.record_event().unwrap();
    // So that the fast paths have all that they need.
    other.wait_stream(&stream).unwrap();
    drop([(); 4].map(|()| stream.record_event().unwrap()));
    let held = Arc::new(());
    let inside = Arc::clone(&held);
    let func = move || {
        let _inside = inside;
        resume_unwind(Box::new("meant to fail"));
    };
    stream.launch_host_func(Box::new(func)).unwrap();
    type Call<'a, V> = &'a dyn Fn() -> Result<(), ErrorOf<V>>;
    let clone = stream.clone();
    let calls: [(&str, Call<V>); 14] = [
        ("synchronize", &|| stream.synchronize()),
        ("query", &|| stream.query().map(drop)),
        ("query by a clone", &|| clone.query().map(drop)),
        ("record", &|| stream.record(&event)),
        ("record_event", &|| stream.record_event().map(drop)),
        ("wait_event", &|| stream.wait_event(&event)),
        ("host function", &|| stream.launch_host_func(Box::new(|| ()))),
        ("wait_stream", &|| stream.wait_stream(&other)),
        ("wait_stream, by another", &|| other.wait_stream(&stream)),
        ("fork", &|| stream.fork([&other])),
        ("fork, by another", &|| other.fork([&own_stream::<V>(), &stream])),
        ("join", &|| stream.join([&other])),
        ("join, by another", &|| other.join([&own_stream::<V>(), &stream])),
        ("query by another wrapper", &|| wrap::<V>(raw).query().map(drop)),
    ];
    for (name, call) in calls.iter().chain(&calls) {
        // Without ids, the backend cannot identify the stream of another wrapper.
        if V::has_stream_ids() || *name != "query by another wrapper" {
            let text = expect_kind(name, call(), ErrorKind::StreamFault);
            assert!(text.contains("meant to fail"), "{name}: {text}");
        }
    }
    assert_eq!(Arc::strong_count(&held), 1, "the function's captures were not dropped");
    other.record(&event).unwrap();
    other.wait_stream(&own_stream::<V>()).unwrap();
    other.synchronize().unwrap();
    assert!(other.query().unwrap());
}

/// Checks that a host function may drop the last reference to a stream and to events. Nothing hangs, and the
/// functions after it run.
pub fn objects_dropped_in_a_host_function<V: Vendor>() {
    let carrier = own_stream::<V>();
    let ran = Arc::new(AtomicU32::new(0));
    for _ in 0..100 {
        let stream = own_stream::<V>();
        let event = own_event::<V>(EventOptions::timed());
        stream.record(&event).unwrap();
        let ran = Arc::clone(&ran);
        let all = (stream.record_event().unwrap(), event, stream);
        let func = move || {
            assert!(all.2.synchronize().is_err(), "synchronize inside a host function");
            drop(all);
            ran.fetch_add(1, Ordering::SeqCst);
        };
        carrier.launch_host_func(Box::new(func)).unwrap();
    }
    carrier.synchronize().unwrap();
    assert_eq!(ran.load(Ordering::SeqCst), 100);
}
