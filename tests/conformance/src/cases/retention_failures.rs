//! Values that cannot be retained or dropped: captures, faults, resets, and destructors that panic.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, PoisonError};

use super::retained::{Log, Logged, retain};
use super::support::*;
use crate::fixture::CaptureMode;
use crate::retention::{Retention, Value};

/// Checks that if destructors panic, the other values are dropped all the same, and the caller gets
/// the first panic.
pub fn panic_in_a_destructor<F: Fixture>(fx: &F) -> Outcome {
    for by_drain in [false, true] {
        let (kept, log, streams) = (fx.reclaimer(), Log::default(), streams(fx, 2)?);
        // Where a query may be true late, a mark must be there before the streams are done: one call drops all values.
        let gated = if fx.queries_are_exact() { [].iter() } else { streams.iter() };
        let gates = gated.map(|stream| fx.gate(stream)).collect::<Result<Vec<_>, _>>()?;
        for number in 0..6 {
            // Unwinds like a panic, without the panic's message on the terminal.
            let fail = move || {
                if number % 3 == 1 {
                    resume_unwind(Box::new(number));
                }
            };
            let stream = &streams[number as usize / 3];
            retain::<F>(&*kept, log.value_with(number, fail), &[stream])?;
        }
        if !gates.is_empty() {
            kept.collect()?;
            gates.iter().for_each(|gate| fx.open(gate));
        }
        streams.iter().try_for_each(|stream| stream.synchronize())?;
        let call = AssertUnwindSafe(|| match by_drain {
            true => kept.drain(),
            false => kept.collect().map(drop),
        });
        let panic = match catch_unwind(call) {
            Ok(_) => return Err(Verdict::failed("the caller did not get the panic")),
            Err(panic) => panic.downcast::<u32>().map(|number| *number).ok(),
        };
        check(matches!(panic, Some(1 | 4)), format_args!("the caller got {panic:?}"))?;
        log.check_in_any_order(&[0, 1, 2, 3, 4, 5])?;
        check_eq(kept.pending(), 0, "the number of kept values")?;
        // The reclaimer works as before.
        retain::<F>(&*kept, log.value(6), &[&streams[0]])?;
        kept.drain()?;
        check_eq(kept.pending(), 0, "the number of kept values")?;
    }
    Ok(())
}

/// Checks that values behind a fault are neither dropped nor lost, and that the failed stream takes
/// no further value.
pub fn fault_keeps_its_values<F: Fixture>(fx: &F) -> Outcome {
    let (kept, log) = (fx.reclaimer(), Log::default());
    let (failed, gate) = gated(fx)?;
    fx.fault(&failed)?;
    // The first value has a mark by then, the others have none.
    retain::<F>(&*kept, log.value(0), &[&failed])?;
    kept.collect()?;
    for number in 1..4 {
        retain::<F>(&*kept, log.value(number), &[&failed])?;
    }
    fx.open(&gate);
    check_err(failed.synchronize(), ErrorKind::StreamFault, "synchronize")?;
    for _ in 0..3 {
        check_err(kept.collect(), ErrorKind::StreamFault, "collect")?;
        check_err(kept.drain(), ErrorKind::StreamFault, "drain")?;
        log.check([])?;
    }
    check_refused::<F>(&*kept, &log, &failed, ErrorKind::StreamFault)?;
    check_abandoned(kept, &log, &[], &[0, 1, 2, 3])
}

/// Checks that a fault keeps a value that another stream shares with the failed one, and no value
/// of other streams alone.
pub fn fault_keeps_no_other_value<F: Fixture>(fx: &F) -> Outcome {
    let (kept, log) = (fx.reclaimer(), Log::default());
    let (failed, gate) = gated(fx)?;
    let other = stream(fx)?;
    fx.fault(&failed)?;
    retain::<F>(&*kept, log.value(1), &[&other, &failed])?;
    retain::<F>(&*kept, log.value(2), &[&other])?;
    fx.open(&gate);
    check_err(failed.synchronize(), ErrorKind::StreamFault, "synchronize")?;
    for _ in 0..2 {
        check_err(kept.collect(), ErrorKind::StreamFault, "collect")?;
        log.check([2])?;
    }
    retain::<F>(&*kept, log.value(3), &[&other])?;
    check_err(kept.drain(), ErrorKind::StreamFault, "drain")?;
    check_abandoned(kept, &log, &[2, 3], &[1])
}

/// Checks that a retain on `stream` is refused, and that the value comes back.
#[track_caller]
fn check_refused<F: Fixture>(
    kept: &dyn Retention<F::Backend>,
    log: &Log,
    stream: &StreamOf<F>,
    kind: ErrorKind,
) -> Outcome {
    let before = log.entries().len();
    let pending = kept.pending();
    let Err(refused) = kept.retain(log.value(99), &[stream]) else {
        return Err(Verdict::failed("a value was retained that should be refused"));
    };
    check_eq(log.entries().len(), before, "the number of drops after the refusal")?;
    let (value, error) = refused.into_parts();
    check_err(Err::<(), _>(error), kind, "retain")?;
    let number = value.downcast_ref::<Logged>().map(|value| value.number);
    check_eq(number, Some(99), "the value that came back")?;
    check_eq(kept.pending(), pending, "the number of kept values")?;
    drop(value);
    let dropped = log.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
    check_eq(dropped.map(|(number, _)| number), Some(99), "the last drop")
}

/// Checks that abandon returns the values `wanted` in this order, and that only `dropped` were
/// dropped before.
#[track_caller]
fn check_abandoned<B: Backend>(
    kept: Arc<dyn Retention<B>>,
    log: &Log,
    dropped: &[u32],
    wanted: &[u32],
) -> Outcome {
    log.check(dropped.iter().copied())?;
    let values = kept.abandon().ok_or_else(|| Verdict::failed("the reclaimer is shared"))?;
    log.check(dropped.iter().copied())?;
    let number = |value: &Value| value.downcast_ref::<Logged>().map(|value| value.number);
    let mut numbers: Vec<_> = values.iter().filter_map(number).collect();
    // Values of other sets of streams come in any order.
    numbers.sort_by_key(|number| wanted.iter().position(|wanted| wanted == number));
    check_eq(numbers, wanted.to_vec(), "the abandoned values")
}

/// Checks that values of a context that was reset are neither dropped nor lost.
pub fn reset_keeps_the_values<F: Fixture>(fx: &F) -> Outcome {
    // Only a value whose work had ended may be dropped, where events from before the reset still say so.
    let (kept, log) = (fx.reclaimer(), Log::default());
    let device = device(fx)?;
    let stream = stream_on::<F>(device)?;
    // The first value has a mark by the reset, the others have none.
    let gate = fx.gate(&stream)?;
    retain::<F>(&*kept, log.value(1), &[&stream])?;
    kept.collect()?;
    let passed = stream.record_event()?;
    retain::<F>(&*kept, log.value(2), &[&stream])?;
    retain::<F>(&*kept, log.value(3), &[&stream])?;
    fx.open(&gate);
    stream.synchronize()?;
    drop(gate);
    fx.reset(device)?;
    for _ in 0..2 {
        check_lost("collect", kept.collect().map(drop))?;
        check_lost("drain", kept.drain())?;
    }
    if passed.query().is_ok() {
        return check_abandoned(kept, &log, &[1], &[2, 3]);
    }
    check_abandoned(kept, &log, &[], &[1, 2, 3])
}

/// Checks that a call says that the context is lost. HIP 6.4 says so of the handle that an event has kept.
#[track_caller]
fn check_lost(call: &str, result: Result<(), impl Error>) -> Outcome {
    match result {
        Err(error) if error.kind() == ErrorKind::InvalidHandle => Ok(()),
        other => check_err(other, ErrorKind::ContextDestroyed, call).map(drop),
    }
}

/// Checks that a stream that is being captured takes no value, and that its capture survives and
/// gets no node.
pub fn captured_stream_takes_no_value<F: Fixture>(fx: &F) -> Outcome {
    for mode in CaptureMode::ALL {
        let (kept, log) = (fx.reclaimer(), Log::default());
        let (captured, other) = (stream(fx)?, stream(fx)?);
        // The second value would come into an open batch.
        for is_open in [false, true] {
            if is_open {
                retain::<F>(&*kept, log.value(1), &[&captured])?;
            }
            fx.begin_capture(&captured, mode)?;
            let outcome = check_refused::<F>(&*kept, &log, &captured, ErrorKind::Capturing);
            let outcome = outcome.and_then(|()| {
                check(fx.is_capturing(&captured)?, "the capture is broken after a retain")?;
                // Of two streams, too.
                let both = kept.retain(log.value(2), &[&other, &captured]);
                let both = both.map_err(|refused| refused.into_parts());
                let Err((value, error)) = both else {
                    return Err(Verdict::failed("a captured stream took a value"));
                };
                drop(value);
                check_err(Err::<(), _>(error), ErrorKind::Capturing, "retain")?;
                check(fx.is_capturing(&captured)?, "the capture is broken after a retain")
            });
            // A capture that lasts would break the cases that follow.
            let nodes = fx.end_capture(&captured, false);
            outcome?;
            if let Some(nodes) = nodes? {
                check_eq(nodes, 0, "the number of nodes of the graph")?;
            }
        }
        kept.drain()?;
        log.check([2, 2, 1])?;
    }
    Ok(())
}

/// Checks that collect and drain leave a capture alive that began after a retain, and that the
/// value is dropped after it.
pub fn capture_after_a_retain<F: Fixture>(fx: &F) -> Outcome {
    for mode in CaptureMode::ALL {
        for is_marked in [false, true] {
            let (kept, log) = (fx.reclaimer(), Log::default());
            let (captured, other) = (stream(fx)?, stream(fx)?);
            let gate = if is_marked { Some(fx.gate(&captured)?) } else { None };
            retain::<F>(&*kept, log.value(1), &[&captured])?;
            if let Some(gate) = &gate {
                kept.collect()?;
                fx.open(gate);
                captured.synchronize()?;
            }
            fx.begin_capture(&captured, mode)?;
            let during = || -> Outcome {
                retain::<F>(&*kept, log.value(2), &[&other])?;
                kept.collect()?;
                // An implementation that has recorded a mark before the capture need not wait for the stream.
                if let Err(error) = kept.drain() {
                    check_err(Err::<(), _>(error), ErrorKind::Capturing, "drain")?;
                }
                check(fx.is_capturing(&captured)?, "the capture is broken after collect and drain")
            };
            let outcome = during();
            let ended = fx.end_capture(&captured, false);
            outcome?;
            ended?;
            kept.drain()?;
            log.check_in_any_order(&[1, 2])?;
        }
    }
    Ok(())
}
