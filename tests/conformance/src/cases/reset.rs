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
