//! Order: inside a stream, and between streams by `wait_event` and `wait_stream`.

use super::support::*;

/// Checks that work of one stream runs in the order in which it was submitted.
pub fn stream_runs_in_order<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let source = fx.data(stream.device(), 0)?;
    let mut copies = Vec::new();
    for value in 1..=20 {
        let copy = fx.data(stream.device(), 0)?;
        fx.store(&stream, &source, value)?;
        fx.copy(&stream, &source, &copy)?;
        copies.push((value, copy));
    }
    fx.open(&gate);
    stream.synchronize()?;
    for (value, copy) in &copies {
        check_eq(fx.load(copy)?, *value, "a copy made between two stores")?;
    }
    Ok(())
}

/// Checks that later work of the waiter runs after the event's record.
pub fn wait_event_orders<F: Fixture>(fx: &F) -> Outcome {
    orders(fx, |first, waiter| {
        let event = first.record_event()?;
        waiter.wait_event(&event)?;
        Ok(event)
    })
}

/// Checks that work of one stream after `wait` runs after earlier work of another. The value that
/// `wait` returns lives until all work is done.
fn orders<F: Fixture, K>(
    fx: &F,
    wait: impl FnOnce(&StreamOf<F>, &StreamOf<F>) -> Result<K, Verdict>,
) -> Outcome {
    let (first, gate) = gated(fx)?;
    let before = work(fx, &first)?;
    let waiter = stream(fx)?;
    let _kept = wait(&first, &waiter)?;
    let (copy, after) = (fx.data(waiter.device(), 7)?, work(fx, &waiter)?);
    fx.copy(&waiter, &before, &copy)?;
    check_held(fx, &[&first, &waiter], &after)?;
    fx.open(&gate);
    waiter.synchronize()?;
    check_done(fx, &after)?;
    check_eq(fx.load(&copy)?, 1, "what the waiter saw of the other's work")
}

/// Checks that work that was submitted to the waiter before the wait is not held back.
pub fn wait_does_not_delay_earlier_work<F: Fixture>(fx: &F) -> Outcome {
    let (first, gate) = gated(fx)?;
    let event = first.record_event()?;
    let waiter = stream(fx)?;
    let earlier = work(fx, &waiter)?;
    let witness = stream(fx)?;
    witness.wait_stream(&waiter)?;
    let copy = fx.data(witness.device(), 0)?;
    fx.copy(&witness, &earlier, &copy)?;
    waiter.wait_event(&event)?;
    let later = work(fx, &waiter)?;
    check_held(fx, &[&first, &waiter], &later)?;
    check_goes_on(fx, &[&witness], &copy)?;
    check_eq(fx.load(&later)?, 0, "the later work, with the gate closed")?;
    fx.open(&gate);
    waiter.synchronize()?;
    check_done(fx, &later)
}

/// Checks that later work of the waiter runs after the other stream's work so far.
pub fn wait_stream_orders<F: Fixture>(fx: &F) -> Outcome {
    orders(fx, |first, waiter| Ok(waiter.wait_stream(first)?))
}

/// Checks that work that is submitted to the other stream after `wait_stream` is not waited for.
pub fn wait_stream_is_a_snapshot<F: Fixture>(fx: &F) -> Outcome {
    let (first, waiter) = (stream(fx)?, stream(fx)?);
    let before = work(fx, &first)?;
    waiter.wait_stream(&first)?;
    let gate = fx.gate(&first)?;
    let later = work(fx, &first)?;
    let after = work(fx, &waiter)?;
    check_goes_on(fx, &[&waiter], &after)?;
    check_done(fx, &before)?;
    check_held(fx, &[&first], &later)?;
    fx.open(&gate);
    first.synchronize()?;
    check_done(fx, &later)
}

/// Checks that a stream that waits for itself, by the same wrapper, a clone or another wrapper,
/// continues.
pub fn wait_for_itself_has_no_effect<F: Fixture>(fx: &F) -> Outcome {
    let foreign = foreign(fx)?;
    // SAFETY: `foreign` outlives the wrappers and what is recorded through them.
    let stream = unsafe { F::Backend::stream_from_raw(foreign.raw_stream(), None) }?;
    // SAFETY: `foreign` outlives the wrappers and what is recorded through them.
    let other = unsafe { F::Backend::stream_from_raw(foreign.raw_stream(), None) }?;
    stream.wait_stream(&stream)?;
    let gate = fx.gate(&stream)?;
    stream.wait_stream(&stream)?;
    stream.wait_stream(&stream.clone())?;
    stream.wait_stream(&other)?;
    let data = work(fx, &stream)?;
    check_held(fx, &[&stream], &data)?;
    fx.open(&gate);
    check_goes_on(fx, &[&stream], &data)
}

/// Checks that a stream that waits for an event of its own continues.
pub fn wait_for_an_own_event<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let event = stream.record_event()?;
    stream.wait_event(&event)?;
    let data = work(fx, &stream)?;
    check_held(fx, &[&stream], &data)?;
    fx.open(&gate);
    check_goes_on(fx, &[&stream], &data)
}

/// Checks that no call except synchronize blocks on a closed gate: all of them return while the gate
/// is still closed.
pub fn waits_do_not_block_the_host<F: Fixture>(fx: &F) -> Outcome {
    let (held, gate) = gated(fx)?;
    let behind = work(fx, &held)?;
    let waiters = streams(fx, 2)?;
    let event = held.record_event()?;
    held.record(&event)?;
    waiters[0].wait_event(&event)?;
    waiters[1].wait_stream(&held)?;
    held.fork(&waiters)?;
    held.join(&waiters)?;
    waiters[0].record(&event)?;
    check(!event.query()?, "query of a pending event is true")?;
    let after = work(fx, &waiters[1])?;
    check_held(fx, &[&held], &behind)?;
    check_held(fx, &[&waiters[1]], &after)?;
    fx.open(&gate);
    held.synchronize()?;
    waiters[1].synchronize()?;
    check_done(fx, &after)
}

/// Checks that a wait for an event that was never recorded holds nothing back.
pub fn wait_for_an_unrecorded_event<F: Fixture>(fx: &F) -> Outcome {
    let (event, waiter) = (event(fx)?, stream(fx)?);
    waiter.wait_event(&event)?;
    let data = work(fx, &waiter)?;
    check_goes_on(fx, &[&waiter], &data)?;
    check_eq(event.status()?, EventStatus::Unrecorded, "the event's status")
}

/// Checks that a wait for an event that is complete holds nothing back.
pub fn wait_for_a_complete_event<F: Fixture>(fx: &F) -> Outcome {
    let (first, waiter) = (stream(fx)?, stream(fx)?);
    let event = first.record_event()?;
    event.synchronize()?;
    let gate = fx.gate(&first)?;
    waiter.wait_event(&event)?;
    let data = work(fx, &waiter)?;
    check_goes_on(fx, &[&waiter], &data)?;
    fx.open(&gate);
    Ok(first.synchronize()?)
}

/// Checks that waiting for the same event twice has the effect of waiting once.
pub fn wait_twice<F: Fixture>(fx: &F) -> Outcome {
    let (first, gate) = gated(fx)?;
    let event = first.record_event()?;
    let waiter = stream(fx)?;
    waiter.wait_event(&event)?;
    waiter.wait_event(&event)?;
    let data = work(fx, &waiter)?;
    waiter.wait_event(&event)?;
    check_held(fx, &[&first, &waiter], &data)?;
    fx.open(&gate);
    check_goes_on(fx, &[&first, &waiter], &data)
}

/// Checks that a stream of one device waits for an event and for a stream of another device.
pub fn wait_across_devices<F: Fixture>(fx: &F) -> Outcome {
    let (near, far) = two_devices(fx)?;
    for by_event in [true, false] {
        let (first, waiter) = (stream_on::<F>(near)?, stream_on::<F>(far)?);
        let gate = fx.gate(&first)?;
        let before = work(fx, &first)?;
        if by_event {
            waiter.wait_event(&first.record_event()?)?;
        } else {
            waiter.wait_stream(&first)?;
        }
        let after = work(fx, &waiter)?;
        check_held(fx, &[&first, &waiter], &after)?;
        fx.open(&gate);
        waiter.synchronize()?;
        check_done(fx, &before)?;
        check_done(fx, &after)?;
    }
    Ok(())
}
