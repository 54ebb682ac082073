//! A context that another library resets. Skipped where the fixture cannot reset one, which costs the
//! fixture all that it has on the device.

use super::support::*;

/// After a reset the streams and events that were made before answer `ContextDestroyed`, can be dropped,
/// and a new stream works.
pub fn reset_is_told_and_got_over<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    let old = stream_on::<F>(device)?;
    let other = stream_on::<F>(device)?;
    // Events of the pool, which must not be used afterwards.
    other.wait_stream(&old)?;
    let event = old.record_event()?;
    old.synchronize()?;
    other.synchronize()?;
    fx.reset(device)?;
    let destroyed = |call, result| check_err(call, result, ErrorKind::ContextDestroyed).map(drop);
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

/// What was made before a reset: a stream, and two timed events that it has recorded.
struct Before<F: Fixture> {
    stream: StreamOf<F>,
    events: [EventOf<F>; 2],
}

/// Resets the device, and has another library use it again. Drivers may give what is made then the
/// handles of before.
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
    check_err(call, result, ErrorKind::ContextDestroyed).map(drop)
}

/// Events of before a reset answer `ContextDestroyed` to `elapsed_since`, also if another library uses the
/// device again.
pub fn reset_is_told_by_elapsed_since<F: Fixture>(fx: &F) -> Outcome {
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

/// A wait for an event of before a reset, or by such a stream, is `ContextDestroyed` once the device is in
/// use again.
pub fn reset_is_told_by_wait_event<F: Fixture>(fx: &F) -> Outcome {
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

/// A record of an event of before a reset, or on such a stream, is `ContextDestroyed` once the device is in
/// use again.
pub fn reset_is_told_by_record<F: Fixture>(fx: &F) -> Outcome {
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

/// After a reset with nothing of ours alive, every call works: what was kept for later use is not used.
pub fn reset_leaves_nothing_stale<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    check_works::<F>(device)?;
    fx.reset(device)?;
    for _ in 0..3 {
        check_works::<F>(device)?;
    }
    Ok(())
}

/// Checks that new streams and events of `device` work, without what the fixture has there.
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
