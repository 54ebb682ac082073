//! The object-safe form: it behaves as the typed form does, and distinguishes two vendors.

use std::sync::Arc;

use gpu_stream_core::KeepAlive;
use gpu_stream_core::dynamic::{BoxedEvent, DynBackend, SharedStream};

use super::support::*;
use crate::null_backend::NullBackend;

fn backend<F: Fixture>(fx: &F) -> Result<&dyn DynBackend, Verdict> {
    fx.dynamic().ok_or_else(|| Verdict::inapplicable("the backend has no object-safe form"))
}

/// Returns a backend of another vendor.
fn null_backend() -> &'static dyn DynBackend {
    &NullBackend
}

/// Returns a stream in both forms: the object, and a typed wrapper of the same handle for the
/// fixture.
fn both_forms<F: Fixture>(fx: &F) -> Result<(SharedStream, StreamOf<F>), Verdict> {
    let object = backend(fx)?.new_stream(device(fx)?, StreamOptions::new())?;
    let typed = object.as_any().downcast_ref::<StreamOf<F>>();
    let typed = typed.ok_or_else(|| Verdict::failed("the stream is not the backend's type"))?;
    let typed = typed.clone();
    Ok((object, typed))
}

/// Checks that handle, device, backend and options of an object are those of the typed form.
pub fn object_returns_the_same_properties<F: Fixture>(fx: &F) -> Outcome {
    let backend = backend(fx)?;
    check_eq(backend.kind(), F::Backend::KIND, "the kind")?;
    check_eq(backend.events_keep_owner(), F::Backend::EVENTS_KEEP_OWNER, "events_keep_owner")?;
    check_eq(backend.devices()?, F::Backend::devices()?, "the devices")?;
    check_eq(backend.probe()?, F::Backend::probe()?, "the probe")?;
    let (object, typed) = both_forms(fx)?;
    check_eq(object.backend(), F::Backend::KIND, "the stream's backend")?;
    check_eq(object.device(), typed.device(), "the stream's device")?;
    check_eq(object.raw_bits(), typed.raw().to_bits(), "the stream's handle")?;
    if let Some(known) = if_any(default_stream::<F>(typed.device()))? {
        let default = backend.default_stream(typed.device())?;
        check_eq(default.raw_bits(), known.raw().to_bits(), "the default stream's handle")?;
    }
    let event = backend.new_event(typed.device(), EventOptions::timed())?;
    check_eq(event.backend(), F::Backend::KIND, "the event's backend")?;
    check_eq(event.device(), typed.device(), "the event's device")?;
    check_eq(event.options(), EventOptions::timed(), "the event's options")?;
    check_eq(event.status()?, EventStatus::Unrecorded, "the event's status")
}

/// Checks that a wait through the object holds back the same work as a wait through the type.
pub fn object_orders_the_same<F: Fixture>(fx: &F) -> Outcome {
    for by_event in [true, false] {
        let (first, first_typed) = both_forms(fx)?;
        let (waiter, waiter_typed) = both_forms(fx)?;
        let gate = fx.gate(&first_typed)?;
        let before = work(fx, &first_typed)?;
        let event = backend(fx)?.new_event(first.device(), EventOptions::new())?;
        first.record(&*event)?;
        if by_event {
            waiter.wait_event(&*event)?;
        } else {
            waiter.wait_stream(&*first)?;
        }
        let after = work(fx, &waiter_typed)?;
        check_held(fx, &[&first_typed, &waiter_typed], &after)?;
        check(!waiter.query()? && !event.query()?, "query of an object is true while pending")?;
        check_eq(event.status()?, EventStatus::Pending, "the event's status")?;
        fx.open(&gate);
        waiter.synchronize()?;
        event.synchronize()?;
        check_eq(event.status()?, EventStatus::Complete, "the event's status")?;
        check(
            (waiter.query()? || !fx.queries_are_exact()) && event.query()?,
            "query of an object is false when done",
        )?;
        check_done(fx, &before)?;
        check_done(fx, &after)?;
    }
    Ok(())
}

/// Checks that elapsed time through the objects has the typed form's errors and results.
pub fn object_times_the_same<F: Fixture>(fx: &F) -> Outcome {
    let (stream, typed) = both_forms(fx)?;
    let new = |options| backend(fx)?.new_event(typed.device(), options).map_err(Verdict::from);
    let (start, end) = (new(EventOptions::timed())?, new(EventOptions::timed())?);
    let plain = stream.record_event()?;
    let elapsed = |start: &BoxedEvent| end.elapsed_since(&**start);
    check_err(elapsed(&plain), ErrorKind::EventNotTimed, "elapsed from an untimed event")?;
    check_err(elapsed(&start), ErrorKind::EventNotRecorded, "elapsed of new events")?;
    stream.record(&*start)?;
    stream.record(&*end)?;
    end.synchronize()?;
    let time = elapsed(&start)?;
    check(time >= 0.0, format_args!("elapsed to a later event is {time}"))
}

/// Checks that the optional capabilities of an object return what the typed form returns.
pub fn object_has_the_same_capabilities<F: Fixture>(fx: &F) -> Outcome {
    let (object, typed) = both_forms(fx)?;
    check_eq(object.priority().ok(), typed.priority().ok(), "priority")?;
    check_eq(object.id().ok(), typed.id().ok(), "id")?;
    check_eq(object.capture_status().ok(), typed.capture_status().ok(), "capture status")?;
    let range = backend(fx)?.priority_range(typed.device());
    check_eq(range.ok(), F::Backend::priority_range(typed.device()).ok(), "range")
}

/// Checks that wrapping through the object neither owns nor destroys, and checks the device.
pub fn object_wraps_the_same<F: Fixture>(fx: &F) -> Outcome {
    let backend = backend(fx)?;
    let (foreign, device) = (foreign(fx)?, device(fx)?);
    let bits = foreign.raw_stream().to_bits();
    // SAFETY: `foreign` is a stream of this backend and outlives the wrapper; nothing is recorded.
    let wrapped =
        unsafe { backend.stream_from_raw_with_owner(bits, Some(device), KeepAlive::none()) }?;
    check_eq(wrapped.raw_bits(), bits, "the wrapper's handle")?;
    check_eq(wrapped.device(), device, "the wrapper's device")?;
    drop(wrapped);
    fx.foreign_works(&foreign)?;
    // SAFETY: handle 2 is refused, or else names a stream that always exists.
    let two = unsafe { backend.stream_from_raw_with_owner(2, Some(device), KeepAlive::none()) };
    check_names(
        &check_err(two, ErrorKind::InvalidHandle, "wrapping handle 2")?,
        advice_for_handle_two::<F>(device)?,
    )
}

/// Checks that an error of an object keeps its kind and its text.
pub fn object_keeps_the_errors<F: Fixture>(fx: &F) -> Outcome {
    let (backend, absent) = (backend(fx)?, absent_device(fx));
    let object = backend.new_stream(absent, StreamOptions::new());
    let text = check_err(object, ErrorKind::InvalidDevice, "new_stream of the object")?;
    let typed = F::Backend::new_stream(absent, StreamOptions::new());
    let wanted = check_err(typed, ErrorKind::InvalidDevice, "new_stream of the type")?;
    check_eq(text, wanted, "the text of the error")
}

/// Checks that the streams and events that an object creates in its own context are those of the
/// typed form, and so is `is_blocking`.
pub fn object_makes_the_same_objects<F: Fixture>(fx: &F) -> Outcome {
    let (object, typed) = both_forms(fx)?;
    let derived = object.new_stream(StreamOptions::new())?;
    let event = object.new_event(EventOptions::timed())?;
    check_eq(derived.device(), typed.device(), "the stream's device")?;
    check(derived.raw_bits() != object.raw_bits(), "new_stream gave the stream itself")?;
    check(derived.as_any().is::<StreamOf<F>>(), "the new stream is not the backend's type")?;
    check_eq(event.device(), typed.device(), "the event's device")?;
    check_eq(event.options(), EventOptions::timed(), "the event's options")?;
    check(!event.is_foreign(), "an event of the backend is foreign")?;
    check_eq(object.is_blocking().ok(), typed.is_blocking().ok(), "is_blocking")?;
    let gate = fx.gate(&typed)?;
    object.record(&*event)?;
    derived.wait_event(&*event)?;
    check(!derived.query()?, "query of an object is true while pending")?;
    fx.open(&gate);
    derived.synchronize()?;
    check_eq(event.status()?, EventStatus::Complete, "the event's status")
}

/// Checks that a foreign event that is wrapped through the object holds back its waiters, keeps its
/// owner and is not destroyed.
pub fn object_wraps_events<F: Fixture>(fx: &F) -> Outcome {
    let (object, typed) = both_forms(fx)?;
    let raw = fx.create_event(typed.device(), EventOptions::new())?;
    let gate = fx.gate(&typed)?;
    fx.record_bare(&typed, raw)?;
    let owner = Arc::new(());
    let keep = KeepAlive::owner(Arc::clone(&owner));
    let (bits, device) = (raw.to_bits(), Some(typed.device()));
    // SAFETY: `raw` is an event of this backend, destroyed below, after the wrapper.
    let event = unsafe { backend(fx)?.event_from_raw_with_owner(bits, device, None, keep) };
    let event = optional("foreign events", event)?;
    check_eq(event.raw_bits(), bits, "the event's handle")?;
    check(event.is_foreign(), "a wrapped event is not foreign")?;
    let (waiter, waiter_typed) = both_forms(fx)?;
    waiter.wait_event(&*event)?;
    let data = work(fx, &waiter_typed)?;
    check_held(fx, &[&typed, &waiter_typed], &data)?;
    check_eq(event.status()?, EventStatus::Pending, "the event's status")?;
    check_eq(Arc::strong_count(&owner), 2, "how many keep the owner")?;
    fx.open(&gate);
    waiter.synchronize()?;
    check_done(fx, &data)?;
    object.record(&*event)?;
    event.synchronize()?;
    drop(event);
    check_eq(Arc::strong_count(&owner), 1, "how many keep the owner")?;
    check(fx.query_bare(raw)?, "the driver reports the event as pending, but it is complete")?;
    fx.destroy_event(raw)
}

/// Checks that another vendor's event is refused by record, wait and elapsed time, and the error
/// names both vendors.
pub fn event_of_another_vendor<F: Fixture>(fx: &F) -> Outcome {
    let (object, typed) = both_forms(fx)?;
    let theirs = null_backend();
    let theirs = theirs.new_event(theirs.devices()?[0], EventOptions::timed())?;
    let ours = backend(fx)?.new_event(typed.device(), EventOptions::timed())?;
    let refused = |what, result| {
        let text = check_err(result, ErrorKind::BackendMismatch, what)?;
        check_names(&text, "null")?;
        check_names(&text, F::Backend::KIND)
    };
    refused("record", object.record(&*theirs))?;
    refused("wait_event", object.wait_event(&*theirs))?;
    refused("elapsed_since", ours.elapsed_since(&*theirs).map(drop))?;
    refused("elapsed_since the other way", theirs.elapsed_since(&*ours).map(drop))?;
    let data = work(fx, &typed)?;
    object.synchronize()?;
    check_done(fx, &data)
}

/// Checks that another vendor's stream is refused by a wait, and the error names both vendors.
pub fn stream_of_another_vendor<F: Fixture>(fx: &F) -> Outcome {
    let (object, typed) = both_forms(fx)?;
    let theirs = null_backend();
    let theirs = theirs.default_stream(theirs.devices()?[0])?;
    for result in [object.wait_stream(&*theirs), theirs.wait_stream(&*object)] {
        let text = check_err(result, ErrorKind::BackendMismatch, "wait_stream")?;
        check_names(&text, "null")?;
        check_names(&text, F::Backend::KIND)?;
    }
    let data = work(fx, &typed)?;
    object.synchronize()?;
    check_done(fx, &data)
}

/// Checks that the per-thread stream as an object is the typed form's stream, and waits work in
/// both directions.
pub fn object_of_the_per_thread_stream<F: Fixture>(fx: &F) -> Outcome {
    let (other, typed) = both_forms(fx)?;
    let gate = fx.gate(&typed)?;
    let known = per_thread_stream::<F>(typed.device())?;
    // SAFETY: it stays on this thread.
    let mine = unsafe { backend(fx)?.per_thread_stream(typed.device()) }?;
    check_eq(mine.raw_bits(), known.raw().to_bits(), "its handle")?;
    mine.wait_stream(&*other)?;
    other.wait_stream(&*mine)?;
    let data = work(fx, &known)?;
    check(!mine.query()?, "query is true for the thread's stream, which waits")?;
    check_eq(fx.load(&data)?, 0, "the number after the gate")?;
    fx.open(&gate);
    mine.synchronize()?;
    check_done(fx, &data)?;
    Ok(other.synchronize()?)
}
