//! No call changes the thread's current place, capture mode or last error, whether it succeeds or not.

use gpu_stream_core::{Event, EventOptions, Stream};

use crate::vendor::{Vendor, own_event, own_stream, wrap};

/// Checks calls on a busy stream, with each place current.
pub fn while_work_is_pending<V: Vendor>() {
    for of in 0..V::places() {
        let raw = V::new_stream(of, 1, 0);
        let (stream, other) = (wrap::<V>(raw), own_stream::<V>());
        for current in 0..=V::places() {
            let _current = (current < V::places()).then(|| V::enter(current));
            if current == V::places() {
                V::leave();
            }
            let gate = V::gate(raw);
            let found = V::thread_state();
            let event = stream.record_event().unwrap();
            assert!(!stream.query().unwrap() && !event.query().unwrap());
            other.wait_stream(&stream).unwrap();
            other.wait_event(&event).unwrap();
            drop(event);
            assert_eq!(V::thread_state(), found);
            drop(gate);
            other.synchronize().unwrap();
            assert_eq!(V::thread_state(), found);
        }
    }
}

/// Checks drops on a thread that has never called the backend.
pub fn objects_dropped_on_another_thread<V: Vendor>() {
    let stream = own_stream::<V>();
    let events = [EventOptions::new(), EventOptions::timed()].map(own_event::<V>);
    for event in &events {
        stream.record(event).unwrap();
    }
    let drops = move || {
        let _current = V::enter(V::places() - 1);
        let found = V::thread_state();
        drop((stream, events));
        assert_eq!(V::thread_state(), found);
    };
    std::thread::spawn(drops).join().unwrap();
}
