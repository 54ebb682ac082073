//! Blocking streams, which the default stream of their context waits for, and which wait for it.

use super::support::*;

const BLOCKING: StreamOptions = StreamOptions::new().blocking(true);

/// A blocking stream of ours, or a skip where the backend has none.
fn blocking_on<F: Fixture>(device: Device) -> Result<StreamOf<F>, Verdict> {
    optional("blocking streams", F::Backend::new_stream(device, BLOCKING))
}

/// `blocking` is never ignored: the stream is made and says so, or it is refused as unsupported, and the
/// error names the option.
pub fn blocking_is_never_ignored<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    for made in [F::Backend::new_stream(device, BLOCKING), stream(fx)?.new_stream(BLOCKING)] {
        match made {
            Ok(stream) => {
                let is_blocking = optional("question for blocking", stream.is_blocking())?;
                check(is_blocking, "a blocking stream says that it is not")?;
            }
            Err(error) => {
                check_eq("the kind of the error", error.kind(), ErrorKind::Unsupported)?;
                check_names(&error.to_string(), "blocking")?;
            }
        }
    }
    Ok(())
}

/// A stream says whether it is blocking: our own, foreign ones by every wrapper, and the default stream.
pub fn blocking_is_told<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    let ours = blocking_on::<F>(device)?;
    check(ours.is_blocking()? && ours.clone().is_blocking()?, "a blocking stream is not")?;
    check(ours.new_stream(BLOCKING)?.is_blocking()?, "a blocking stream of a stream is not")?;
    check(!ours.new_stream(StreamOptions::new())?.is_blocking()?, "blocking was not asked for")?;
    check(!stream(fx)?.is_blocking()?, "an ordinary stream says that it is blocking")?;
    let default = F::Backend::default_stream(device)?;
    check(default.is_blocking()?, "the default stream says that it is not blocking")?;
    for options in [StreamOptions::new(), BLOCKING] {
        let theirs = fx.foreign(device, options)?;
        // SAFETY: `theirs` outlives the wrapper; nothing is recorded.
        let wrapped = unsafe { F::Backend::stream_from_raw(theirs.raw_stream(), None) }?;
        check_eq("whether a foreign stream is blocking", wrapped.is_blocking()?, options.blocking)?;
    }
    Ok(())
}

/// Work of the default stream waits for earlier work of a blocking stream, ours or foreign, and the other
/// way round.
pub fn blocking_orders_with_the_default_stream<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    let default = F::Backend::default_stream(device)?;
    let ours = blocking_on::<F>(device)?;
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

/// A stream that is not blocking goes on while the default stream is held, and the default stream while
/// that stream is.
pub fn ordinary_streams_spare_the_default_stream<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    drop(blocking_on::<F>(device)?);
    let (default, ordinary) = (F::Backend::default_stream(device)?, stream(fx)?);
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
