//! Calls on each kind of stream, and orders between two: [`add_streams`], [`add_new_streams`],
//! [`add_ordering`].

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gpu_stream_core::{Backend, Event, EventOptions, Stream, StreamOptions};

use super::{Table, expect_ok, recorded_event};
use crate::sweep::{FaultFixture, StreamOf, TestStreams};

/// Adds the calls on each kind of stream.
pub(super) fn add_streams<'w, V: FaultFixture>(
    table: &mut Table<'w>,
    test_streams: &'w TestStreams<V>,
) {
    for (kind, stream) in &test_streams.streams {
        table.call(format!("query, {kind}"), move || stream.query());
        table.call(format!("synchronize, {kind}"), move || stream.synchronize());
        table.call(format!("priority, {kind}"), move || stream.priority());
        table.call(format!("id, {kind}"), move || stream.id());
        table.call(format!("capture_status, {kind}"), move || stream.capture_status());
        table.add(format!("record_event, {kind}"), move |probe| {
            if let Some(event) = probe.act(|| stream.record_event()) {
                expect_ok("synchronize", event.synchronize());
            }
        });
        add_records(table, test_streams, kind, stream);
        table.add(format!("host function, {kind}"), move |probe| {
            let (token, ran) = (Arc::new(()), Arc::new(AtomicUsize::new(0)));
            let (held, count) = (Arc::clone(&token), Arc::clone(&ran));
            probe.act(|| {
                stream.launch_host_func(Box::new(move || {
                    count.fetch_add(1, Ordering::SeqCst);
                    drop(held);
                }))
            });
            expect_ok("synchronize", stream.synchronize());
            let runs = ran.load(Ordering::SeqCst);
            probe.check(runs <= 1, "the function ran twice");
            probe.check(runs == 1 || !probe.is_done(), "the function did not run");
            probe.check(Arc::strong_count(&token) == 1, "what the function held is still there");
        });
        table.add(format!("clone, compare, hash, {kind}"), move |probe| {
            probe.act_silent(|| {
                let mut hasher = DefaultHasher::new();
                stream.clone().hash(&mut hasher);
                let equal = stream.clone() == *stream;
                (equal, hasher.finish())
            });
        });
    }
}

/// Adds the records of an event on `stream`.
fn add_records<'w, V: FaultFixture>(
    table: &mut Table<'w>,
    test_streams: &'w TestStreams<V>,
    kind: &'static str,
    stream: &'w StreamOf<V>,
) {
    for (name, options) in [("plain", EventOptions::new()), ("timed", EventOptions::timed())] {
        table.call(format!("new event of the stream, {name}, {kind}"), move || {
            stream.new_event(options)
        });
        table.add(format!("record, {name}, {kind}"), move |probe| {
            let event = expect_ok("an event", stream.new_event(options));
            probe.act(|| stream.record(&event));
            // The event can be recorded and queried, whatever the record under fault did.
            expect_ok("a record", stream.record(&event));
            expect_ok("synchronize", event.synchronize());
        });
        table.add(format!("record again, {name}, {kind}"), move |probe| {
            let event = recorded_event::<V>(stream, options);
            probe.act(|| stream.record(&event));
            expect_ok("a wait for it", stream.wait_event(&event));
            expect_ok("synchronize", event.synchronize());
        });
    }
    table.add(format!("record after the handle was given out, {kind}"), move |probe| {
        let event = recorded_event::<V>(stream, EventOptions::new());
        event.raw();
        probe.act(|| stream.record(&event));
        expect_ok("synchronize", event.synchronize());
    });
    table.add(format!("record of the first device's event, {kind}"), move |probe| {
        let event =
            expect_ok("an event", V::Backend::new_event(test_streams.device, EventOptions::new()));
        probe.act(|| stream.record(&event));
    });
}

/// Adds the flags of each kind of stream, and the streams that it creates in its own context.
pub(super) fn add_new_streams<'w, V: FaultFixture>(
    table: &mut Table<'w>,
    test_streams: &'w TestStreams<V>,
) {
    for (kind, stream) in &test_streams.streams {
        table.call(format!("is_blocking, {kind}"), move || stream.is_blocking());
        for (name, options) in [
            ("plain", StreamOptions::new()),
            ("blocking", StreamOptions::new().blocking(true)),
            ("priority 99", StreamOptions::new().priority(99)),
        ] {
            table.add(format!("new_stream of the stream, {name}, {kind}"), move |probe| {
                if let Some(made) = probe.act(|| stream.new_stream(options)) {
                    expect_ok("wait_stream", made.wait_stream(stream));
                    expect_ok("synchronize", made.synchronize());
                }
            });
        }
    }
}

/// Adds the calls that order one stream after another.
pub(super) fn add_ordering<'w, V: FaultFixture>(
    table: &mut Table<'w>,
    test_streams: &'w TestStreams<V>,
) {
    for (kind, stream) in &test_streams.streams {
        for (of, other) in &test_streams.streams {
            table.call(format!("wait_stream, {kind} for {of}"), move || stream.wait_stream(other));
            table.add(format!("wait_event, {kind} for {of}"), move |probe| {
                let event = recorded_event::<V>(other, EventOptions::new());
                probe.act(|| stream.wait_event(&event));
            });
            table.call(format!("fork, {kind} to {of} and one more"), move || {
                stream.fork([other, &test_streams.streams[0].1])
            });
            table.call(format!("join, {of} and one more into {kind}"), move || {
                stream.join([other, &test_streams.streams[0].1])
            });
        }
    }
}
