//! Values that streams still use: when a reclaimer drops them, on which thread, and in which order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use gpu_stream_retain::Reclaimer;

use super::retained::{Log, collect_done, retain};
use super::support::*;
use crate::retention::Retention;

/// Checks that a value of three streams is kept while a gate holds back any one of them.
pub fn value_is_kept_for_each_stream<F: Fixture>(fx: &F) -> Outcome {
    for held in 0..3 {
        let (kept, log, streams) = (fx.reclaimer(), Log::default(), streams(fx, 3)?);
        let gate = fx.gate(&streams[held])?;
        let data = work(fx, &streams[held])?;
        retain::<F>(&*kept, log.value(1), &[&streams[0], &streams[1], &streams[2]])?;
        for _ in 0..3 {
            check_held(fx, &[&streams[0], &streams[1], &streams[2], &streams[held]], &data)?;
            kept.collect()?;
            log.check([])?;
            check_eq(kept.pending(), 1, "the number of kept values")?;
        }
        fx.open(&gate);
        // All of them: the marks of idle streams can stand behind the gate in a hardware queue that they share.
        for stream in &streams {
            stream.synchronize()?;
        }
        let collected = collect_done(fx, &*kept, &log, 1)?;
        log.check([1])?;
        check_eq(collected, (1, 0), "what collect counts")?;
    }
    Ok(())
}

/// Checks that a value is kept by work that was submitted after an earlier value came into the same
/// batch.
pub fn mark_covers_the_last_value<F: Fixture>(fx: &F) -> Outcome {
    let (kept, log, stream) = (fx.reclaimer(), Log::default(), stream(fx)?);
    retain::<F>(&*kept, log.value(1), &[&stream])?;
    let gate = fx.gate(&stream)?;
    let data = work(fx, &stream)?;
    retain::<F>(&*kept, log.value(2), &[&stream])?;
    for _ in 0..3 {
        check_held(fx, &[&stream], &data)?;
        kept.collect()?;
        check(
            !log.entries().iter().any(|(number, _)| *number == 2),
            "the value was dropped early",
        )?;
    }
    fx.open(&gate);
    stream.synchronize()?;
    collect_done(fx, &*kept, &log, 2)?;
    log.check([1, 2])
}

/// The number of values in the cases with many: more than two full batches.
const MANY: u32 = 150;

/// Checks that many values of one stream are all kept while a gate is closed, and are then dropped
/// in the order of their retains.
pub fn many_values_are_dropped_in_order<F: Fixture>(fx: &F) -> Outcome {
    let (kept, log) = (fx.reclaimer(), Log::default());
    let (stream, gate) = gated(fx)?;
    for number in 0..MANY {
        retain::<F>(&*kept, log.value(number), &[&stream])?;
    }
    kept.collect()?;
    log.check([])?;
    check_eq(kept.pending(), MANY as usize, "the number of kept values")?;
    fx.open(&gate);
    stream.synchronize()?;
    collect_done(fx, &*kept, &log, MANY as usize)?;
    log.check(0..MANY)
}

/// Checks that work that is submitted after a collect holds back no value from before it, also if
/// older values were pending by then.
pub fn later_work_keeps_no_value<F: Fixture>(fx: &F) -> Outcome {
    let (kept, log) = (fx.reclaimer(), Log::default());
    let (stream, first) = gated(fx)?;
    for number in 1..=2 {
        retain::<F>(&*kept, log.value(number), &[&stream])?;
        kept.collect()?;
    }
    let passed = stream.record_event()?;
    let second = fx.gate(&stream)?;
    retain::<F>(&*kept, log.value(3), &[&stream])?;
    kept.collect()?;
    log.check([])?;
    fx.open(&first);
    passed.synchronize()?;
    for _ in 0..2 {
        collect_done(fx, &*kept, &log, 2)?;
        log.check([1, 2])?;
    }
    fx.open(&second);
    stream.synchronize()?;
    collect_done(fx, &*kept, &log, 3)?;
    log.check([1, 2, 3])
}

/// Checks that a value is kept by its own work when the events of earlier values, which are
/// reached, are used again.
pub fn events_are_used_again<F: Fixture>(fx: &F) -> Outcome {
    const ROUNDS: u32 = 8;
    let (kept, log, stream) = (fx.reclaimer(), Log::default(), stream(fx)?);
    let mut before: Option<(F::Gate, EventOf<F>)> = None;
    for round in 0..ROUNDS {
        // While one gate is closed, values of it are pending, and the events of the one before are free.
        let gate = fx.gate(&stream)?;
        retain::<F>(&*kept, log.value(2 * round), &[&stream])?;
        kept.collect()?;
        retain::<F>(&*kept, log.value(2 * round + 1), &[&stream])?;
        if let Some((gate, passed)) = before.take() {
            fx.open(&gate);
            passed.synchronize()?;
        }
        for _ in 0..2 {
            collect_done(fx, &*kept, &log, 2 * round as usize)?;
            log.check(0..2 * round)?;
        }
        // After the records of the collects.
        before = Some((gate, stream.record_event()?));
    }
    if let Some((gate, _)) = before {
        fx.open(&gate);
    }
    kept.drain()?;
    log.check(0..2 * ROUNDS)
}

/// Checks that drain returns only after all values are dropped. Another thread opens the gate after
/// the caller had every chance to return too early.
pub fn drain_waits_for_all_values<F: Fixture>(fx: &F) -> Outcome {
    let (kept, log) = (fx.reclaimer(), Log::default());
    let (stream, gate) = gated(fx)?;
    let other = super::support::stream(fx)?;
    for number in 0..MANY {
        retain::<F>(&*kept, log.value(number), &[&stream, &other])?;
    }
    returns_before_open(|| fx.open(&gate), || Ok(kept.drain()?))?;
    log.check(0..MANY)?;
    check_eq(kept.pending(), 0, "the number of kept values")
}

/// Checks that values are dropped by the call of collect and on its thread, and not when the stream
/// is done.
pub fn values_are_dropped_on_the_callers_thread<F: Fixture>(fx: &F) -> Outcome {
    let (kept, log) = (fx.reclaimer(), Log::default());
    let (stream, gate) = gated(fx)?;
    retain::<F>(&*kept, log.value(1), &[&stream])?;
    kept.collect()?;
    fx.open(&gate);
    stream.synchronize()?;
    fx.settle(&[&stream]);
    log.check([])?;
    let collected = thread::scope(|scope| {
        let collect = || (collect_done(fx, &*kept, &log, 1).map(drop), thread::current().id());
        let collector = scope.spawn(collect);
        collector.join().map_err(|_| Verdict::failed("collect panicked"))
    });
    let (outcome, collector) = collected?;
    outcome?;
    check_eq(log.entries(), vec![(1, collector)], "the list of drops and their threads")
}

/// Makes the calls of a reclaimer that do not block, and some of the backend.
fn calls<F: Fixture>(
    kept: &dyn Retention<F::Backend>,
    log: &Log,
    [stream, other]: &[StreamOf<F>; 2],
) -> Outcome {
    retain::<F>(kept, log.value(10), &[stream])?;
    retain::<F>(kept, log.value(11), &[other, stream])?;
    kept.collect()?;
    kept.pending();
    other.wait_stream(stream)?;
    drop(stream.record_event()?);
    Ok(())
}

/// Checks that a destructor may call the reclaimer and the backend, and may wait for a thread that
/// does.
pub fn destructor_uses_the_reclaimer<F: Fixture>(fx: &F) -> Outcome {
    let (kept, log) = (fx.reclaimer(), Log::default());
    let streams = [stream(fx)?, stream(fx)?];
    let outcome: Arc<Mutex<Option<Outcome>>> = Arc::default();
    let (inner, inner_log, slot) = (Arc::clone(&kept), log.clone(), Arc::clone(&outcome));
    let used = streams.clone();
    let on_drop = move || {
        // Joined before the destructor ends: the thread waits for nothing that this one holds.
        let elsewhere = thread::scope(|scope| {
            let thread = scope.spawn(|| calls::<F>(&*inner, &inner_log, &used));
            thread.join().unwrap_or_else(|_| Err(Verdict::failed("a call panicked")))
        });
        let here = calls::<F>(&*inner, &inner_log, &used);
        let drained = inner.drain().map_err(Verdict::from);
        let all = elsewhere.and(here).and(drained);
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(all);
    };
    retain::<F>(&*kept, log.value_with(1, on_drop), &[&streams[0]])?;
    kept.drain()?;
    let outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
    outcome.ok_or_else(|| Verdict::failed("drain did not drop the value"))??;
    kept.drain()?;
    check_eq(kept.pending(), 0, "the number of kept values")
}

/// Checks that dropping a reclaimer neither blocks nor drops a value that a stream still uses: the
/// reclaimer of the process drops the value later.
pub fn dropped_reclaimer_keeps_its_values<F: Fixture>(fx: &F) -> Outcome {
    let (kept, log) = (fx.reclaimer(), Log::default());
    let (stream, gate) = gated(fx)?;
    retain::<F>(&*kept, log.value(1), &[&stream])?;
    kept.collect()?;
    retain::<F>(&*kept, log.value(2), &[&stream])?;
    drop(kept);
    log.check([])?;
    // Streams of other cases may have a fault, which is the error here.
    let heir = Reclaimer::<F::Backend>::process_wide();
    let _ = heir.collect();
    log.check([])?;
    fx.open(&gate);
    stream.synchronize()?;
    let _ = heir.collect();
    while !fx.queries_are_exact() && log.entries().len() < 2 {
        let _ = heir.collect();
    }
    log.check([1, 2])
}

/// Checks that a stream's owner lives until the values of the stream are dropped, marked or not, and that an earlier
/// wrapper's owner is not kept for later values.
pub fn owners_live_as_long_as_their_values<F: Fixture>(fx: &F) -> Outcome {
    for is_marked in [false, true] {
        let (kept, log) = (fx.reclaimer(), Log::default());
        let (owner, observer) = watched(fx, None)?;
        let wrapped = F::Backend::stream_from_owner(Arc::clone(&owner), None)?;
        let gate = fx.gate(&wrapped)?;
        retain::<F>(&*kept, log.value(1), &[&wrapped])?;
        if is_marked {
            kept.collect()?;
        }
        drop((owner, wrapped));
        observer.check_alive("a value of its stream is kept")?;
        kept.collect()?;
        observer.check_alive("a value of its stream is kept")?;
        fx.open(&gate);
        kept.drain()?;
        log.check([1])?;
        observer.check_gone("the value of its stream is dropped")?;
    }
    // Two owners of one stream. While the second value is kept, the first owner is not.
    let (kept, log) = (fx.reclaimer(), Log::default());
    let shared = Arc::new(foreign(fx)?);
    let (first, observer) = second_owner::<F>(&shared);
    let first = F::Backend::stream_from_owner(first, None)?;
    let gate = fx.gate(&first)?;
    retain::<F>(&*kept, log.value(1), &[&first])?;
    kept.collect()?;
    let passed = first.record_event()?;
    drop(first);
    let (second, _) = second_owner::<F>(&shared);
    let second = F::Backend::stream_from_owner(second, None)?;
    let last = fx.gate(&second)?;
    retain::<F>(&*kept, log.value(2), &[&second])?;
    kept.collect()?;
    fx.open(&gate);
    passed.synchronize()?;
    drop(passed);
    kept.collect()?;
    log.check([1])?;
    observer.check_gone("the value of its wrapper is dropped")?;
    fx.open(&last);
    kept.drain()?;
    log.check([1, 2])
}

/// An owner that shares its stream with others.
struct SharedOwner<F: Fixture> {
    stream: Arc<F::Foreign>,
    gone: Arc<AtomicBool>,
}

/// Creates an owner of `stream`, and the observer of its drop.
fn second_owner<F: Fixture>(stream: &Arc<F::Foreign>) -> (Arc<SharedOwner<F>>, DropObserver) {
    let gone = Arc::new(AtomicBool::new(false));
    let owner = SharedOwner { stream: Arc::clone(stream), gone: Arc::clone(&gone) };
    (Arc::new(owner), DropObserver(gone))
}

impl<F: Fixture> Drop for SharedOwner<F> {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::SeqCst);
    }
}

// SAFETY: the handle is that of the stream inside, which upholds the contract and lives as long as
// `self`.
unsafe impl<F: Fixture> StreamOwner<F::Backend> for SharedOwner<F> {
    fn raw_stream(&self) -> <F::Backend as Backend>::RawStream {
        self.stream.raw_stream()
    }
}

/// Checks that a value of streams of two devices is kept while either of them is held back.
pub fn streams_of_two_devices_keep_a_value<F: Fixture>(fx: &F) -> Outcome {
    let (first, second) = two_devices(fx)?;
    for held in 0..2 {
        let (kept, log) = (fx.reclaimer(), Log::default());
        let streams = [stream_on::<F>(first)?, stream_on::<F>(second)?];
        let gate = fx.gate(&streams[held])?;
        let data = work(fx, &streams[held])?;
        // A stream that is named twice counts once.
        retain::<F>(&*kept, log.value(1), &[&streams[0], &streams[1], &streams[0]])?;
        for _ in 0..2 {
            check_held(fx, &[&streams[1 - held], &streams[held]], &data)?;
            kept.collect()?;
            log.check([])?;
        }
        fx.open(&gate);
        kept.drain()?;
        log.check([1])?;
    }
    Ok(())
}

/// Checks that a thread's default stream keeps a value, and that another thread may drop it.
pub fn per_thread_stream_keeps_a_value<F: Fixture>(fx: &F) -> Outcome {
    let (kept, log) = (Reclaimer::<F::Backend>::new(), Log::default());
    let own = per_thread_stream::<F>(device(fx)?)?;
    let gate = fx.gate(&own)?;
    let data = work(fx, &own)?;
    for number in 0..3 {
        let retained = kept.retain(log.value(number), &[&own, &own]);
        retained.map_err(|refused| refused.into_error())?;
    }
    fx.settle(&[]);
    check_eq(fx.load(&data)?, 0, "the number that held work would change")?;
    kept.collect()?;
    log.check([])?;
    fx.open(&gate);
    let drained = thread::scope(|scope| scope.spawn(|| kept.drain()).join());
    drained.map_err(|_| Verdict::failed("drain panicked"))??;
    log.check(0..3)
}

/// Checks that `release_on` drops the value before it returns and on the calling thread, and that
/// later work of the home stream waits for each of the users.
pub fn release_waits_for_all_users<F: Fixture>(fx: &F) -> Outcome {
    for held in 0..3 {
        let (kept, log) = (fx.reclaimer(), Log::default());
        let (home, users) = (stream(fx)?, streams(fx, 3)?);
        let gate = fx.gate(&users[held])?;
        let released = kept.release_on(&home, &users, log.value(1));
        released.map_err(|refused| refused.into_error())?;
        let here = thread::current().id();
        check_eq(log.entries(), vec![(1, here)], "the list of drops and their threads")?;
        // What the destructor would submit, as a free in stream order.
        let data = work(fx, &home)?;
        check_held(fx, &[&users[0], &users[1], &users[2], &home], &data)?;
        fx.open(&gate);
        home.synchronize()?;
        check_done(fx, &data)?;
    }
    Ok(())
}
