//! Calls on an event of another library, and on events for other processes: [`add_foreign_events`],
//! [`add_interprocess`].

use gpu_stream_core::{Backend, Event, EventOptions, Stream};

use super::{Table, expect_ok};
use crate::sweep::{ErrorOf, EventOf, FaultFixture, TestStreams};

/// Adds the wrapping of an event that the backend did not create, and the calls on it.
pub(super) fn add_foreign_events<'w, V: FaultFixture>(
    table: &mut Table<'w>,
    test_streams: &'w TestStreams<V>,
) {
    let raw = V::foreign_event();
    // SAFETY: the event is never destroyed.
    let wrap = move |device| unsafe { V::Backend::event_from_raw(raw, device) };
    let event = move || expect_ok("wrapping an event", wrap(Some(test_streams.device)));
    let stream = &test_streams.streams[0].1;
    table.add("wrap_event, no device", move |probe| drop(probe.act(|| wrap(None))));
    table.add("wrap_event, a device", move |probe| {
        drop(probe.act(|| wrap(Some(test_streams.device))));
    });
    table.add("foreign event: record", move |probe| {
        let event = event();
        probe.act(|| stream.record(&event));
    });
    table.add("foreign event: wait_event", move |probe| {
        let event = event();
        probe.act(|| stream.wait_event(&event));
    });
    table.add("foreign event: status", move |probe| {
        let event = event();
        probe.act(|| event.status());
    });
    table.add("foreign event: synchronize", move |probe| {
        let event = event();
        probe.act(|| event.synchronize());
    });
}

/// Adds the handles of events for other processes, and the texts of a code and an event.
pub(super) fn add_interprocess<'w, V: FaultFixture>(
    table: &mut Table<'w>,
    test_streams: &'w TestStreams<V>,
) {
    let device = test_streams.device;
    let interprocess = move || -> Result<EventOf<V>, ErrorOf<V>> {
        let options = EventOptions::builder().interprocess(true).build()?;
        V::Backend::new_event(device, options)
    };
    let plain = move || V::Backend::new_event(device, EventOptions::new());
    // A backend without such events rejects them when they are created, in the call itself.
    table.add("ipc_handle", move |probe| {
        let event = interprocess();
        probe.act(|| match &event {
            Ok(event) => V::ipc_handle(event),
            Err(_) => interprocess().map(drop),
        });
    });
    table.add("ipc_handle of a plain event", move |probe| {
        let event = expect_ok("an event", plain());
        probe.act(|| V::ipc_handle(&event));
    });
    table.add("ipc open of zeros", move |probe| drop(probe.act(|| V::open_ipc_zeros(device))));
    table.add("text of a code", |probe| {
        let text = probe.act_silent(|| V::text_of(1));
        probe.check(text.is_some_and(|text| text.contains('1')), "the text has the number");
    });
    table.add("debug of an event", move |probe| {
        let event = expect_ok("an event", plain());
        let text = probe.act_silent(|| format!("{event:?}"));
        let type_name = std::any::type_name::<EventOf<V>>().rsplit("::").next().unwrap_or_default();
        probe.check(text.is_some_and(|text| text.contains(type_name)), "the text has the type");
        expect_ok("synchronize", event.synchronize());
    });
}
