//! Events: their properties, and how they are created.

use super::support::*;

/// Checks that an event that was never recorded has status `Unrecorded`, is done, and does not
/// block.
pub fn unrecorded_event_is_done<F: Fixture>(fx: &F) -> Outcome {
    let event = event(fx)?;
    check_eq(event.status()?, EventStatus::Unrecorded, "the status")?;
    check(event.query()?, "query is false for an event that was never recorded")?;
    event.synchronize()?;
    check_eq(event.status()?, EventStatus::Unrecorded, "the status afterwards")
}

/// Checks that an event is pending from its record on, and complete when the work before the record
/// is done.
pub fn status_follows_the_record<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let data = work(fx, &stream)?;
    let event = event(fx)?;
    stream.record(&event)?;
    fx.settle(&[&stream]);
    check_eq(event.status()?, EventStatus::Pending, "the status with the gate closed")?;
    check(!event.query()?, "query is true with the gate closed")?;
    fx.open(&gate);
    event.synchronize()?;
    check_eq(event.status()?, EventStatus::Complete, "the status when done")?;
    check(event.query()?, "query is false when done")?;
    check_done(fx, &data)
}

/// Checks that a record stands for the work before it, and for no later work.
pub fn record_leaves_later_work_out<F: Fixture>(fx: &F) -> Outcome {
    let stream = stream(fx)?;
    let before = work(fx, &stream)?;
    let event = stream.record_event()?;
    let gate = fx.gate(&stream)?;
    let later = work(fx, &stream)?;
    let waiter = super::support::stream(fx)?;
    waiter.wait_event(&event)?;
    let copy = fx.data(stream.device(), 0)?;
    fx.copy(&waiter, &before, &copy)?;
    check_goes_on(fx, &[&waiter], &copy)?;
    event.synchronize()?;
    check(event.query()?, "the event is pending although only later work is held back")?;
    check_held(fx, &[&stream], &later)?;
    fx.open(&gate);
    Ok(stream.synchronize()?)
}

/// Checks that `record_event` makes a new event each time, recorded, and without timing.
pub fn record_event_is_new_and_untimed<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let (one, other) = (stream.record_event()?, stream.record_event()?);
    check(one.raw() != other.raw(), "two calls of record_event gave one event")?;
    for event in [&one, &other] {
        check_eq(event.options(), EventOptions::new(), "the options")?;
        check_eq(event.status()?, EventStatus::Pending, "the status")?;
    }
    fx.open(&gate);
    other.synchronize()?;
    check_eq(one.status()?, EventStatus::Complete, "the status when done")?;
    let elapsed = other.elapsed_since(&one);
    check_err(elapsed, ErrorKind::EventNotTimed, "elapsed time of such events").map(drop)
}

/// Checks that an event keeps no time unless its options ask for it, and returns the options that
/// it was made with.
pub fn options_are_kept<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    check(!EventOptions::new().is_timed(), "timing is on by default")?;
    check_eq(EventOptions::default(), EventOptions::new(), "the default options")?;
    for timing in [false, true] {
        for blocking in [false, true] {
            let options = EventOptions::builder().timing(timing).blocking(blocking).build()?;
            let event = F::Backend::new_event(device, options)?;
            check_eq(event.options(), options, "the options of the event")?;
            check_eq(event.device(), device, "the device of the event")?;
        }
    }
    Ok(())
}

/// Checks that a blocking event does everything that an ordinary event does.
pub fn blocking_changes_nothing_else<F: Fixture>(fx: &F) -> Outcome {
    let options = EventOptions::builder().blocking(true).build()?;
    let event = F::Backend::new_event(device(fx)?, options)?;
    check_eq(event.status()?, EventStatus::Unrecorded, "the status of a new event")?;
    event.synchronize()?;
    let (stream, gate) = gated(fx)?;
    let before = work(fx, &stream)?;
    stream.record(&event)?;
    let waiter = super::support::stream(fx)?;
    waiter.wait_event(&event)?;
    let after = work(fx, &waiter)?;
    check(!event.query()?, "query is true while pending")?;
    check_held(fx, &[&stream, &waiter], &after)?;
    fx.open(&gate);
    event.synchronize()?;
    check(event.query()?, "query is false when done")?;
    check_done(fx, &before)?;
    check_goes_on(fx, &[&stream, &waiter], &after)
}

/// Checks that interprocess together with timing is refused when the options are built.
pub fn interprocess_with_timing_is_refused<F: Fixture>(_fx: &F) -> Outcome {
    for blocking in [false, true] {
        let both = EventOptions::builder().interprocess(true).timing(true).blocking(blocking);
        let text = check_err(
            both.build(),
            ErrorKind::InvalidOptions,
            "build() of interprocess and timing",
        )?;
        check_names(&text, "interprocess")?;
    }
    let alone = EventOptions::builder().interprocess(true).build()?;
    check(alone.is_interprocess() && !alone.is_timed(), "interprocess alone is not kept")
}

/// Checks that an interprocess event is made or refused as unsupported; it never silently becomes
/// an ordinary one.
pub fn interprocess_is_never_ignored<F: Fixture>(fx: &F) -> Outcome {
    let options = EventOptions::builder().interprocess(true).build()?;
    match F::Backend::new_event(device(fx)?, options) {
        Ok(event) => {
            check_eq(event.options(), options, "the options of the event")?;
            let stream = stream(fx)?;
            stream.record(&event)?;
            event.synchronize()?;
            check(event.query()?, "query is false when done")
        }
        Err(error) => {
            check_eq(error.kind(), ErrorKind::Unsupported, "the kind of the refusal")?;
            check_names(&error.to_string(), fx.device_backend())
        }
    }
}

/// Checks that events that live at the same time have different handles, which do not change.
pub fn handles_of_events_are_their_own<F: Fixture>(fx: &F) -> Outcome {
    let stream = stream(fx)?;
    let events: Vec<_> = (0..8).map(|_| event(fx)).collect::<Result<_, _>>()?;
    if !fx.events_keep_their_handle() {
        for event in &events {
            stream.record(event)?;
        }
    }
    let handles: Vec<_> = events.iter().map(Event::raw).collect();
    for (index, handle) in handles.iter().enumerate() {
        check(!handles[..index].contains(handle), "two live events have one handle")?;
    }
    for (event, handle) in events.iter().zip(handles) {
        if fx.events_keep_their_handle() {
            stream.record(event)?;
        }
        check_eq(event.raw(), handle, "the handle after a record")?;
    }
    Ok(stream.synchronize()?)
}

/// Checks that an event recorded on a stream that is dropped with its work pending still completes,
/// and still orders.
pub fn event_outlives_its_stream<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let data = work(fx, &stream)?;
    let event = stream.record_event()?;
    fx.settle(&[&stream]);
    if fx.destroy_waits() {
        fx.open(&gate);
    }
    drop(stream);
    let waiter = super::support::stream(fx)?;
    waiter.wait_event(&event)?;
    let after = work(fx, &waiter)?;
    if !fx.destroy_waits() {
        check_eq(event.status()?, EventStatus::Pending, "the status with the gate closed")?;
        check_held(fx, &[&waiter], &after)?;
        fx.open(&gate);
    }
    event.synchronize()?;
    check_eq(event.status()?, EventStatus::Complete, "the status when done")?;
    check_done(fx, &data)?;
    waiter.synchronize()?;
    check_done(fx, &after)
}
