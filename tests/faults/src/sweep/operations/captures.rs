//! Calls during a capture, on the capturing stream and on another: [`add_captures`].

use gpu_stream_core::{Backend, Event, EventOptions, RawStream, Stream, StreamOptions};

use super::{Answer, Table, boxed, expect_ok, recorded_event};
use crate::sweep::{ErrorOf, EventOf, FaultFixture, StreamOf, TestStreams};

/// Adds the calls that are made during a capture.
pub(super) fn add_captures<'w, V: FaultFixture>(
    table: &mut Table<'w>,
    test_streams: &'w TestStreams<V>,
) {
    type Call<V> = fn(&StreamOf<V>, &StreamOf<V>) -> Answer<V>;
    let calls: [(&str, Call<V>); 11] = [
        ("query", |captured, _| boxed(captured.query())),
        ("synchronize", |captured, _| boxed(captured.synchronize())),
        ("host function", |captured, _| boxed(captured.launch_host_func(Box::new(|| ())))),
        ("capture_status", |captured, _| boxed(captured.capture_status())),
        ("id", |captured, _| boxed(captured.id())),
        ("priority", |captured, _| boxed(captured.priority())),
        ("record_event", |captured, _| boxed(captured.record_event())),
        ("query beside", |_, other| boxed(other.query())),
        ("synchronize beside", |_, other| boxed(other.synchronize())),
        ("record_event beside", |_, other| boxed(other.record_event())),
        ("new stream beside", |_, other| {
            boxed(V::Backend::new_stream(other.device(), StreamOptions::new()))
        }),
    ];
    for (name, call) in calls {
        table.add(format!("capture: {name}"), move |probe| {
            let raw = RawStream::from_bits(test_streams.captured);
            // SAFETY: the stream of `test_streams` is never destroyed.
            let wrapped = unsafe { V::Backend::stream_from_raw(raw, None) };
            let captured = expect_ok("wrapping a stream", wrapped);
            let _end = Capture::<V>::begin(test_streams.captured);
            probe.act(|| call(&captured, &test_streams.streams[0].1));
            probe.check_capture(V::is_capture_alive(test_streams.captured));
        });
    }
    type Ask<V> = fn(&EventOf<V>) -> Result<(), ErrorOf<V>>;
    let questions: [(&str, Ask<V>); 2] = [
        ("status", |event| event.status().map(drop)),
        ("synchronize", |event| event.synchronize()),
    ];
    for (name, ask) in questions {
        for of_the_capture in [true, false] {
            let of = if of_the_capture { "of the capture" } else { "beside" };
            table.add(format!("capture: event {name}, {of}"), move |probe| {
                let raw = RawStream::from_bits(test_streams.captured);
                // SAFETY: the stream of `test_streams` is never destroyed.
                let wrapped = unsafe { V::Backend::stream_from_raw(raw, None) };
                let captured = expect_ok("wrapping a stream", wrapped);
                let _end = Capture::<V>::begin(test_streams.captured);
                let on = if of_the_capture { &captured } else { &test_streams.streams[0].1 };
                let event = expect_ok("a record", on.record_event());
                probe.act(|| ask(&event));
                probe.check_capture(V::is_capture_alive(test_streams.captured));
            });
        }
    }
    table.add("drop, capture: a timed event beside", move |probe| {
        let event = recorded_event::<V>(&test_streams.streams[0].1, EventOptions::timed());
        let _end = Capture::<V>::begin(test_streams.captured);
        probe.act_silent(|| drop(event));
        probe.check_capture(V::is_capture_alive(test_streams.captured));
    });
}

/// A capture guard: ends the capture of its stream on drop.
pub(super) struct Capture<V: FaultFixture>(usize, std::marker::PhantomData<V>);

impl<V: FaultFixture> Capture<V> {
    pub(super) fn begin(stream: usize) -> Self {
        V::begin_capture(stream);
        Capture(stream, std::marker::PhantomData)
    }
}

impl<V: FaultFixture> Drop for Capture<V> {
    fn drop(&mut self) {
        V::end_capture(self.0);
    }
}
