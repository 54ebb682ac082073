//! A context that another library resets. Skipped where the fixture cannot reset one: a reset
//! destroys everything that the fixture has on the device.

use super::support::*;

/// Checks that after a reset, earlier streams and events return `ContextDestroyed` and can be
/// dropped, and a new stream works.
pub fn reset_is_reported_and_survived<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    let old = stream_on::<F>(device)?;
    let other = stream_on::<F>(device)?;
    // Creates pooled events, which must not be used afterwards.
    other.wait_stream(&old)?;
    let event = old.record_event()?;
    old.synchronize()?;
    other.synchronize()?;
    fx.reset(device)?;
    let destroyed = |call, result| check_err(result, ErrorKind::ContextDestroyed, call).map(drop);
    for _ in 0..2 {
        destroyed("query", old.query().map(drop))?;
        destroyed("synchronize", old.synchronize())?;
        destroyed("record_event", old.record_event().map(drop))?;
        destroyed("wait_stream", other.wait_stream(&old))?;
        destroyed("query of an event", event.query().map(drop))?;
    }
    for _ in 0..2 {
        check_works::<F>(device)?;
    }
    drop((old, other, event));
    check_works::<F>(device)
}

/// Objects from before a reset: a stream, and two timed events that it recorded.
struct Before<F: Fixture> {
    stream: StreamOf<F>,
    events: [EventOf<F>; 2],
}

/// Resets the device, and lets another library use it again. The driver may give new objects the
/// handles of earlier ones.
fn reset_and_used<F: Fixture>(fx: &F, device: Device) -> Result<Before<F>, Verdict> {
    let stream = stream_on::<F>(device)?;
    let new = || F::Backend::new_event(device, EventOptions::timed());
    let events = [new()?, new()?];
    for event in &events {
        stream.record(event)?;
    }
    stream.synchronize()?;
    fx.reset(device)?;
    fx.use_again(device)?;
    Ok(Before { stream, events })
}

fn destroyed<T>(call: &str, result: Result<T, impl Error>) -> Outcome {
    check_err(result, ErrorKind::ContextDestroyed, call).map(drop)
}

/// Checks that `elapsed_since` of events from before a reset returns `ContextDestroyed`, also if
/// another library uses the device again.
pub fn reset_is_reported_by_elapsed_since<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    let Before { stream, events: [start, end] } = reset_and_used(fx, device)?;
    for _ in 0..2 {
        destroyed("elapsed_since", end.elapsed_since(&start))?;
        destroyed("elapsed_since itself", start.elapsed_since(&start))?;
        destroyed("record", stream.record(&start))?;
        check_works::<F>(device)?;
    }
    Ok(())
}

/// Checks that a wait for an event from before a reset, or by such a stream, is `ContextDestroyed`
/// once the device is in use again.
pub fn reset_is_reported_by_wait_event<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    let Before { stream, events: [event, _] } = reset_and_used(fx, device)?;
    let new = stream_on::<F>(device)?;
    let own = new.record_event()?;
    for _ in 0..2 {
        destroyed("wait_event for an old event", new.wait_event(&event))?;
        destroyed("wait_event by an old stream", stream.wait_event(&own))?;
        destroyed("wait_event by the event's stream", stream.wait_event(&event))?;
        destroyed("wait_stream for an old stream", new.wait_stream(&stream))?;
        destroyed("wait_stream by an old stream", stream.wait_stream(&new))?;
        check_works::<F>(device)?;
    }
    new.synchronize()?;
    Ok(())
}

/// Checks that a record of an event from before a reset, or on such a stream, is `ContextDestroyed`
/// once the device is in use again.
pub fn reset_is_reported_by_record<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    let Before { stream, events: [event, _] } = reset_and_used(fx, device)?;
    let new = stream_on::<F>(device)?;
    let own = new.record_event()?;
    for _ in 0..2 {
        destroyed("record of an old event", new.record(&event))?;
        destroyed("record on an old stream", stream.record(&own))?;
        destroyed("record of both", stream.record(&event))?;
        destroyed("record_event", stream.record_event())?;
        check_works::<F>(device)?;
    }
    new.synchronize()?;
    Ok(())
}

/// Checks that after a reset without live streams or events, every call works: nothing that was
/// cached before is used.
pub fn reset_leaves_nothing_stale<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    check_works::<F>(device)?;
    fx.reset(device)?;
    for _ in 0..3 {
        check_works::<F>(device)?;
    }
    Ok(())
}

/// Checks that new streams and events on `device` work, without using the fixture's own objects
/// there.
fn check_works<F: Fixture>(device: Device) -> Outcome {
    let (one, other) = (stream_on::<F>(device)?, stream_on::<F>(device)?);
    let event = F::Backend::new_event(device, EventOptions::new())?;
    one.record(&event)?;
    other.wait_event(&event)?;
    other.wait_stream(&one)?;
    one.fork([&other])?;
    one.join([&other])?;
    let own = one.record_event()?;
    one.synchronize()?;
    other.synchronize()?;
    check(event.query()? && own.query()?, "an event is pending when its stream is done")
}
