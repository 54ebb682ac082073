//! Identity: two streams are the same if backend type, device and handle are equal.

use std::sync::Arc;

use super::support::*;
use crate::namesake::Namesake;

/// Checks that two streams are equal exactly if `is_same` is true, in both directions, and then
/// their hashes are equal.
pub fn equal_is_the_same<F: Fixture>(fx: &F) -> Outcome {
    let mut all = Vec::new();
    for device in fx.devices()? {
        let native = stream_on::<F>(device)?;
        all.extend(if_any(default_stream::<F>(device))?);
        all.extend([native.clone(), native.clone()]);
        // SAFETY: a clone in `all` outlives the wrapper; nothing is recorded.
        all.push(unsafe { F::Backend::stream_from_raw(native.raw(), None) }?);
        let theirs = fx.foreign(device, StreamOptions::new())?;
        all.push(F::Backend::stream_from_owner(Arc::new(theirs), None)?);
    }
    for (index, one) in all.iter().enumerate() {
        for (other_index, other) in all.iter().enumerate() {
            let same = one.is_same(other);
            let what = format!("of {one:?} and {other:?}");
            check_eq(same, other.is_same(one), format_args!("is_same {what}"))?;
            check_eq(one == other, same, format_args!("`==` {what}"))?;
            check(!same || hash_of(one) == hash_of(other), format_args!("two hashes {what}"))?;
            check(same || index != other_index, format_args!("a stream is not itself: {one:?}"))?;
        }
    }
    Ok(())
}

/// Checks that the default streams of two devices have one handle and are two streams: a fork, a
/// join and a wait order them.
pub fn one_handle_on_two_devices<F: Fixture>(fx: &F) -> Outcome {
    let (first, second) = two_devices(fx)?;
    let (one, other) = (default_stream::<F>(first)?, default_stream::<F>(second)?);
    for call in ["wait_stream", "fork", "join"] {
        let gate = fx.gate(&one)?;
        let before = work(fx, &one)?;
        match call {
            "wait_stream" => other.wait_stream(&one)?,
            "fork" => one.fork([&other])?,
            _ => other.join([&one])?,
        }
        let after = work(fx, &other)?;
        let held = check_held(fx, &[&one, &other], &after);
        fx.open(&gate);
        held.map_err(|verdict| Verdict::failed(format_args!("{call}: {}", verdict.reason())))?;
        other.synchronize()?;
        check_done(fx, &before)?;
        check_done(fx, &after)?;
    }
    Ok(())
}

/// Checks that a backend of the same name and another type is another backend, even if device and
/// handle are the same. A wait is refused as `BackendMismatch`, in both directions.
pub fn namesake_is_another_backend<F: Fixture>(fx: &F) -> Outcome {
    let backend =
        fx.dynamic().ok_or_else(|| Verdict::inapplicable("the backend has no object-safe form"))?;
    let stream = backend.new_stream(device(fx)?, StreamOptions::new())?;
    let twin = Namesake::<F::Backend>::stream(stream.device(), stream.raw_bits());
    check_eq(twin.backend(), stream.backend(), "the name of the namesake")?;
    check_eq(twin.device(), stream.device(), "the device of its stream")?;
    check_eq(twin.raw_bits(), stream.raw_bits(), "the handle of its stream")?;
    check(twin.backend_type() != stream.backend_type(), "two backends have one type")?;
    for result in [stream.wait_stream(&*twin), twin.wait_stream(&*stream)] {
        check_err(result, ErrorKind::BackendMismatch, "wait_stream of a namesake")?;
    }
    let event = twin.record_event()?;
    for result in [stream.wait_event(&*event), stream.record(&*event)] {
        check_err(result, ErrorKind::BackendMismatch, "a namesake's event")?;
    }
    Ok(stream.synchronize()?)
}
