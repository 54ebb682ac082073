//! Records: what a wait binds to when an event is recorded again or dropped.

use super::support::*;

/// Checks that a wait binds to the record that is current at the call: a later record of the same
/// event does not hold the waiter.
pub fn wait_binds_at_the_call<F: Fixture>(fx: &F) -> Outcome {
    let (first, waiter) = (stream(fx)?, stream(fx)?);
    let event = first.record_event()?;
    event.synchronize()?;
    waiter.wait_event(&event)?;
    let (held, gate) = gated(fx)?;
    held.record(&event)?;
    let data = work(fx, &waiter)?;
    check_goes_on(fx, &[&first, &waiter], &data)?;
    check(!event.query()?, "query is true for the second record, which is pending")?;
    fx.open(&gate);
    Ok(held.synchronize()?)
}

/// Checks that a wait for the first record stays bound to it when the event is recorded on another
/// stream and completes there.
pub fn earlier_waiter_keeps_the_old_record<F: Fixture>(fx: &F) -> Outcome {
    let (held, gate) = gated(fx)?;
    let before = work(fx, &held)?;
    let event = held.record_event()?;
    let waiter = stream(fx)?;
    waiter.wait_event(&event)?;
    let free = stream(fx)?;
    free.record(&event)?;
    let data = work(fx, &waiter)?;
    check(fx.finishes(&[&free])?, "the stream that nothing holds does not finish")?;
    check_held(fx, &[&held, &free, &waiter], &data)?;
    fx.open(&gate);
    waiter.synchronize()?;
    check_done(fx, &data)?;
    check_done(fx, &before)
}

/// Checks that a wait that is made after the second record waits for the second record.
pub fn later_waiter_gets_the_new_record<F: Fixture>(fx: &F) -> Outcome {
    let (free, waiter) = (stream(fx)?, stream(fx)?);
    let event = free.record_event()?;
    event.synchronize()?;
    let (held, gate) = gated(fx)?;
    held.record(&event)?;
    waiter.wait_event(&event)?;
    let data = work(fx, &waiter)?;
    check_held(fx, &[&held, &waiter], &data)?;
    fx.open(&gate);
    check_goes_on(fx, &[&held, &waiter], &data)
}

/// Checks that query, status and synchronize use the second record, even if the first is still
/// pending.
pub fn second_record_replaces_the_first<F: Fixture>(fx: &F) -> Outcome {
    let free = stream(fx)?;
    let event = free.record_event()?;
    event.synchronize()?;
    let (held, gate) = gated(fx)?;
    held.record(&event)?;
    check_eq(event.status()?, EventStatus::Pending, "the status after a second, pending record")?;
    check(!event.query()?, "query reports the first record")?;
    let free = stream(fx)?;
    free.record(&event)?;
    check(fx.finishes(&[&free])?, "the stream that nothing holds does not finish")?;
    check_eq(event.status()?, EventStatus::Complete, "the status after a third, done record")?;
    event.synchronize()?;
    fx.open(&gate);
    Ok(held.synchronize()?)
}

/// Checks that after several records on one stream, the event stands for the last of them.
pub fn record_again_on_one_stream<F: Fixture>(fx: &F) -> Outcome {
    let (stream, waiter) = (stream(fx)?, stream(fx)?);
    let event = stream.record_event()?;
    let gate = fx.gate(&stream)?;
    let before = work(fx, &stream)?;
    stream.record(&event)?;
    waiter.wait_event(&event)?;
    let after = work(fx, &waiter)?;
    check_held(fx, &[&stream, &waiter], &after)?;
    fx.open(&gate);
    event.synchronize()?;
    check_done(fx, &before)?;
    check_goes_on(fx, &[&stream, &waiter], &after)
}

/// Checks that a wait that is made before the first record has no effect, and that record does not
/// change this.
pub fn wait_before_the_first_record<F: Fixture>(fx: &F) -> Outcome {
    let (event, waiter) = (event(fx)?, stream(fx)?);
    waiter.wait_event(&event)?;
    let (held, gate) = gated(fx)?;
    held.record(&event)?;
    let data = work(fx, &waiter)?;
    check_goes_on(fx, &[&waiter], &data)?;
    fx.open(&gate);
    Ok(held.synchronize()?)
}

/// Checks that events that are recorded and waited for repeatedly order work from one stream to
/// another and back.
pub fn one_event_is_used_again_and_again<F: Fixture>(fx: &F) -> Outcome {
    let (front, gate) = gated(fx)?;
    let back = stream(fx)?;
    let (there, again) = (event(fx)?, event(fx)?);
    let slot = fx.data(front.device(), 0)?;
    let mut copies = Vec::new();
    for value in 1..=50 {
        fx.store(&front, &slot, value)?;
        front.record(&there)?;
        back.wait_event(&there)?;
        let copy = fx.data(front.device(), 0)?;
        fx.copy(&back, &slot, &copy)?;
        copies.push((value, copy));
        back.record(&again)?;
        front.wait_event(&again)?;
    }
    fx.open(&gate);
    back.synchronize()?;
    for (value, copy) in &copies {
        check_eq(fx.load(copy)?, *value, "a number that was copied from stream to stream")?;
    }
    Ok(())
}

/// Checks that an event that is dropped while pending still holds back the streams that wait for
/// it.
pub fn dropped_event_holds_its_waiters<F: Fixture>(fx: &F) -> Outcome {
    let (held, gate) = gated(fx)?;
    let before = work(fx, &held)?;
    let event = held.record_event()?;
    let waiter = stream(fx)?;
    waiter.wait_event(&event)?;
    drop(event);
    let data = work(fx, &waiter)?;
    check_held(fx, &[&held, &waiter], &data)?;
    fx.open(&gate);
    check_goes_on(fx, &[&held, &waiter], &data)?;
    check_done(fx, &before)
}

/// Checks that a wait for a dropped pending event holds, whatever events are created and recorded
/// afterwards. A pool may return the same driver event again.
pub fn dropped_event_is_not_reused_too_early<F: Fixture>(fx: &F) -> Outcome {
    let (held, gate) = gated(fx)?;
    let (waiter, free) = (stream(fx)?, stream(fx)?);
    let event = held.record_event()?;
    waiter.wait_event(&event)?;
    drop(event);
    for _ in 0..64 {
        free.record_event()?.synchronize()?;
    }
    let data = work(fx, &waiter)?;
    check_held(fx, &[&held, &free, &waiter], &data)?;
    fx.open(&gate);
    check_goes_on(fx, &[&held, &waiter], &data)
}

/// Checks that an event may be dropped unrecorded, pending without waiters, or complete; its stream
/// is not affected.
pub fn events_are_dropped_at_any_time<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    drop(event(fx)?);
    drop(stream.record_event()?);
    let data = work(fx, &stream)?;
    check_held(fx, &[&stream], &data)?;
    fx.open(&gate);
    let event = stream.record_event()?;
    event.synchronize()?;
    drop(event);
    check_goes_on(fx, &[&stream], &data)
}

/// Checks that a record on another device's stream is refused: the error names both devices, and
/// the event is unchanged.
pub fn record_on_another_device<F: Fixture>(fx: &F) -> Outcome {
    let (near, far) = two_devices(fx)?;
    let event = F::Backend::new_event(near, EventOptions::new())?;
    let far_stream = stream_on::<F>(far)?;
    let refused = |event: &EventOf<F>| {
        let result = far_stream.record(event);
        let text = check_err(result, ErrorKind::DeviceMismatch, "record on another device")?;
        check_names(&text, format_args!("the stream belongs to {far}, and the event to {near}"))?;
        check_names(&text, "Stream::new_event")
    };
    refused(&event)?;
    check_eq(event.status()?, EventStatus::Unrecorded, "the status afterwards")?;
    let own = stream_on::<F>(near)?;
    let gate = fx.gate(&own)?;
    own.record(&event)?;
    refused(&event)?;
    check_eq(event.status()?, EventStatus::Pending, "the status afterwards")?;
    fx.open(&gate);
    event.synchronize()?;
    refused(&event)?;
    check_eq(event.status()?, EventStatus::Complete, "the status afterwards")
}
