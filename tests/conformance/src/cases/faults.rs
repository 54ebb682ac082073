//! Faults: what a stream reports after its work failed. Skipped where failing work ends more than
//! its stream.

use std::sync::Arc;

use super::support::*;

/// Creates a stream whose work has failed and that reports the fault.
fn faulted<F: Fixture>(fx: &F) -> Result<StreamOf<F>, Verdict> {
    let stream = stream(fx)?;
    fx.fault(&stream)?;
    check_fault("synchronize after failed work", stream.synchronize())?;
    Ok(stream)
}

#[track_caller]
fn check_fault<T, E: Error>(what: &str, result: Result<T, E>) -> Outcome {
    check_err(result, ErrorKind::StreamFault, what).map(drop)
}

/// Checks that every later call on the stream and its clones reports the fault, however often it is
/// made.
pub fn fault_is_sticky<F: Fixture>(fx: &F) -> Outcome {
    let stream = faulted(fx)?;
    let (clone, event) = (stream.clone(), event(fx)?);
    for _ in 0..3 {
        check_fault("synchronize", stream.synchronize())?;
        check_fault("query", stream.query())?;
        check_fault("record", stream.record(&event))?;
        check_fault("record_event", stream.record_event())?;
        check_fault("query of a clone", clone.query())?;
    }
    let complete = super::support::stream(fx)?.record_event()?;
    complete.synchronize()?;
    check_fault("wait_event", stream.wait_event(&complete))
}

/// Checks that query after failed work returns an error, never true or false, on every wrapper of
/// the stream.
pub fn query_of_a_fault_is_an_error<F: Fixture>(fx: &F) -> Outcome {
    let foreign = foreign(fx)?;
    // SAFETY: `foreign` outlives the wrappers; nothing is recorded.
    let stream = unsafe { F::Backend::stream_from_raw(foreign.raw_stream(), None) }?;
    let gate = fx.gate(&stream)?;
    fx.fault(&stream)?;
    check(!stream.query()?, "query is true with the gate closed")?;
    fx.open(&gate);
    fx.settle(&[&stream]);
    check_fault("synchronize", stream.synchronize())?;
    check_fault("query", stream.query())?;
    // SAFETY: `foreign` outlives the wrapper; nothing is recorded.
    let other = unsafe { F::Backend::stream_from_raw(foreign.raw_stream(), None) }?;
    check_fault("query of a new wrapper", other.query())
}

/// Checks that a fault does not affect other streams.
pub fn other_streams_live<F: Fixture>(fx: &F) -> Outcome {
    let before = stream(fx)?;
    let faulted = faulted(fx)?;
    let after = stream(fx)?;
    for stream in [&before, &after] {
        let data = work(fx, stream)?;
        let event = stream.record_event()?;
        stream.synchronize()?;
        check(is_idle(fx, stream)? && event.query()?, "a stream beside a fault is not done")?;
        check_done(fx, &data)?;
    }
    before.wait_stream(&after)?;
    before.synchronize()?;
    check_fault("query of the stream with the fault", faulted.query())
}

/// Checks that an event recorded before the failing work is complete, and streams that wait for it
/// continue; one recorded after it reports the fault.
pub fn events_around_a_fault<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let before = stream.record_event()?;
    fx.fault(&stream)?;
    let later = stream.record_event()?;
    let (early, late) = (super::support::stream(fx)?, super::support::stream(fx)?);
    early.wait_event(&before)?;
    let early_data = work(fx, &early)?;
    fx.open(&gate);
    check_fault("synchronize of the stream", stream.synchronize())?;
    check_eq(before.status()?, EventStatus::Complete, "the event before the failed work")?;
    before.synchronize()?;
    late.wait_event(&before)?;
    let late_data = work(fx, &late)?;
    for (waiter, data) in [(early, early_data), (late, late_data)] {
        waiter.synchronize()?;
        check_done(fx, &data)?;
    }
    check_fault("synchronize of the event after it", later.synchronize())?;
    check_fault("query of the event after it", later.query())?;
    check_fault("status of the event after it", later.status())
}

/// Checks that a stream that waits for a record after the failed work gets the fault, too, and its
/// work does not run.
pub fn waiter_gets_the_fault<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    fx.fault(&stream)?;
    let waiter = super::support::stream(fx)?;
    waiter.wait_stream(&stream)?;
    let data = work(fx, &waiter)?;
    fx.open(&gate);
    check_fault("synchronize of the waiter", waiter.synchronize())?;
    check_fault("query of the waiter", waiter.query())?;
    check_eq(fx.load(&data)?, 0, "the number after the fault")
}

/// Checks that work before the failing work is done, and work after it does not run.
pub fn work_after_a_fault_is_not_run<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let before = work(fx, &stream)?;
    fx.fault(&stream)?;
    let later = work(fx, &stream)?;
    fx.open(&gate);
    check_fault("synchronize", stream.synchronize())?;
    check_done(fx, &before)?;
    check_eq(fx.load(&later)?, 0, "the number after the fault")
}

/// Checks that host functions after the failing work are dropped with what they hold, and do not
/// run.
pub fn functions_after_a_fault_are_dropped<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    fx.fault(&stream)?;
    let held = Arc::new(());
    let data = fx.data(stream.device(), 0)?;
    for _ in 0..10 {
        let held = Arc::clone(&held);
        optional("host functions", stream.launch_host_func(Box::new(move || drop(held))))?;
    }
    fx.store(&stream, &data, 1)?;
    fx.open(&gate);
    check_fault("synchronize", stream.synchronize())?;
    check_becomes("how many functions still hold something", || Arc::strong_count(&held) - 1, 0)?;
    check_eq(fx.load(&data)?, 0, "the number after the fault")
}

/// Checks that a record that is refused because of a fault leaves the event as it was.
pub fn refused_record_leaves_the_event<F: Fixture>(fx: &F) -> Outcome {
    let stream = faulted(fx)?;
    let (fresh, other) = (event(fx)?, super::support::stream(fx)?);
    check_fault("record", stream.record(&fresh))?;
    check_eq(fresh.status()?, EventStatus::Unrecorded, "the status of the event")?;
    other.record(&fresh)?;
    fresh.synchronize()?;
    check_fault("record", stream.record(&fresh))?;
    check_eq(fresh.status()?, EventStatus::Complete, "the status of the event")
}

/// Checks that a faulted stream can be dropped like any other, and a new stream has no fault.
pub fn fault_ends_with_its_stream<F: Fixture>(fx: &F) -> Outcome {
    for _ in 0..5 {
        drop(faulted(fx)?);
        let fresh = stream(fx)?;
        check(is_idle(fx, &fresh)?, "query of a new stream is false")?;
        let data = work(fx, &fresh)?;
        fresh.synchronize()?;
        check_done(fx, &data)?;
    }
    Ok(())
}
