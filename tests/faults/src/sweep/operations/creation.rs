//! Calls that create or wrap objects: [`add_new`], [`add_wrap`].

use std::sync::Arc;

use gpu_stream_core::Event;
use gpu_stream_core::{Backend, BackendKind, Device, RawStream, Stream, StreamOptions};

use super::{Answer, Table, boxed, expect_ok, options};
use crate::sweep::{FaultFixture, Feature, Foreign, StreamOf, TestStreams};

/// Adds the calls that create objects or describe devices.
pub(super) fn add_new<'w, V: FaultFixture>(
    table: &mut Table<'w>,
    test_streams: &'w TestStreams<V>,
) {
    let device = test_streams.device;
    table.call("probe", V::Backend::probe);
    table.call("devices", V::Backend::devices);
    table.call("device", move || V::Backend::device(0));
    table.call("priority_range", move || V::Backend::priority_range(device));
    table.call("default_stream", move || V::Backend::default_stream(device));
    let other = match V::Backend::KIND {
        BackendKind::Cuda => BackendKind::Hip,
        _ => BackendKind::Cuda,
    };
    let absent = [Device::new(V::Backend::KIND, 9_999), Device::new(other, 0)];
    for device in [device, absent[0], absent[1]] {
        for priority in [0, 99] {
            table.add(format!("new_stream, {device}, priority {priority}"), move |probe| {
                let options = StreamOptions::new().priority(priority);
                let made = probe.act(|| V::Backend::new_stream(device, options));
                if let Some(made) = made {
                    expect_ok("synchronize of a new stream", made.synchronize());
                }
            });
        }
        for (name, options) in options() {
            table.add(format!("new_event, {name}, {device}"), move |probe| {
                let made = probe.act(|| V::Backend::new_event(device, options));
                if let Some(made) = made {
                    expect_ok("synchronize of a new event", made.synchronize());
                }
            });
        }
    }
}

/// Adds the calls that wrap a foreign stream, and calls on streams that were wrapped unchecked.
pub(super) fn add_wrap<'w, V: FaultFixture>(
    table: &mut Table<'w>,
    test_streams: &'w TestStreams<V>,
) {
    let absent = Device::new(V::Backend::KIND, 9_999);
    let sorts = [("0", 0), ("1", 1), ("2", 2), ("explicit", test_streams.raw)];
    for (name, bits) in sorts {
        let raw = RawStream::from_bits(bits);
        for given in [None, Some(test_streams.device), Some(absent)] {
            let of = given.map_or("no device".to_owned(), |device| device.to_string());
            table.add(format!("wrap, {name}, {of}"), move |probe| {
                // SAFETY: the stream of `test_streams` is never destroyed, and the other handles
                // are rejected or always valid.
                drop(probe.act(|| unsafe { V::Backend::stream_from_raw(raw, given) }));
            });
        }
        let device = test_streams.device;
        table.add(format!("wrap unchecked, {name}"), move |probe| {
            // SAFETY: the stream of `test_streams` is never destroyed, and the other handles are
            // rejected or always valid.
            drop(probe.act(|| unsafe { V::Backend::stream_from_raw_unchecked(raw, device) }));
        });
        type Call<V> = fn(&StreamOf<V>, &StreamOf<V>) -> Answer<V>;
        let calls: [(&str, Call<V>); 4] = [
            ("record_event", |stream, _| boxed(stream.record_event())),
            ("query", |stream, _| boxed(stream.query())),
            ("wait_stream", |stream, other| boxed(stream.wait_stream(other))),
            ("synchronize", |stream, _| boxed(stream.synchronize())),
        ];
        let add_calls = |table: &mut Table<'w>| {
            // The backend rejects handle 2.
            for (call, run) in calls.into_iter().filter(|_| bits != 2) {
                table.add(format!("{call}, wrapped unchecked, {name}"), move |probe| {
                    // SAFETY: the stream of `test_streams` is never destroyed, and handles 0 and 1 are
                    // always valid.
                    let wrapped = unsafe { V::Backend::stream_from_raw_unchecked(raw, device) };
                    let wrapped = expect_ok("wrapping", wrapped);
                    probe.act(|| run(&wrapped, &test_streams.streams[0].1));
                });
            }
        };
        match bits {
            0 | 1 => table.add_with::<V>(Feature::DefaultStream, add_calls),
            _ => add_calls(table),
        }
    }
    table.add("wrap, from an owner", move |probe| {
        let owner = Arc::clone(&test_streams.owners[0]);
        let references = Arc::strong_count(&owner);
        let wrapped =
            probe.act(|| V::Backend::stream_from_owner::<Foreign>(Arc::clone(&owner), None));
        let more = usize::from(wrapped.is_some());
        probe.check(
            Arc::strong_count(&owner) == references + more,
            "the wrapper has one reference to the owner",
        );
        drop(wrapped);
        probe.check(Arc::strong_count(&owner) == references, "the reference was dropped");
    });
}
