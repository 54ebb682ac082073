//! Streams of all priorities wait for each other, and use one number without a lock.
//!
//! Closures are small, large and over-aligned, and fill more than one chunk of a queue.

use std::sync::Arc;
use std::thread;

use gpu_stream_core::{Backend, Event, EventOptions, Stream};
use gpu_stream_host::{Gate, Host};
use gpu_stream_miri::{Number, adds, stream};

#[repr(align(64))]
struct Aligned(u64);

fn main() {
    let (number, gate) =
        (Arc::new(Number::default()), Gate::new(Host::device(0).expect("device")).expect("gate"));
    let streams = [stream(-1), stream(0), stream(1)];
    streams[0].wait_event(gate.event()).expect("wait");
    let timed = Host::new_event(streams[0].device(), EventOptions::timed()).expect("event");
    for round in 0..6_u64 {
        for (index, stream) in streams.iter().enumerate() {
            stream.launch(adds(&number)).expect("launch");
            let (shared, large) = (Arc::clone(&number), [round; 20]);
            stream.launch(move || assert!(shared.add() >= large[19])).expect("launch");
            let (shared, aligned) = (Arc::clone(&number), Aligned(round));
            let check = move || {
                let aligned = &aligned;
                assert!(std::ptr::from_ref(aligned).addr().is_multiple_of(64));
                assert!(shared.add() >= aligned.0);
            };
            stream.launch(check).expect("launch");
            stream.record(&timed).expect("record");
            streams[(index + 1) % 3].wait_stream(stream).expect("wait");
        }
    }
    let waiting = streams[2].clone();
    let other = thread::spawn(move || waiting.synchronize().expect("synchronize"));
    gate.open();
    timed.synchronize().expect("synchronize");
    other.join().expect("join");
    streams[0].synchronize().expect("synchronize");
    assert_eq!(number.add(), 6 * 3 * 3 + 1);
}
