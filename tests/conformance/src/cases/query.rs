//! `query` and `synchronize`.

use std::thread;

use super::support::*;

/// Checks that a stream without any submitted work is done.
pub fn new_stream_is_done<F: Fixture>(fx: &F) -> Outcome {
    let stream = stream(fx)?;
    check(is_idle(fx, &stream)?, "query of a new stream is false")?;
    stream.synchronize()?;
    check(is_idle(fx, &stream)?, "query is false after synchronize")
}

/// Checks that query returns false as long as a gate is closed, however often it is called, and never
/// an error.
pub fn query_is_false_while_pending<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let data = work(fx, &stream)?;
    for _ in 0..100 {
        check(!stream.query()?, "query is true, with a gate closed")?;
    }
    check_held(fx, &[&stream], &data)?;
    fx.open(&gate);
    stream.synchronize()?;
    check_done(fx, &data)
}

/// Checks that query returns true after synchronize, and true means that the work's effects are
/// visible.
pub fn query_is_true_when_done<F: Fixture>(fx: &F) -> Outcome {
    let stream = stream(fx)?;
    for _ in 0..10 {
        let data = work(fx, &stream)?;
        stream.synchronize()?;
        check(is_idle(fx, &stream)?, "query is false after synchronize")?;
        check_done(fx, &data)?;
    }
    Ok(())
}

/// Checks that polling a stream ends, and then the effects of its work are visible.
pub fn polling_comes_to_an_end<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let data = work(fx, &stream)?;
    fx.open(&gate);
    // The check after synchronize detects a query that never returns true: a loop here would hang.
    stream.synchronize()?;
    check(is_idle(fx, &stream)?, "query is false after synchronize")?;
    let more = work(fx, &stream)?;
    while !stream.query()? {
        thread::yield_now();
    }
    check_done(fx, &data)?;
    check_done(fx, &more)
}

/// Checks that synchronize returns only when the work is done. Another thread opens the gate after
/// the caller had every chance to return too early.
pub fn synchronize_waits<F: Fixture>(fx: &F) -> Outcome {
    for _ in 0..ROUNDS {
        let (stream, gate) = gated(fx)?;
        let data = work(fx, &stream)?;
        let seen = returns_before_open(
            || fx.open(&gate),
            || {
                stream.synchronize()?;
                fx.load(&data)
            },
        )?;
        check_eq(seen, 1, "the number when synchronize returned")?;
        check(is_idle(fx, &stream)?, "query is false after synchronize")?;
    }
    Ok(())
}

/// Checks that synchronize of an event returns only when the work before its record is done.
pub fn event_synchronize_waits<F: Fixture>(fx: &F) -> Outcome {
    for _ in 0..ROUNDS {
        let (stream, gate) = gated(fx)?;
        let data = work(fx, &stream)?;
        let event = stream.record_event()?;
        let seen = returns_before_open(
            || fx.open(&gate),
            || {
                event.synchronize()?;
                fx.load(&data)
            },
        )?;
        check_eq(seen, 1, "the number when synchronize returned")?;
        check(event.query()?, "query of the event is false after synchronize")?;
    }
    Ok(())
}

/// The number of times that a call that should block gets the chance to return too early.
const ROUNDS: usize = 10;

/// Checks that synchronize of a stream that is done returns, however often it is called.
pub fn synchronize_of_a_done_stream<F: Fixture>(fx: &F) -> Outcome {
    let stream = stream(fx)?;
    let data = work(fx, &stream)?;
    for _ in 0..10 {
        stream.synchronize()?;
    }
    check_done(fx, &data)
}

/// Checks that a held stream does not affect the answers of another stream.
pub fn streams_are_independent<F: Fixture>(fx: &F) -> Outcome {
    let (held, gate) = gated(fx)?;
    let free = stream(fx)?;
    let (behind, data) = (work(fx, &held)?, work(fx, &free)?);
    check_goes_on(fx, &[&free], &data)?;
    check(is_idle(fx, &free)?, "query of the free stream is false after it finished")?;
    check_held(fx, &[&held], &behind)?;
    fx.open(&gate);
    held.synchronize()?;
    check_done(fx, &behind)
}
