//! Handles: what wrapping does and does not do, and when two wrappers are equal.

use super::support::*;

/// Checks that a wrapper works on the very stream that the handle names, and returns that handle.
pub fn wrap_is_the_stream<F: Fixture>(fx: &F) -> Outcome {
    let foreign = foreign(fx)?;
    // SAFETY: `foreign` outlives the wrapper; nothing is recorded.
    let stream = unsafe { F::Backend::stream_from_raw(foreign.raw_stream(), None) }?;
    check_eq(stream.raw(), foreign.raw_stream(), "the wrapper's handle")?;
    let data = work(fx, &stream)?;
    stream.synchronize()?;
    check_done(fx, &data)?;
    fx.foreign_works(&foreign)
}

/// Checks that dropping a wrapper leaves an idle stream alive.
pub fn wrap_does_not_own<F: Fixture>(fx: &F) -> Outcome {
    let foreign = foreign(fx)?;
    for _ in 0..3 {
        // SAFETY: `foreign` outlives the wrapper; nothing is recorded.
        drop(unsafe { F::Backend::stream_from_raw(foreign.raw_stream(), None) }?);
        fx.foreign_works(&foreign)?;
    }
    Ok(())
}

/// Checks that dropping a wrapper while work is pending neither destroys the stream nor loses the
/// work.
pub fn wrap_dropped_while_pending<F: Fixture>(fx: &F) -> Outcome {
    let foreign = foreign(fx)?;
    // SAFETY: `foreign` outlives the wrapper; nothing is recorded.
    let stream = unsafe { F::Backend::stream_from_raw(foreign.raw_stream(), None) }?;
    let gate = fx.gate(&stream)?;
    let data = work(fx, &stream)?;
    check_held(fx, &[&stream], &data)?;
    drop(stream);
    check_eq(fx.load(&data)?, 0, "the number, with the gate still closed")?;
    fx.open(&gate);
    fx.foreign_works(&foreign)?;
    check_done(fx, &data)
}

/// Checks that a clone is the same stream: it is equal, has the same hash, and its work is ordered
/// with the original's.
pub fn clone_is_the_same_stream<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let clone = stream.clone();
    check(clone == stream && clone.is_same(&stream), "a clone differs from its original")?;
    check_eq(hash_of(&clone), hash_of(&stream), "the hash of a clone")?;
    check_eq(clone.raw(), stream.raw(), "the handle of a clone")?;
    let data = work(fx, &clone)?;
    check_held(fx, &[&clone], &data)?;
    fx.open(&gate);
    stream.synchronize()?;
    check_done(fx, &data)
}

/// Checks that the remaining wrappers keep working when a clone is dropped, whichever was made
/// first.
pub fn clones_are_dropped_in_any_order<F: Fixture>(fx: &F) -> Outcome {
    let first = stream(fx)?;
    let second = first.clone();
    let third = second.clone();
    for gone in [second, first] {
        drop(gone);
        let data = work(fx, &third)?;
        third.synchronize()?;
        check_done(fx, &data)?;
    }
    Ok(())
}

/// Checks that two wrappers of one foreign handle are equal.
pub fn wrappers_of_one_handle_are_equal<F: Fixture>(fx: &F) -> Outcome {
    let foreign = foreign(fx)?;
    // SAFETY: `foreign` outlives both wrappers; nothing is recorded.
    let one = unsafe { F::Backend::stream_from_raw(foreign.raw_stream(), None) }?;
    // SAFETY: `foreign` outlives both wrappers; nothing is recorded.
    let other = unsafe { F::Backend::stream_from_raw(foreign.raw_stream(), None) }?;
    check(one == other && one.is_same(&other), "two wrappers of one handle differ")?;
    check_eq(hash_of(&other), hash_of(&one), "the hash of the second wrapper")
}

/// Checks that a stream that the backend created and a foreign wrapper of its handle are equal, and
/// are held back together.
pub fn native_and_foreign_are_equal<F: Fixture>(fx: &F) -> Outcome {
    let native = stream(fx)?;
    // SAFETY: `native` outlives the wrapper; nothing is recorded.
    let wrapped = unsafe { F::Backend::stream_from_raw(native.raw(), None) }?;
    check(native == wrapped && wrapped.is_same(&native), "a wrapper differs from the stream")?;
    check_eq(hash_of(&wrapped), hash_of(&native), "the hash of the wrapper")?;
    let gate = fx.gate(&native)?;
    let data = work(fx, &wrapped)?;
    check_held(fx, &[&wrapped], &data)?;
    drop(wrapped);
    fx.open(&gate);
    native.synchronize()?;
    check_done(fx, &data)
}

/// Checks that two streams are not equal, nor is a stream equal to the default stream.
pub fn different_streams_differ<F: Fixture>(fx: &F) -> Outcome {
    let (one, other) = (stream(fx)?, stream(fx)?);
    check(one != other && !one.is_same(&other), "two new streams are equal")?;
    check(one.raw() != other.raw(), "two new streams have one handle")?;
    match if_any(default_stream::<F>(one.device()))? {
        Some(default) => check(
            one != default && !default.is_same(&one),
            "a new stream equals the default stream",
        ),
        None => Ok(()),
    }
}

/// Checks that the default streams of two devices have one handle and are not equal.
pub fn default_streams_of_two_devices_differ<F: Fixture>(fx: &F) -> Outcome {
    let (first, second) = two_devices(fx)?;
    let (one, other) = (default_stream::<F>(first)?, default_stream::<F>(second)?);
    check_eq(one.device(), first, "the device of the first")?;
    check_eq(other.device(), second, "the device of the second")?;
    check(one != other && !one.is_same(&other), "default streams of two devices are equal")
}

/// Checks that handle 0 is the device's default stream, and no other stream.
pub fn handle_zero_is_the_default_stream<F: Fixture>(fx: &F) -> Outcome {
    for device in fx.devices()? {
        let default = default_stream::<F>(device)?;
        // SAFETY: handle 0 always exists.
        let zero = unsafe { F::Backend::stream_from_raw(fx.raw_stream(0), Some(device)) }?;
        check(zero == default, format_args!("handle 0 is not the default stream of {device}"))?;
        check_eq(zero.device(), device, "its device")?;
        check_eq(HandleKind::of(zero.raw().to_bits()), HandleKind::Default, "what its handle is")?;
        let gate = fx.gate(&default)?;
        let data = work(fx, &zero)?;
        check_held(fx, &[&zero], &data)?;
        fx.open(&gate);
        default.synchronize()?;
        check_done(fx, &data)?;
    }
    Ok(())
}

/// Checks that handle 1 is the default stream too.
pub fn handle_one_is_the_default_stream<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    let default = default_stream::<F>(device)?;
    // SAFETY: handle 1 always exists.
    let one = unsafe { F::Backend::stream_from_raw(fx.raw_stream(1), Some(device)) }?;
    check(one == default && one.is_same(&default), "handle 1 is not equal to the default stream")?;
    check_eq(hash_of(&one), hash_of(&default), "the hash of handle 1")?;
    let gate = fx.gate(&default)?;
    let data = work(fx, &one)?;
    check_held(fx, &[&one], &data)?;
    fx.open(&gate);
    default.synchronize()?;
    check_done(fx, &data)
}

/// Checks that without a device, handle 0 is the default stream of some device of the backend.
pub fn handle_zero_without_a_device<F: Fixture>(fx: &F) -> Outcome {
    default_stream::<F>(device(fx)?)?;
    // SAFETY: handle 0 always exists.
    let zero = unsafe { F::Backend::stream_from_raw(fx.raw_stream(0), None) }?;
    let device = zero.device();
    check(fx.devices()?.contains(&device), format_args!("its device {device} does not exist"))?;
    check(zero == default_stream::<F>(device)?, "it is not the default stream")
}

/// Checks that handle 2 is refused wherever a handle is taken, and the error names the call to use
/// instead.
pub fn handle_two_is_refused<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    let advice = advice_for_handle_two::<F>(device)?;
    for given in [None, Some(device)] {
        // SAFETY: handle 2 is refused, or else names a stream that always exists.
        let wrapped = unsafe { F::Backend::stream_from_raw(fx.raw_stream(2), given) };
        let text = check_err(wrapped, ErrorKind::InvalidHandle, "stream_from_raw of handle 2")?;
        check_names(&text, advice)?;
    }
    // SAFETY: handle 2 is refused, or else names a stream that always exists.
    let wrapped = unsafe { F::Backend::stream_from_raw_unchecked(fx.raw_stream(2), device) };
    let text =
        check_err(wrapped, ErrorKind::InvalidHandle, "stream_from_raw_unchecked of handle 2")?;
    check_names(&text, advice)
}

/// Checks that the unchecked function wraps the same stream if the device is right.
pub fn unchecked_wraps_the_same<F: Fixture>(fx: &F) -> Outcome {
    for device in fx.devices()? {
        let foreign = fx.foreign(device, StreamOptions::new())?;
        // SAFETY: `foreign` is a stream of `device` and outlives the wrappers; nothing is recorded.
        let unchecked =
            unsafe { F::Backend::stream_from_raw_unchecked(foreign.raw_stream(), device) }?;
        // SAFETY: `foreign` outlives the wrapper; nothing is recorded.
        let checked = unsafe { F::Backend::stream_from_raw(foreign.raw_stream(), None) }?;
        check(unchecked == checked, "the unchecked wrapper differs from the checked one")?;
        check_eq(unchecked.device(), device, "its device")?;
        let data = work(fx, &unchecked)?;
        unchecked.synchronize()?;
        check_done(fx, &data)?;
        drop((unchecked, checked));
        fx.foreign_works(&foreign)?;
    }
    Ok(())
}
