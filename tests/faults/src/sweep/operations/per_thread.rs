//! Calls on the per-thread default stream, and the end of its thread.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use gpu_stream_core::{Backend, Event, EventOptions, Stream};

use super::{Table, expect_ok, recorded_event};
use crate::sweep::{FaultFixture, TestStreams};

/// Adds the calls on the calling thread's stream.
pub(super) fn add_calls<'w, V: FaultFixture>(
    table: &mut Table<'w>,
    test_streams: &'w TestStreams<V>,
) {
    let device = test_streams.device;
    let own = move || expect_ok("the thread's stream", V::Backend::per_thread_stream(device));
    table.call("per_thread_stream", move || V::Backend::per_thread_stream(device));
    table.call("query, the thread's", move || own().query());
    table.call("synchronize, the thread's", move || own().synchronize());
    table.call("priority, the thread's", move || own().priority());
    table.call("id, the thread's", move || own().id());
    table.call("capture_status, the thread's", move || own().capture_status());
    table.add("record_event, the thread's", move |probe| {
        let event = probe.act(|| own().record_event());
        expect_ok("synchronize", own().synchronize());
        drop(event);
    });
    table.add("record, the thread's", move |probe| {
        let event = expect_ok("an event", V::Backend::new_event(device, EventOptions::timed()));
        probe.act(|| own().record(&event));
        expect_ok("synchronize", event.synchronize());
    });
    table.add("wait_event, the thread's", move |probe| {
        let event = recorded_event::<V>(&test_streams.streams[0].1, EventOptions::new());
        probe.act(|| own().wait_event(&event));
        expect_ok("synchronize", own().synchronize());
    });
    table.add("wait_stream, for the thread's", move |probe| {
        let own = own();
        probe.act(|| test_streams.streams[0].1.wait_stream(&own));
    });
    table.add("host function, the thread's", move |probe| {
        let ran = Arc::new(AtomicUsize::new(0));
        let held = Arc::clone(&ran);
        let count = Box::new(move || {
            held.fetch_add(1, Ordering::SeqCst);
        });
        let own = own();
        probe.act(|| own.launch_host_func(count));
        expect_ok("synchronize", own.synchronize());
        probe.check(ran.load(Ordering::SeqCst) == 1 || !probe.is_done(), "it did not run");
        probe.check(Arc::strong_count(&ran) == 1, "what the function held is still there");
    });
}

/// Adds a thread's first call and the end of a thread that has recorded events.
pub(super) fn add_thread_lifetime<'w, V: FaultFixture>(
    table: &mut Table<'w>,
    test_streams: &'w TestStreams<V>,
) {
    let device = test_streams.device;
    table.add("the thread's first call", move |probe| {
        let first = || std::thread::spawn(move || V::Backend::per_thread_stream(device).map(drop));
        probe.act(|| first().join().expect("the thread"));
    });
    table.add("the end of a thread", move |probe| {
        let (may_end, wait) = mpsc::channel::<()>();
        let (send, receive) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let own = expect_ok("the thread's stream", V::Backend::per_thread_stream(device));
            let events = [EventOptions::new(), EventOptions::timed()].map(|options| {
                let event = expect_ok("an event", V::Backend::new_event(device, options));
                expect_ok("a record", own.record(&event));
                event
            });
            send.send(events).expect("the test");
            wait.recv().expect("the test");
        });
        let events = receive.recv().expect("the thread");
        let thread = Cell::new(Some(thread));
        probe.act_silent(|| {
            may_end.send(()).expect("the thread");
            thread.take().expect("a thread").join().expect("the thread");
        });
        for event in events {
            // These calls may report that the end of the thread failed.
            let _ = (event.status(), event.synchronize());
            let stream = &test_streams.streams[0].1;
            expect_ok("a record after the end of the thread", stream.record(&event));
            expect_ok("synchronize", event.synchronize());
        }
    });
}
