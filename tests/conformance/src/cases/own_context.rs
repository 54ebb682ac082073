//! Events and streams that a stream makes in its own context: `Stream::new_event` and
//! `Stream::new_stream`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::support::*;

/// Checks that events and streams that `stream` makes work with it.
fn check_new_objects<S: Stream>(stream: &S) -> Outcome {
    let start = stream.new_event(EventOptions::timed())?;
    let end = stream.new_event(EventOptions::timed())?;
    let derived = stream.new_stream(StreamOptions::new())?;
    check(!derived.is_same(stream), "new_stream gave the stream itself")?;
    check_eq(derived.device(), stream.device(), "the device of the new stream")?;
    for event in [&start, &end] {
        check_eq(event.device(), stream.device(), "the device of the new event")?;
        check_eq(event.options(), EventOptions::timed(), "the options of the new event")?;
        check_eq(event.status()?, EventStatus::Unrecorded, "the status of the new event")?;
    }
    stream.record(&start)?;
    derived.wait_stream(stream)?;
    derived.record(&end)?;
    stream.wait_event(&end)?;
    stream.synchronize()?;
    derived.synchronize()?;
    let elapsed = end.elapsed_since(&start)?;
    check(elapsed >= 0.0, format_args!("elapsed to a later event is {elapsed}"))?;
    let of_derived = derived.new_event(EventOptions::new())?;
    check_eq(of_derived.options(), EventOptions::new(), "the options of the new event")?;
    stream.record(&of_derived)?;
    Ok(of_derived.synchronize()?)
}

/// Checks that events and streams that a stream creates are on its device and work with it. This
/// holds on every device, for the backend's own streams, foreign ones, the default stream and the
/// per-thread stream.
pub fn new_objects_fit_the_stream<F: Fixture>(fx: &F) -> Outcome {
    for device in fx.devices()? {
        check_new_objects(&stream_on::<F>(device)?)?;
        if let Some(default) = if_any(default_stream::<F>(device))? {
            check_new_objects(&default)?;
        }
        if let Some(mine) = if_any(per_thread_stream::<F>(device))? {
            check_new_objects(&mine)?;
        }
        let theirs = fx.foreign(device, StreamOptions::new())?;
        check_new_objects(&F::Backend::stream_from_owner(Arc::new(theirs), None)?)?;
    }
    Ok(())
}

/// Checks that a stream of another context than the device's primary one creates events and streams
/// that work with it. It waits for ordinary streams, and they wait for it.
pub fn new_objects_in_another_context<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    let theirs = fx.foreign_elsewhere(device)?;
    let stream = F::Backend::stream_from_owner(Arc::new(theirs), None)?;
    check_eq(stream.device(), device, "the device")?;
    check_new_objects(&stream)?;
    let derived = stream.new_stream(StreamOptions::new())?;
    check_new_objects(&derived)?;
    let number = Arc::new(AtomicU32::new(0));
    let (ordinary, gate) = gated(fx)?;
    derived.wait_stream(&ordinary)?;
    let to = Arc::clone(&number);
    let store = move || to.store(1, Ordering::SeqCst);
    optional("host functions", derived.launch_host_func(Box::new(store)))?;
    stream.wait_stream(&derived)?;
    ordinary.wait_stream(&stream)?;
    fx.settle(&[&ordinary, &derived, &stream]);
    check_eq(number.load(Ordering::SeqCst), 0, "the number after the gate")?;
    check(!stream.query()?, "query of the held stream is true")?;
    fx.open(&gate);
    ordinary.synchronize()?;
    check_eq(number.load(Ordering::SeqCst), 1, "the number afterwards")
}

/// Checks that `new_stream` and `new_event` of a stream keep the options that they are given.
pub fn new_objects_keep_their_options<F: Fixture>(fx: &F) -> Outcome {
    let stream = stream(fx)?;
    let blocking = EventOptions::builder().blocking(true).build()?;
    for options in [EventOptions::new(), EventOptions::timed(), blocking] {
        check_eq(stream.new_event(options)?.options(), options, "the options")?;
    }
    let range = optional("priorities", F::Backend::priority_range(stream.device()))?;
    for priority in [range.greatest, 0, range.least] {
        let derived = stream.new_stream(StreamOptions::new().priority(priority))?;
        check_eq(optional("priority of a stream", derived.priority())?, priority, "the priority")?;
    }
    let given = range.least + 1;
    let refused = stream.new_stream(StreamOptions::new().priority(given));
    let text = check_err(refused, ErrorKind::InvalidOptions, "new_stream out of range")?;
    check_names(&text, given)
}
