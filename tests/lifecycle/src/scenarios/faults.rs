//! Work that fails.

use gpu_stream_conformance::outcome::check;
use gpu_stream_conformance::{Fixture, Outcome, Verdict, cases};
use gpu_stream_core::{Backend, BackendKind, ErrorKind, Stream};

use super::calls::{ASK_NOBODY, Handles, every_call};
use super::{say, stream};

/// Plays a case of the suite. On the host it has to pass. On CUDA the context is broken by then, so
/// that some cannot: what they saw is noted, and whatever was there before the failure has to say
/// from then on that there was one.
pub(super) fn case<F: Fixture>(fx: &'static F, name: &str) -> Outcome {
    let found = cases::all::<F>().into_iter().find(|case| case.info.name == name);
    let case = found.ok_or_else(|| Verdict::failed(format_args!("there is no case {name}")))?;
    let kit = Handles::new(fx)?;
    let beside = stream(fx)?;
    let outcome = (case.run)(fx);
    if F::Backend::KIND != BackendKind::Cuda {
        return outcome;
    }
    match &outcome {
        Ok(()) => say("note: as on the host"),
        Err(verdict) => say(&format!("note: {}", verdict.reason())),
    }
    let error = match beside.synchronize() {
        Ok(()) => return Err(Verdict::failed("a stream of the broken context is well")),
        Err(error) => gpu_stream_core::Error::kind(&error),
    };
    check(
        error == ErrorKind::StreamFault,
        format_args!("a stream of the broken context: {error}"),
    )?;
    for answer in every_call(fx, &kit, None) {
        match answer.outcome {
            Ok(()) if ASK_NOBODY.contains(&answer.call) => {}
            Ok(()) => say(&format!("note: {} gets through", answer.call)),
            Err((ErrorKind::StreamFault, _)) => {}
            Err((kind, text)) => say(&format!("note: {}: {kind}: {text}", answer.call)),
        }
    }
    drop((kit, beside));
    Ok(())
}
