//! Elapsed time: what it needs, in which order that is checked, its unit and its sign.

use std::time::{Duration, Instant};

use super::support::*;

#[track_caller]
fn refused<F: Fixture>(
    what: &str,
    (start, end): (&EventOf<F>, &EventOf<F>),
    kind: ErrorKind,
    named: &str,
) -> Outcome {
    check_names(&check_err(end.elapsed_since(start), kind, what)?, named)
}

/// Checks that an event without timing is refused, whatever else is missing, and the error says
/// which event it is.
pub fn elapsed_needs_timing<F: Fixture>(fx: &F) -> Outcome {
    let stream = stream(fx)?;
    let (plain, timed) = (event(fx)?, timed::<F>(stream.device())?);
    for recorded in [false, true] {
        if recorded {
            stream.record(&plain)?;
            stream.record(&timed)?;
            stream.synchronize()?;
        }
        let kind = ErrorKind::EventNotTimed;
        refused::<F>("elapsed from an untimed start", (&plain, &timed), kind, "start")?;
        refused::<F>("elapsed to an untimed end", (&timed, &plain), kind, "end")?;
        refused::<F>("elapsed of two untimed events", (&plain, &plain), kind, "start")?;
    }
    Ok(())
}

/// Checks that an event that was never recorded is refused, even beside a pending one, and the
/// error says which event it is.
pub fn elapsed_needs_records<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let device = stream.device();
    let (fresh, recorded) = (timed::<F>(device)?, timed::<F>(device)?);
    stream.record(&recorded)?;
    let kind = ErrorKind::EventNotRecorded;
    for _ in 0..2 {
        refused::<F>("elapsed from an unrecorded start", (&fresh, &recorded), kind, "start")?;
        refused::<F>("elapsed to an unrecorded end", (&recorded, &fresh), kind, "end")?;
        refused::<F>("elapsed of two unrecorded events", (&fresh, &fresh), kind, "start")?;
        fx.open(&gate);
        stream.synchronize()?;
    }
    Ok(())
}

/// Checks that a pending event is refused, and the error says which event it is.
pub fn elapsed_needs_complete_events<F: Fixture>(fx: &F) -> Outcome {
    let stream = stream(fx)?;
    let (done, pending) = (timed::<F>(stream.device())?, timed::<F>(stream.device())?);
    stream.record(&done)?;
    stream.synchronize()?;
    let gate = fx.gate(&stream)?;
    stream.record(&pending)?;
    let kind = ErrorKind::EventPending;
    refused::<F>("elapsed from a pending start", (&pending, &done), kind, "start")?;
    refused::<F>("elapsed to a pending end", (&done, &pending), kind, "end")?;
    refused::<F>("elapsed of a pending event and itself", (&pending, &pending), kind, "start")?;
    fx.open(&gate);
    stream.synchronize()?;
    check(pending.elapsed_since(&done)? >= 0.0, "a later event has a negative elapsed time")
}

/// Checks that the elapsed time from an event to itself is 0.
pub fn elapsed_to_itself_is_zero<F: Fixture>(fx: &F) -> Outcome {
    let stream = stream(fx)?;
    let event = timed::<F>(stream.device())?;
    stream.record(&event)?;
    event.synchronize()?;
    check_eq(event.elapsed_since(&event)?, 0.0, "elapsed time of an event and itself")
}

/// Checks that elapsed time is in milliseconds: it lies, within a wide margin, between the host's
/// measurements inside and outside of it.
pub fn elapsed_is_in_milliseconds<F: Fixture>(fx: &F) -> Outcome {
    let (milliseconds, inner, outer) = measure(fx)?.0;
    // The clocks of the device and the host may differ, but not by the factor of a wrong unit.
    check(
        milliseconds >= inner / 4.0 && milliseconds <= outer * 4.0 + 1.0,
        format_args!("elapsed is {milliseconds}, where the host saw {inner} to {outer} ms"),
    )
}

/// Checks that elapsed time in reversed order is negative and has the same size.
pub fn elapsed_has_a_sign<F: Fixture>(fx: &F) -> Outcome {
    let ((forward, ..), backward) = measure(fx)?;
    check(forward > 0.0, format_args!("elapsed to a later event is {forward}"))?;
    check(backward < 0.0, format_args!("elapsed to an earlier event is {backward}"))?;
    let sum = (forward + backward).abs();
    check(sum <= forward * 0.01, format_args!("{forward} forward and {backward} backward"))
}

type Measured = ((f32, f32, f32), f32);

/// Measures two events with a gate between them. Returns the elapsed time forward, the host's time
/// inside and outside, and the elapsed time backward.
fn measure<F: Fixture>(fx: &F) -> Result<Measured, Verdict> {
    let stream = stream(fx)?;
    let (start, end) = (timed::<F>(stream.device())?, timed::<F>(stream.device())?);
    let outside = Instant::now();
    stream.record(&start)?;
    start.synchronize()?;
    let inside = Instant::now();
    let gate = fx.gate(&stream)?;
    stream.record(&end)?;
    // Only makes the time measurable: the gate makes the order.
    while inside.elapsed() < Duration::from_millis(5) {
        std::thread::yield_now();
    }
    let inner = inside.elapsed();
    fx.open(&gate);
    end.synchronize()?;
    let outer = outside.elapsed();
    let forward = end.elapsed_since(&start)?;
    let backward = start.elapsed_since(&end)?;
    let milliseconds = |time: Duration| time.as_secs_f32() * 1e3;
    Ok(((forward, milliseconds(inner), milliseconds(outer)), backward))
}

/// Checks that elapsed time works between events of two streams of one device.
pub fn elapsed_across_streams<F: Fixture>(fx: &F) -> Outcome {
    let (first, gate) = gated(fx)?;
    let second = stream(fx)?;
    let (start, end) = (timed::<F>(first.device())?, timed::<F>(first.device())?);
    first.record(&start)?;
    second.wait_event(&start)?;
    second.record(&end)?;
    fx.open(&gate);
    end.synchronize()?;
    let elapsed = end.elapsed_since(&start)?;
    check(elapsed >= 0.0, format_args!("elapsed to an event that is ordered later is {elapsed}"))
}

/// Checks that elapsed time uses the last record of each event.
pub fn elapsed_uses_the_last_record<F: Fixture>(fx: &F) -> Outcome {
    let stream = stream(fx)?;
    let (moved, fixed) = (timed::<F>(stream.device())?, timed::<F>(stream.device())?);
    stream.record(&moved)?;
    stream.record(&fixed)?;
    fixed.synchronize()?;
    check(fixed.elapsed_since(&moved)? >= 0.0, "the first record is not before the other")?;
    let since = Instant::now();
    while since.elapsed() < Duration::from_millis(2) {
        std::thread::yield_now();
    }
    stream.record(&moved)?;
    moved.synchronize()?;
    let elapsed = moved.elapsed_since(&fixed)?;
    check(elapsed > 0.0, format_args!("elapsed to the second, later record is {elapsed}"))
}

/// Checks that elapsed time between two devices is refused before anything else, and the error
/// names both.
pub fn elapsed_across_devices<F: Fixture>(fx: &F) -> Outcome {
    let (near, far) = two_devices(fx)?;
    let (here, there) = (stream_on::<F>(near)?, stream_on::<F>(far)?);
    let (start, end) = (timed::<F>(near)?, timed::<F>(far)?);
    let untimed = F::Backend::new_event(far, EventOptions::new())?;
    for _ in 0..2 {
        for end in [&end, &untimed] {
            let kind = ErrorKind::DeviceMismatch;
            let text = check_err(end.elapsed_since(&start), kind, "elapsed across devices")?;
            check_names(&text, format_args!("the start event belongs to {near}"))?;
            check_names(&text, format_args!("the end event to {far}"))?;
        }
        here.record(&start)?;
        there.record(&end)?;
        here.synchronize()?;
        there.synchronize()?;
    }
    Ok(())
}
