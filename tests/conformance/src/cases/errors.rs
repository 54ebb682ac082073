//! Bad handles, and calls from inside work, where the backend can detect them. Cases about wrong
//! devices, options and events are in the areas of those.

use std::sync::Arc;
use std::sync::mpsc::channel;

use gpu_stream_core::EventOwner;

use super::support::*;
use crate::fixture::{RawEventOf, RawStreamOf};

fn needs_lookup<F: Fixture>(fx: &F) -> Outcome {
    if fx.detects_bad_handles() {
        return Ok(());
    }
    Err(Verdict::inapplicable(
        "the driver does not always detect a bad handle, and may crash on one",
    ))
}

fn refused<F: Fixture>(device: Device, raw: RawStreamOf<F>) -> Outcome {
    let bits = format!("{:#x}", raw.to_bits());
    for given in [None, Some(device)] {
        // SAFETY: the handle is no live stream, which the fixture says this backend finds before it
        // uses it.
        let wrapped = unsafe { F::Backend::stream_from_raw(raw, given) };
        let text = check_err(wrapped, ErrorKind::InvalidHandle, "wrapping it")?;
        check_names(&text, &bits)?;
    }
    Ok(())
}

/// Checks that a handle whose stream was destroyed is not wrapped, and the error names it.
pub fn destroyed_handle_is_refused<F: Fixture>(fx: &F) -> Outcome {
    needs_lookup(fx)?;
    let foreign = foreign(fx)?;
    let raw = foreign.raw_stream();
    drop(foreign);
    refused::<F>(device(fx)?, raw)
}

/// Checks that a number that never was a stream is not wrapped, and the error names it.
pub fn made_up_handle_is_refused<F: Fixture>(fx: &F) -> Outcome {
    needs_lookup(fx)?;
    for bits in [3, 0xdead_beef, usize::MAX, usize::MAX - 1] {
        refused::<F>(device(fx)?, fx.raw_stream(bits))?;
    }
    Ok(())
}

/// Checks that every call on a wrapper returns an error after its foreign stream was destroyed.
pub fn stream_destroyed_under_its_wrapper<F: Fixture>(fx: &F) -> Outcome {
    needs_lookup(fx)?;
    let foreign = foreign(fx)?;
    // SAFETY: the stream is destroyed too early below, which the fixture says this backend finds.
    let stream = unsafe { F::Backend::stream_from_raw(foreign.raw_stream(), None) }?;
    let (fresh, other) = (event(fx)?, super::support::stream(fx)?);
    stream.synchronize()?;
    drop(foreign);
    let kind = ErrorKind::InvalidHandle;
    for _ in 0..2 {
        check_err(stream.query(), kind, "query")?;
        check_err(stream.synchronize(), kind, "synchronize")?;
        check_err(stream.record(&fresh), kind, "record")?;
        check_err(stream.record_event(), kind, "record_event")?;
        check_err(other.wait_stream(&stream), kind, "wait_stream of another for it")?;
    }
    check_eq(fresh.status()?, EventStatus::Unrecorded, "the status of the event")?;
    let complete = other.record_event()?;
    complete.synchronize()?;
    check_err(stream.wait_event(&complete), kind, "wait_event")?;
    other.synchronize()?;
    check(is_idle(fx, &other)?, "the other stream is not done")
}

/// Checks that a fork or a join with a bad branch reports it, and the other branches wait and are
/// waited for anyway.
pub fn bad_branch_does_not_affect_others<F: Fixture>(fx: &F) -> Outcome {
    needs_lookup(fx)?;
    let foreign = foreign(fx)?;
    // SAFETY: the stream is destroyed too early below, which the fixture says this backend finds.
    let bad = unsafe { F::Backend::stream_from_raw(foreign.raw_stream(), None) }?;
    drop(foreign);
    let (source, gate) = gated(fx)?;
    let good = stream(fx)?;
    let forked = source.fork([&bad, &good]);
    check_err(forked, ErrorKind::InvalidHandle, "fork with a bad branch")?;
    let data = work(fx, &good)?;
    let end = stream(fx)?;
    check_err(end.join([&bad, &good]), ErrorKind::InvalidHandle, "join with a bad branch")?;
    let after = fx.data(end.device(), 0)?;
    fx.copy(&end, &data, &after)?;
    check_held(fx, &[&source, &good], &data)?;
    check_held(fx, &[&source, &good, &end], &after)?;
    fx.open(&gate);
    check_goes_on(fx, &[&source, &good, &end], &after)
}

/// Checks that synchronize of a stream or of an event is refused inside work that a stream runs.
pub fn synchronize_inside_work_is_refused<F: Fixture>(fx: &F) -> Outcome {
    if !fx.detects_calls_from_work() {
        return Err(Verdict::inapplicable(
            "the backend cannot tell that a call comes from inside work",
        ));
    }
    let stream = stream(fx)?;
    let event = stream.record_event()?;
    let (answers, seen) = channel();
    let inside = {
        let (own, other) = (stream.clone(), super::support::stream(fx)?);
        move || {
            let results = [own.synchronize(), other.synchronize(), event.synchronize()];
            // The receiver is dropped only if the case has failed already.
            let _ = answers.send(results);
        }
    };
    optional("host functions", stream.launch_host_func(Box::new(inside)))?;
    stream.synchronize()?;
    let results = seen.try_recv()?;
    for (what, result) in ["its stream", "another stream", "an event"].iter().zip(results) {
        let what = format!("synchronize of {what} inside of work");
        let text = check_err(result, ErrorKind::NotPermitted, what)?;
        check_names(&text, "synchronize")?;
    }
    check(is_idle(fx, &stream)?, "the stream is not done")
}

/// An owner of handles that every backend refuses.
struct BadOwner<F: Fixture> {
    stream: RawStreamOf<F>,
    event: Option<RawEventOf<F>>,
}

// SAFETY: the handle is 2, a thread's own stream, which is refused wherever a handle is taken.
unsafe impl<F: Fixture> StreamOwner<F::Backend> for BadOwner<F> {
    fn raw_stream(&self) -> RawStreamOf<F> {
        self.stream
    }
}

// SAFETY: the case wraps it only if there is an event handle. That is 0, which is refused.
unsafe impl<F: Fixture> EventOwner<F::Backend> for BadOwner<F> {
    fn raw_event(&self) -> RawEventOf<F> {
        self.event.expect("the case has checked it")
    }
}

/// Checks that an error names the call that the program made, and not one that the backend makes for
/// it.
pub fn errors_name_the_call<F: Fixture>(fx: &F) -> Outcome {
    let check_call = |call: &str, text: String| check_names(&text, format_args!("{call}: "));
    let (absent, invalid) = (absent_device(fx), ErrorKind::InvalidHandle);
    let kind = ErrorKind::InvalidDevice;
    let call = "Backend::new_stream";
    let made = F::Backend::new_stream(absent, StreamOptions::new());
    check_call(call, check_err(made, kind, call)?)?;
    let call = "Backend::new_event";
    let made = F::Backend::new_event(absent, EventOptions::new());
    check_call(call, check_err(made, kind, call)?)?;
    let optional = [
        ("Backend::default_stream", F::Backend::default_stream(absent).map(drop)),
        ("Backend::per_thread_stream", F::Backend::per_thread_stream(absent).map(drop)),
    ];
    for (call, answer) in optional {
        match answer {
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                check_call(call, error.to_string())?;
            }
            answer => check_call(call, check_err(answer, kind, call)?)?,
        }
    }
    let (stream, event) = (fx.raw_stream(2), fx.raw_event(0).ok());
    let call = "Backend::stream_from_raw";
    // SAFETY: handle 2 is refused.
    let wrapped = unsafe { F::Backend::stream_from_raw(stream, None) };
    check_call(call, check_err(wrapped, invalid, call)?)?;
    let owner = Arc::new(BadOwner::<F> { stream, event });
    let call = "Backend::stream_from_owner";
    let wrapped = F::Backend::stream_from_owner(Arc::clone(&owner), None);
    check_call(call, check_err(wrapped, invalid, call)?)?;
    let Some(event) = event else { return Ok(()) };
    let call = "Backend::event_from_raw";
    // SAFETY: handle 0 is refused.
    let wrapped = unsafe { F::Backend::event_from_raw(event, Some(device(fx)?)) };
    check_call(call, check_err(wrapped, invalid, call)?)?;
    let call = "Backend::event_from_owner";
    let wrapped = F::Backend::event_from_owner(owner, Some(device(fx)?));
    check_call(call, check_err(wrapped, invalid, call)?)
}
