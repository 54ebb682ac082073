//! Lifetimes: who keeps whom alive, and what becomes of work whose stream nobody holds any more.

use super::support::*;

/// An owner lives as long as the wrapper does, and is let go with it.
pub fn stream_keeps_its_owner<F: Fixture>(fx: &F) -> Outcome {
    let (owner, watch) = watched(fx, None)?;
    let stream = F::Backend::stream_from_owner(owner, None)?;
    watch.check_alive("a wrapper lives")?;
    let data = work(fx, &stream)?;
    stream.synchronize()?;
    check_done(fx, &data)?;
    watch.check_alive("a wrapper lives")?;
    drop(stream);
    watch.check_gone("the wrapper, which was the last that needed it, is dropped")
}

/// A clone keeps the owner as well as the first wrapper did.
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

/// The program's own share counts too: the wrapper's end is not the owner's.
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

/// An event keeps the owner of the stream where the backend says that it does, and is good without
/// it elsewhere.
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
    check_eq("the status of the event", event.status()?, EventStatus::Complete)?;
    event.synchronize()?;
    let waiter = stream_on::<F>(event.device())?;
    waiter.wait_event(&event)?;
    let data = work(fx, &waiter)?;
    waiter.synchronize()?;
    check_done(fx, &data)?;
    drop(event);
    watch.check_gone("the event, which was the last that needed it, is dropped")
}

/// An event that is recorded elsewhere lets the first stream's owner go.
pub fn event_recorded_again_lets_go<F: Fixture>(fx: &F) -> Outcome {
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
    check_eq("the status of the event", event.status()?, EventStatus::Complete)
}

/// An event that was only waited for keeps nothing of the waiter.
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

/// `wait_stream` and `fork` leave nothing behind that keeps the owner of the stream that was waited
/// for.
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

/// A share in the owner is given up when wrapping fails.
pub fn failed_wrap_lets_the_owner_go<F: Fixture>(fx: &F) -> Outcome {
    let given = absent_device(fx);
    let (owner, watch) = watched(fx, None)?;
    let wrapped = F::Backend::stream_from_owner(owner, Some(given));
    check(wrapped.is_err(), format_args!("wrapping for {given} succeeded"))?;
    watch.check_gone("wrapping failed")
}

/// A wrapper dropped with work pending: the owner may go, and the work still comes to its end.
pub fn owner_goes_while_pending<F: Fixture>(fx: &F) -> Outcome {
    let (owner, watch) = watched(fx, None)?;
    let stream = F::Backend::stream_from_owner(owner, None)?;
    let gate = fx.gate(&stream)?;
    let data = work(fx, &stream)?;
    let witness = stream_on::<F>(stream.device())?;
    witness.wait_stream(&stream)?;
    fx.settle(&[&stream, &witness]);
    check_eq("the number behind the gate", fx.load(&data)?, 0)?;
    if fx.destroy_waits() {
        fx.open(&gate);
    }
    drop(stream);
    fx.open(&gate);
    witness.synchronize()?;
    check_done(fx, &data)?;
    watch.check_gone("the wrapper is dropped, and all work is done")
}

/// The last handle of an owned stream is dropped with much work pending: all of it is done.
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

/// Streams that are made, given work and dropped, one after the other, lose none of it.
pub fn owned_streams_come_and_go<F: Fixture>(fx: &F) -> Outcome {
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

/// A foreign wrapper of an owned stream does not keep it from being destroyed, nor destroys it
/// twice.
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
