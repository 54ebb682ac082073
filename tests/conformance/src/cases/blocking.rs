//! Blocking streams: they and the default stream of their context wait for each other's work.

use super::support::*;

const BLOCKING: StreamOptions = StreamOptions::new().blocking(true);

/// Creates a blocking stream of the backend; a skip where the backend has none.
fn blocking_on<F: Fixture>(device: Device) -> Result<StreamOf<F>, Verdict> {
    optional("blocking streams", F::Backend::new_stream(device, BLOCKING))
}

/// Checks that `blocking` is never ignored: the new stream reports it, or the call is refused as
/// unsupported and the error names the option.
pub fn blocking_is_never_ignored<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    for made in [F::Backend::new_stream(device, BLOCKING), stream(fx)?.new_stream(BLOCKING)] {
        match made {
            Ok(stream) => {
                let is_blocking = optional("is_blocking", stream.is_blocking())?;
                check(is_blocking, "a blocking stream reports that it is not")?;
            }
            Err(error) => {
                check_eq(error.kind(), ErrorKind::Unsupported, "the kind of the error")?;
                check_names(&error.to_string(), "blocking")?;
            }
        }
    }
    Ok(())
}

/// Checks that a stream reports whether it is blocking: the backend's own, foreign ones by every
/// wrapper, and the default stream.
pub fn blocking_is_reported<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    let ours = blocking_on::<F>(device)?;
    check(ours.is_blocking()? && ours.clone().is_blocking()?, "a blocking stream is not")?;
    check(ours.new_stream(BLOCKING)?.is_blocking()?, "a blocking stream of a stream is not")?;
    check(
        !ours.new_stream(StreamOptions::new())?.is_blocking()?,
        "a stream without the option is blocking",
    )?;
    check(!stream(fx)?.is_blocking()?, "an ordinary stream reports that it is blocking")?;
    let default = default_stream::<F>(device)?;
    check(default.is_blocking()?, "the default stream reports that it is not blocking")?;
    for options in [StreamOptions::new(), BLOCKING] {
        let theirs = fx.foreign(device, options)?;
        // SAFETY: `theirs` outlives the wrapper; nothing is recorded.
        let wrapped = unsafe { F::Backend::stream_from_raw(theirs.raw_stream(), None) }?;
        check_eq(wrapped.is_blocking()?, options.blocking, "whether a foreign stream is blocking")?;
    }
    Ok(())
}

/// Checks that work of the default stream waits for earlier work of a blocking stream, own or
/// foreign, and vice versa.
pub fn blocking_orders_with_the_default_stream<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    let ours = blocking_on::<F>(device)?;
    let default = default_stream::<F>(device)?;
    let theirs = fx.foreign(device, BLOCKING)?;
    // SAFETY: `theirs` outlives the wrapper; nothing is recorded through it.
    let wrapped = unsafe { F::Backend::stream_from_raw(theirs.raw_stream(), None) }?;
    for blocking in [&ours, &wrapped] {
        for (first, second) in [(blocking, &default), (&default, blocking)] {
            let gate = fx.gate(first)?;
            let before = work(fx, first)?;
            let after = work(fx, second)?;
            check_held(fx, &[first, second], &after)?;
            fx.open(&gate);
            second.synchronize()?;
            check_done(fx, &before)?;
            check_done(fx, &after)?;
        }
    }
    Ok(())
}

/// Checks that a stream that is not blocking continues while the default stream is held back, and
/// vice versa.
pub fn nonblocking_streams_are_independent<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    drop(blocking_on::<F>(device)?);
    let (default, ordinary) = (default_stream::<F>(device)?, stream(fx)?);
    for (held, other) in [(&default, &ordinary), (&ordinary, &default)] {
        let gate = fx.gate(held)?;
        let before = work(fx, held)?;
        let data = work(fx, other)?;
        check_goes_on(fx, &[other], &data)?;
        check_held(fx, &[held], &before)?;
        fx.open(&gate);
        held.synchronize()?;
    }
    Ok(())
}
