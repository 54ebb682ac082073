//! Lifetimes: what keeps an owner alive, and what happens to pending work when the last handle of
//! its stream is dropped.

use super::support::*;

/// Checks that an owner lives as long as the wrapper, and is dropped with it.
pub fn stream_keeps_its_owner<F: Fixture>(fx: &F) -> Outcome {
    let (owner, watch) = watched(fx, None)?;
    let stream = F::Backend::stream_from_owner(owner, None)?;
    watch.check_alive("a wrapper lives")?;
    let data = work(fx, &stream)?;
    stream.synchronize()?;
    check_done(fx, &data)?;
    watch.check_alive("a wrapper lives")?;
    drop(stream);
    watch.check_gone("the last wrapper is dropped")
}

/// Checks that a clone keeps the owner alive, as the first wrapper did.
pub fn clone_keeps_the_owner<F: Fixture>(fx: &F) -> Outcome {
    let (owner, watch) = watched(fx, Some(device(fx)?))?;
    let stream = F::Backend::stream_from_owner(owner, None)?;
    let clone = stream.clone();
    drop(stream);
    watch.check_alive("a clone lives")?;
    let data = work(fx, &clone)?;
    clone.synchronize()?;
    check_done(fx, &data)?;
    drop(clone);
    watch.check_gone("the last clone is dropped")
}

/// Checks that the program's own reference counts, too: dropping the wrapper does not drop the
/// owner.
pub fn owner_is_shared<F: Fixture>(fx: &F) -> Outcome {
    let (owner, watch) = watched(fx, None)?;
    let stream = F::Backend::stream_from_owner(owner.clone(), None)?;
    drop(stream);
    watch.check_alive("the program holds it")?;
    let stream = F::Backend::stream_from_owner(owner, None)?;
    let data = work(fx, &stream)?;
    stream.synchronize()?;
    check_done(fx, &data)
}

/// Checks that an event keeps the owner of its stream if `EVENTS_KEEP_OWNER` is set; otherwise it
/// is valid without the owner.
pub fn event_after_the_owner<F: Fixture>(fx: &F) -> Outcome {
    let (owner, watch) = watched(fx, None)?;
    let stream = F::Backend::stream_from_owner(owner, None)?;
    let event = stream.record_event()?;
    stream.synchronize()?;
    drop(stream);
    if F::Backend::EVENTS_KEEP_OWNER {
        watch.check_alive("an event that was recorded through the wrapper lives")?;
    } else {
        watch.check_gone("the wrapper is dropped, and events do not keep it")?;
    }
    check_eq(event.status()?, EventStatus::Complete, "the status of the event")?;
    event.synchronize()?;
    let waiter = stream_on::<F>(event.device())?;
    waiter.wait_event(&event)?;
    let data = work(fx, &waiter)?;
    waiter.synchronize()?;
    check_done(fx, &data)?;
    drop(event);
    watch.check_gone("the last event that needs it is dropped")
}

/// Checks that an event that is recorded on another stream drops its reference to the first
/// stream's owner.
pub fn event_recorded_again_drops_its_owner<F: Fixture>(fx: &F) -> Outcome {
    let (owner, watch) = watched(fx, None)?;
    let stream = F::Backend::stream_from_owner(owner, None)?;
    let event = event(fx)?;
    stream.record(&event)?;
    stream.synchronize()?;
    drop(stream);
    let other = stream_on::<F>(event.device())?;
    other.record(&event)?;
    event.synchronize()?;
    other.synchronize()?;
    watch.check_gone("the event was recorded elsewhere")?;
    check_eq(event.status()?, EventStatus::Complete, "the status of the event")
}

/// Checks that an event that was only waited for keeps no reference to the waiter's owner.
pub fn waiting_keeps_no_owner<F: Fixture>(fx: &F) -> Outcome {
    let (owner, watch) = watched(fx, None)?;
    let other = stream(fx)?;
    let event = other.record_event()?;
    let waiter = F::Backend::stream_from_owner(owner, None)?;
    waiter.wait_event(&event)?;
    waiter.wait_stream(&other)?;
    waiter.synchronize()?;
    drop(waiter);
    watch.check_gone("the wrapper is dropped, and nothing was recorded through it")?;
    check(event.query()?, "the event is not done")
}

/// Checks that `wait_stream` and `fork` keep no reference to the owner of the stream that was
/// waited for.
pub fn pooled_events_keep_no_owner<F: Fixture>(fx: &F) -> Outcome {
    let (owner, watch) = watched(fx, None)?;
    let stream = F::Backend::stream_from_owner(owner, None)?;
    let other = stream_on::<F>(stream.device())?;
    other.wait_stream(&stream)?;
    stream.fork([&other])?;
    other.join([&stream])?;
    stream.synchronize()?;
    other.synchronize()?;
    drop(stream);
    watch.check_gone("the wrapper is dropped, and every wait is over")
}

/// Checks that the reference to the owner is dropped when wrapping fails.
pub fn failed_wrap_drops_the_owner<F: Fixture>(fx: &F) -> Outcome {
    let given = absent_device(fx);
    let (owner, watch) = watched(fx, None)?;
    let wrapped = F::Backend::stream_from_owner(owner, Some(given));
    check(wrapped.is_err(), format_args!("wrapping for {given} succeeded"))?;
    watch.check_gone("wrapping failed")
}

/// Checks that if a wrapper is dropped with work pending, the owner may be dropped, and the work
/// still finishes.
pub fn owner_is_dropped_while_pending<F: Fixture>(fx: &F) -> Outcome {
    let (owner, watch) = watched(fx, None)?;
    let stream = F::Backend::stream_from_owner(owner, None)?;
    let gate = fx.gate(&stream)?;
    let data = work(fx, &stream)?;
    let witness = stream_on::<F>(stream.device())?;
    witness.wait_stream(&stream)?;
    fx.settle(&[&stream, &witness]);
    check_eq(fx.load(&data)?, 0, "the number after the gate")?;
    if fx.destroy_waits() {
        fx.open(&gate);
    }
    drop(stream);
    fx.open(&gate);
    witness.synchronize()?;
    check_done(fx, &data)?;
    watch.check_gone("the wrapper is dropped, and all work is done")
}

/// Checks that if the last handle of an owned stream is dropped with much work pending, all of the
/// work is done.
pub fn owned_stream_finishes_its_work<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let clone = stream.clone();
    let pending: Vec<_> = (0..50).map(|_| work(fx, &stream)).collect::<Result<_, _>>()?;
    let witness = stream_on::<F>(stream.device())?;
    witness.wait_stream(&stream)?;
    drop(stream);
    fx.settle(&[&witness]);
    if fx.destroy_waits() {
        fx.open(&gate);
    }
    drop(clone);
    fx.open(&gate);
    witness.synchronize()?;
    pending.iter().try_for_each(|data| check_done(fx, data))
}

/// Checks that streams that are made, given work and dropped, one after the other, lose no work.
pub fn owned_streams_in_turn_lose_no_work<F: Fixture>(fx: &F) -> Outcome {
    let witness = stream(fx)?;
    let mut all = Vec::new();
    for _ in 0..100 {
        let short = stream(fx)?;
        all.push(work(fx, &short)?);
        witness.wait_event(&short.record_event()?)?;
    }
    witness.synchronize()?;
    all.iter().try_for_each(|data| check_done(fx, data))
}

/// Checks that a foreign wrapper of an owned stream neither prevents its destruction nor destroys
/// it twice.
pub fn wrapper_of_an_owned_stream<F: Fixture>(fx: &F) -> Outcome {
    let native = stream(fx)?;
    for _ in 0..3 {
        // SAFETY: `native` outlives the wrapper; nothing is recorded.
        let wrapped = unsafe { F::Backend::stream_from_raw(native.raw(), Some(native.device())) }?;
        let data = work(fx, &wrapped)?;
        wrapped.synchronize()?;
        check_done(fx, &data)?;
        drop(wrapped);
        let data = work(fx, &native)?;
        native.synchronize()?;
        check_done(fx, &data)?;
    }
    Ok(())
}
