//! Threads: streams and events that many threads use, and the one stream that stays on its thread.

use std::sync::Barrier;
use std::thread;

use super::support::*;

/// Runs `body` on `count` threads at once.
fn on_threads(count: usize, body: impl Fn(usize) -> Outcome + Sync) -> Outcome {
    let start = Barrier::new(count);
    thread::scope(|scope| {
        let (start, body) = (&start, &body);
        let run = |index| {
            scope.spawn(move || {
                start.wait();
                body(index)
            })
        };
        let running: Vec<_> = (0..count).map(run).collect();
        // All threads are joined before the first failure is returned.
        let ends: Vec<_> = running.into_iter().map(|thread| thread.join()).collect();
        ends.into_iter()
            .try_for_each(|end| end.map_err(|_| Verdict::failed("a thread panicked"))?)
    })
}

/// Runs `body` on a thread that has never called the driver.
fn on_a_fresh_thread<T: Send>(
    body: impl FnOnce() -> Result<T, Verdict> + Send,
) -> Result<T, Verdict> {
    thread::scope(|scope| {
        scope.spawn(body).join().map_err(|_| Verdict::failed("the thread panicked"))?
    })
}

/// Checks that if many threads submit to one stream, each thread's work keeps its order.
pub fn many_threads_one_stream<F: Fixture>(fx: &F) -> Outcome {
    let stream = stream(fx)?;
    on_threads(8, |_| {
        let (slot, copy) = (fx.data(stream.device(), 0)?, fx.data(stream.device(), 0)?);
        for value in 1..=25 {
            fx.store(&stream, &slot, value)?;
        }
        fx.copy(&stream, &slot, &copy)?;
        fx.store(&stream, &slot, 0)?;
        stream.synchronize()?;
        check_eq(fx.load(&copy)?, 25, "the copy of the thread's last number")?;
        check_eq(fx.load(&slot)?, 0, "the number stored last")
    })?;
    check(is_idle(fx, &stream)?, "query is false when all threads have synchronized")
}

/// Checks that every call works on a thread that has nothing current and never called the driver.
pub fn calls_work_on_a_fresh_thread<F: Fixture>(fx: &F) -> Outcome {
    for device in fx.devices()? {
        let stream = stream_on::<F>(device)?;
        let event = stream.record_event()?;
        stream.synchronize()?;
        on_a_fresh_thread(|| {
            check(is_idle(fx, &stream)? && event.query()?, "query is false on another thread")?;
            check_eq(event.status()?, EventStatus::Complete, "the status on another thread")?;
            stream.record(&event)?;
            stream.wait_event(&event)?;
            let other = stream_on::<F>(device)?;
            other.wait_stream(&stream)?;
            event.synchronize()?;
            stream.synchronize()?;
            other.synchronize()?;
            let foreign = fx.foreign(device, StreamOptions::new())?;
            // SAFETY: `foreign` outlives the wrapper; nothing is recorded.
            let wrapped = unsafe { F::Backend::stream_from_raw(foreign.raw_stream(), None) }?;
            check_eq(wrapped.device(), device, "the device of a wrapper")?;
            check(is_idle(fx, &wrapped)?, "query of an idle foreign stream is false")
        })?;
    }
    Ok(())
}

/// Checks that streams and events may be dropped on another thread than the one that made them.
pub fn values_are_dropped_on_another_thread<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let data = work(fx, &stream)?;
    let event = stream.record_event()?;
    let waiter = super::support::stream(fx)?;
    waiter.wait_event(&event)?;
    let clone = stream.clone();
    on_a_fresh_thread(move || {
        drop((event, clone));
        Ok(())
    })?;
    let after = work(fx, &waiter)?;
    check_held(fx, &[&stream, &waiter], &after)?;
    fx.open(&gate);
    waiter.synchronize()?;
    check_done(fx, &data)?;
    check_done(fx, &after)?;
    on_a_fresh_thread(move || {
        drop((stream, waiter));
        Ok(())
    })
}

/// Checks that threads that record one event and wait for it at the same time do not corrupt it.
pub fn one_event_from_many_threads<F: Fixture>(fx: &F) -> Outcome {
    let event = event(fx)?;
    on_threads(8, |_| {
        let (stream, waiter) = (stream(fx)?, stream(fx)?);
        for _ in 0..25 {
            let before = work(fx, &stream)?;
            stream.record(&event)?;
            waiter.wait_event(&event)?;
            event.status()?;
            event.synchronize()?;
            stream.synchronize()?;
            check_done(fx, &before)?;
        }
        Ok(waiter.synchronize()?)
    })?;
    check_eq(event.status()?, EventStatus::Complete, "the status in the end")
}

/// Checks that each thread forks from one stream and joins back to it; the end sees the work of all
/// threads.
pub fn threads_fork_and_join<F: Fixture>(fx: &F) -> Outcome {
    let (main, gate) = gated(fx)?;
    let before = work(fx, &main)?;
    let results: Vec<_> = (0..6).map(|_| fx.data(main.device(), 0)).collect::<Result<_, _>>()?;
    let rest = fx.data(main.device(), 0)?;
    on_threads(results.len(), |index| {
        let mine = stream(fx)?;
        main.fork([&mine])?;
        fx.copy(&mine, &before, &results[index])?;
        Ok(main.join([&mine])?)
    })?;
    fx.store(&main, &rest, 1)?;
    check_held(fx, &[&main], &rest)?;
    fx.open(&gate);
    main.synchronize()?;
    results.iter().try_for_each(|result| check_done(fx, result))?;
    check_done(fx, &rest)
}

/// Checks that one thread can synchronize while other threads query and submit.
pub fn synchronize_beside_others<F: Fixture>(fx: &F) -> Outcome {
    let stream = stream(fx)?;
    on_threads(4, |index| {
        for _ in 0..50 {
            match index {
                0 => stream.synchronize()?,
                1 => drop(stream.query()?),
                _ => {
                    let data = work(fx, &stream)?;
                    stream.synchronize()?;
                    check_done(fx, &data)?;
                }
            }
        }
        Ok(())
    })
}

/// Checks that all wrappers of a thread's own stream are one stream, which is held back through
/// each of them.
pub fn per_thread_stream_is_one_within_a_thread<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    let (one, other) = (per_thread_stream::<F>(device)?, per_thread_stream::<F>(device)?);
    check(one.is_same(&other), "two wrappers of the thread's stream differ")?;
    let gate = fx.gate(&one)?;
    let data = work(fx, &other)?;
    check(!other.query()?, "query is true for the second wrapper, and the first is held back")?;
    check_eq(fx.load(&data)?, 0, "the number after the gate")?;
    fx.open(&gate);
    one.synchronize()?;
    check_done(fx, &data)
}

/// Checks that a thread's own stream is neither the default stream nor another thread's own stream.
pub fn per_thread_stream_differs_on_each_thread<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    let mine = per_thread_stream::<F>(device)?;
    let gate = fx.gate(&mine)?;
    let data = work(fx, &mine)?;
    on_a_fresh_thread(|| {
        let theirs = per_thread_stream::<F>(device)?;
        check(
            is_idle(fx, &theirs)?,
            "another thread's stream is held back by a gate on this one's",
        )?;
        let data = work(fx, &theirs)?;
        theirs.synchronize()?;
        check_done(fx, &data)
    })?;
    check(!mine.query()?, "query is true for the stream that is held back")?;
    check_eq(fx.load(&data)?, 0, "the number after the gate")?;
    fx.open(&gate);
    mine.synchronize()?;
    check_done(fx, &data)
}

/// Checks that events of a thread's own stream are ordinary: another thread can wait for them.
pub fn per_thread_stream_has_ordinary_events<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    let mine = per_thread_stream::<F>(device)?;
    let gate = fx.gate(&mine)?;
    let before = work(fx, &mine)?;
    let event = mine.record_event()?;
    let (waiter, after) = on_a_fresh_thread(|| {
        let waiter = stream_on::<F>(device)?;
        waiter.wait_event(&event)?;
        let after = work(fx, &waiter)?;
        Ok((waiter, after))
    })?;
    check_held(fx, &[&waiter], &after)?;
    check_eq(event.status()?, EventStatus::Pending, "the status of the event")?;
    fx.open(&gate);
    on_a_fresh_thread(|| Ok(event.synchronize()?))?;
    check_done(fx, &before)?;
    waiter.synchronize()?;
    check_done(fx, &after)
}

/// Checks that a thread's own stream and an ordinary one wait for each other.
pub fn per_thread_stream_waits_and_is_waited_for<F: Fixture>(fx: &F) -> Outcome {
    let (first, gate) = gated(fx)?;
    let mine = per_thread_stream::<F>(first.device())?;
    let last = stream(fx)?;
    let start = work(fx, &first)?;
    let (middle, end) = (fx.data(first.device(), 0)?, fx.data(first.device(), 0)?);
    mine.wait_stream(&first)?;
    fx.copy(&mine, &start, &middle)?;
    last.wait_stream(&mine)?;
    fx.copy(&last, &middle, &end)?;
    check(!mine.query()?, "query is true for the thread's stream, which waits")?;
    check_held(fx, &[&first, &last], &end)?;
    fx.open(&gate);
    last.synchronize()?;
    check_done(fx, &end)?;
    Ok(mine.synchronize()?)
}

/// Checks that a thousand streams, each with work that waits for one stream, all finish.
pub fn thousand_streams<F: Fixture>(fx: &F) -> Outcome {
    // Made before the gate is closed: a driver may wait for what runs when it makes room for more.
    let (many, last) = (streams(fx, 1_000)?, stream(fx)?);
    let new_end = |_: &_| fx.data(last.device(), 0);
    let ends: Vec<_> = many.iter().map(new_end).collect::<Result<_, _>>()?;
    let (first, gate) = gated(fx)?;
    let start = work(fx, &first)?;
    // A GPU can hold back only some of the streams. Then only the data proves the order.
    let all_are_held = fx.independent() > many.len();
    if !all_are_held {
        fx.open(&gate);
    }
    first.fork(&many)?;
    for (stream, end) in many.iter().zip(&ends) {
        fx.copy(stream, &start, end)?;
    }
    last.join(&many)?;
    let data = work(fx, &last)?;
    if all_are_held {
        check_held(fx, &[&many[0]], &ends[0])?;
        check_held(fx, &[&many[999]], &ends[999])?;
        fx.open(&gate);
    }
    last.synchronize()?;
    ends.iter().try_for_each(|end| check_done(fx, end))?;
    check_done(fx, &data)
}

/// Checks that while as many streams are held back as the backend can hold, another one continues.
pub fn held_streams_do_not_block_another<F: Fixture>(fx: &F) -> Outcome {
    let (first, gate) = gated(fx)?;
    let held = streams(fx, fx.independent().min(1_000).saturating_sub(1))?;
    first.fork(&held)?;
    let behind: Vec<_> = held.iter().map(|stream| work(fx, stream)).collect::<Result<_, _>>()?;
    let free = stream(fx)?;
    let data = work(fx, &free)?;
    check_goes_on(fx, &[&free], &data)?;
    fx.open(&gate);
    for (stream, data) in held.iter().zip(&behind) {
        stream.synchronize()?;
        check_done(fx, data)?;
    }
    Ok(())
}

/// Checks that a long queue that is submitted to one stream after a closed gate runs to its end in
/// order.
pub fn long_queue<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let (slot, last) = (fx.data(stream.device(), 0)?, fx.data(stream.device(), 0)?);
    // Short of the thousand or so that a vendor's queue takes before a submission blocks.
    for value in 1..=800 {
        fx.store(&stream, &slot, value)?;
    }
    fx.copy(&stream, &slot, &last)?;
    check_held(fx, &[&stream], &last)?;
    fx.open(&gate);
    stream.synchronize()?;
    check_eq(fx.load(&last)?, 800, "the number stored last")
}
