//! Foreign events, and events of the backend that another library records.

use std::sync::Arc;

use gpu_stream_core::{
    Backend, Device, ErrorKind, Event, EventOptions, EventOwner, EventStatus, RawEvent, Stream,
    StreamOptions,
};

use crate::expect_kind;
use crate::vendor::{Ptr, Vendor, device, own_event, own_stream, wrap};

/// Checks that a foreign event can be waited for and recorded, whichever place is current, and that dropping
/// its wrapper does not destroy it.
pub fn foreign_event_can_be_waited_for_and_recorded<V: Vendor>() {
    let (raw, raw_waiter) = (V::new_stream(0, 1, 0), V::new_stream(0, 1, 0));
    let (stream, waiter) = (wrap::<V>(raw), wrap::<V>(raw_waiter));
    let last = wrap::<V>(V::new_stream(V::places() - 1, 1, 0));
    for (current, flags) in (0..=V::places()).flat_map(|current| [(current, 0), (current, 2)]) {
        let theirs = V::new_event(0, flags);
        let _current = (current < V::places()).then(|| V::enter(current));
        if current == V::places() {
            V::leave();
        }
        // If the places are devices, a handle without a device belongs to the current one.
        let named = (current == 1 && last.device() != stream.device()).then(device::<V>);
        // SAFETY: the tests' events are never destroyed, nor are the streams that record them.
        let event = unsafe { V::Backend::event_from_raw(RawEvent::from_ptr(theirs), named) };
        let event = event.expect("a foreign event");
        assert!(event.is_foreign() && event.raw().as_ptr() == theirs);
        assert_eq!(event.device(), device::<V>());
        assert!(event.query().unwrap(), "a foreign event without a record is done");
        for by_the_backend in [false, true] {
            let gate = V::gate(raw);
            if by_the_backend {
                stream.record(&event).unwrap();
            } else {
                V::record(theirs, raw);
            }
            assert_eq!(event.status().unwrap(), EventStatus::Pending);
            waiter.wait_event(&event).unwrap();
            assert!(!waiter.query().unwrap(), "the waiter did not wait");
            drop(gate);
            event.synchronize().unwrap();
            waiter.synchronize().unwrap();
            assert_eq!(event.status().unwrap(), EventStatus::Complete);
        }
        assert_eq!(event.raw().as_ptr(), theirs, "another handle was recorded");
        drop(event);
        // Neither destroyed nor pooled. A pooled event would show another library's records.
        let other = stream.record_event().unwrap();
        assert_ne!(other.raw().as_ptr(), theirs);
        V::record(theirs, raw);
        V::synchronize(raw);
    }
}

/// An owner of a timed event that is never destroyed.
struct Owner(usize);

// SAFETY: the tests' events are never destroyed.
unsafe impl<B: Backend<RawEvent = RawEvent<B>>> EventOwner<B> for Owner {
    fn raw_event(&self) -> RawEvent<B> {
        RawEvent::from_bits(self.0)
    }

    fn device(&self) -> Option<Device> {
        Some(Device::new(B::KIND, 0))
    }

    fn options(&self) -> Option<EventOptions> {
        Some(EventOptions::timed())
    }
}

/// Checks that a wrapper keeps the owner of its event, and that a rejected owner is dropped.
pub fn event_owner_is_kept<V: Vendor>() {
    let handle: Ptr = V::new_event(0, 0);
    let owner = Arc::new(Owner(handle.expose_provenance()));
    let event = V::Backend::event_from_owner(Arc::clone(&owner), None).expect("a foreign event");
    assert!(event.is_foreign() && event.options().is_timed());
    assert_eq!(Arc::strong_count(&owner), 2);
    assert_eq!(event.status().unwrap(), EventStatus::Unrecorded, "a timed event shows it");
    wrap::<V>(V::new_stream(0, 1, 0)).record(&event).unwrap();
    event.synchronize().unwrap();
    assert_eq!(event.elapsed_since(&event).unwrap(), 0.0);
    drop(event);
    assert_eq!(Arc::strong_count(&owner), 1);
    let absent = Device::new(V::Backend::KIND, 9_999);
    assert!(V::Backend::event_from_owner(Arc::clone(&owner), Some(absent)).is_err());
    assert_eq!(Arc::strong_count(&owner), 1, "a rejected owner is dropped");
}

/// Checks that handle 0 and a device that does not exist are rejected.
pub fn invalid_event_handle_is_rejected<V: Vendor>() {
    // SAFETY: handle 0 is rejected.
    let null = unsafe { V::Backend::event_from_raw(RawEvent::from_bits(0), None) };
    expect_kind("handle 0", null, ErrorKind::InvalidHandle);
    let absent = Some(Device::new(V::Backend::KIND, 9_999));
    let theirs = RawEvent::from_ptr(V::new_event(0, 2));
    // SAFETY: the event is never destroyed.
    let wrapped = unsafe { V::Backend::event_from_raw(theirs, absent) };
    expect_kind("no such device", wrapped, ErrorKind::InvalidDevice);
}

/// Checks that an event of the backend shows the records that another library makes.
pub fn another_library_records_our_event<V: Vendor>() {
    let raw = V::new_stream(0, 1, 0);
    let options = [EventOptions::timed(), EventOptions::timed(), EventOptions::new()];
    let events = options.map(own_event::<V>);
    let [start, end, plain] = &events;
    assert_eq!(start.status().unwrap(), EventStatus::Unrecorded);
    let handles = [start, end, plain].map(|event| event.raw().as_ptr());
    assert_eq!(end.status().unwrap(), EventStatus::Unrecorded, "a timed event shows it");
    expect_kind("elapsed_since", end.elapsed_since(start), ErrorKind::EventNotRecorded);
    let gate = V::gate(raw);
    handles.into_iter().for_each(|event| V::record(event, raw));
    for event in &events {
        assert_eq!(event.status().unwrap(), EventStatus::Pending);
    }
    expect_kind("elapsed_since", end.elapsed_since(start), ErrorKind::EventPending);
    drop(gate);
    for event in &events {
        event.synchronize().unwrap();
        assert_eq!(event.status().unwrap(), EventStatus::Complete);
    }
    assert!(end.elapsed_since(start).unwrap() >= 0.0);
    expect_kind("elapsed_since", plain.elapsed_since(plain), ErrorKind::EventNotTimed);
}

/// Checks that streams report whether they block, and that the default stream waits for those only.
pub fn streams_report_whether_they_block<V: Vendor>() {
    let default = V::Backend::default_stream(device::<V>()).unwrap();
    let own = V::Backend::per_thread_stream(device::<V>()).unwrap();
    assert!(default.is_blocking().unwrap() && own.is_blocking().unwrap());
    for blocking in [true, false] {
        let options = StreamOptions::new().blocking(blocking);
        let ours = V::Backend::new_stream(device::<V>(), options).unwrap();
        let sibling = own_stream::<V>().new_stream(options).unwrap();
        let wrapper = wrap::<V>(ours.raw().as_ptr());
        let foreign = wrap::<V>(V::new_stream(0, u32::from(!blocking), 0));
        for stream in [&ours, &sibling, &wrapper, &foreign] {
            assert_eq!(stream.is_blocking().unwrap(), blocking, "{stream:?}");
        }
        let gate = V::gate(ours.raw().as_ptr());
        let event = default.record_event().unwrap();
        if blocking {
            assert_eq!(event.status().unwrap(), EventStatus::Pending);
        } else {
            event.synchronize().unwrap();
        }
        drop(gate);
        event.synchronize().unwrap();
        ours.synchronize().unwrap();
    }
}
