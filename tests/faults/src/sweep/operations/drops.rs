//! Drops of streams and events: [`add_drops`].

use gpu_stream_core::{Backend, Event, EventOptions, Stream};

use super::{Table, expect_ok, recorded_event};
use crate::sweep::{FaultFixture, TestStreams};

/// Adds the drops of idle objects, and of objects whose destruction is deferred.
pub(super) fn add_drops<'w, V: FaultFixture>(
    table: &mut Table<'w>,
    test_streams: &'w TestStreams<V>,
) {
    let stream = &test_streams.streams[0].1;
    let own = &test_streams.streams[test_streams.streams.len() - 1].1;
    for (name, options) in [("plain", EventOptions::new()), ("timed", EventOptions::timed())] {
        for (record, is_recorded) in [("unrecorded", false), ("recorded", true)] {
            table.add(format!("drop, an event, {name}, {record}"), move |probe| {
                let event = expect_ok("an event", own.new_event(options));
                if is_recorded {
                    expect_ok("a record", own.record(&event));
                }
                probe.act_silent(|| drop(event));
            });
        }
    }
    table.add("drop, an event whose handle was given out", move |probe| {
        let event = recorded_event::<V>(stream, EventOptions::new());
        event.raw();
        probe.act_silent(|| drop(event));
    });
    table.add("drop, a stream", move |probe| {
        let made = expect_ok(
            "new_stream",
            V::Backend::new_stream(test_streams.device, Default::default()),
        );
        probe.act_silent(|| drop(made));
    });
    table.add("drop, a stream and an event that was recorded on it", move |probe| {
        let made = expect_ok(
            "new_stream",
            V::Backend::new_stream(test_streams.device, Default::default()),
        );
        // The pool has an event for the wait then, which needs one only if the stream is still busy.
        drop(expect_ok("record_event", made.record_event()));
        let event = recorded_event::<V>(&made, EventOptions::timed());
        expect_ok("synchronize", made.synchronize());
        probe.act_silent(|| drop((made, event)));
    });
    table.add("drop, put off: dropped inside a host function", move |probe| {
        let made = expect_ok(
            "new_stream",
            V::Backend::new_stream(test_streams.device, Default::default()),
        );
        let event = recorded_event::<V>(stream, EventOptions::timed());
        let all = (made, event);
        expect_ok("host function", stream.launch_host_func(Box::new(move || drop(all))));
        expect_ok("synchronize", stream.synchronize());
        // Runs the destruction that the host function's drops deferred.
        probe.act_silent(|| {
            let unused = stream.new_event(EventOptions::timed());
            drop(unused);
        });
    });
}
