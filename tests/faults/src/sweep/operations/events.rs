//! Calls on events: [`add_events`].

use gpu_stream_core::{Event, EventOptions, Stream};

use super::{Table, expect_ok, recorded_event};
use crate::sweep::{EventOf, FaultFixture, StreamOf, TestStreams};

/// Adds the calls on events of each kind of stream.
pub(super) fn add_events<'w, V: FaultFixture>(
    table: &mut Table<'w>,
    test_streams: &'w TestStreams<V>,
) {
    for (kind, stream) in &test_streams.streams {
        type NewEvent<V> = fn(&StreamOf<V>) -> EventOf<V>;
        let new_event: [(&str, NewEvent<V>); 2] = [
            ("unrecorded", |stream| expect_ok("event", stream.new_event(EventOptions::new()))),
            ("recorded", |stream| recorded_event::<V>(stream, EventOptions::new())),
        ];
        for (name, new_event) in new_event {
            // Waits for the record, so that one poll is enough.
            let new_event = move || {
                let event = new_event(stream);
                expect_ok("synchronize", stream.synchronize());
                expect_ok("synchronize", event.synchronize());
                event
            };
            table.add(format!("status, {name}, {kind}"), move |probe| {
                let event = new_event();
                probe.act(|| event.status());
            });
            table.add(format!("event query, {name}, {kind}"), move |probe| {
                let event = new_event();
                probe.act(|| event.query());
            });
            table.add(format!("event synchronize, {name}, {kind}"), move |probe| {
                let event = new_event();
                probe.act(|| event.synchronize());
            });
            table.add(format!("wait_event, {name}, {kind}"), move |probe| {
                let event = new_event();
                probe.act(|| stream.wait_event(&event));
                expect_ok("wait_event", stream.wait_event(&event));
            });
        }
        table.add(format!("elapsed_since, {kind}"), move |probe| {
            let (start, end) = (
                recorded_event::<V>(stream, EventOptions::timed()),
                recorded_event::<V>(stream, EventOptions::timed()),
            );
            expect_ok("synchronize", end.synchronize());
            probe.act(|| end.elapsed_since(&start));
            expect_ok("elapsed_since", end.elapsed_since(&start));
        });
        table.add(format!("elapsed_since of an event without time, {kind}"), move |probe| {
            let event = recorded_event::<V>(stream, EventOptions::new());
            probe.act(|| event.elapsed_since(&event));
        });
    }
}
