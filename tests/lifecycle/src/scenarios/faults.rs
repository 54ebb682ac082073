//! Failing work.

use gpu_stream_conformance::outcome::check;
use gpu_stream_conformance::{Fixture, Outcome, Verdict, cases};
use gpu_stream_core::{Backend, BackendKind, ErrorKind, Stream};

use super::calls::{Handles, LOCAL_CALLS, every_call};
use super::{print_line, stream};

/// Runs a case of the suite.
///
/// On the host the case must pass. On CUDA the failure corrupts the context, so some cases cannot pass, and
/// their result is printed as a note. There, every handle from before the failure must report a stream fault.
pub(super) fn case<F: Fixture>(fx: &'static F, name: &str) -> Outcome {
    let found = cases::all::<F>().into_iter().find(|case| case.info.name == name);
    let case =
        found.ok_or_else(|| Verdict::failed(format_args!("{name} is not a case of the suite")))?;
    let handles = Handles::new(fx)?;
    let idle = stream(fx)?;
    let outcome = (case.run)(fx);
    if F::Backend::KIND != BackendKind::Cuda {
        return outcome;
    }
    match &outcome {
        Ok(()) => print_line("note: passes as on the host"),
        Err(verdict) => print_line(&format!("note: {}", verdict.reason())),
    }
    let error = match idle.synchronize() {
        Ok(()) => {
            return Err(Verdict::failed("a stream of the corrupted context reports no fault"));
        }
        Err(error) => gpu_stream_core::Error::kind(&error),
    };
    check(
        error == ErrorKind::StreamFault,
        format_args!("a stream of the corrupted context: {error}"),
    )?;
    for result in every_call(fx, &handles, None) {
        match result.outcome {
            Ok(()) if LOCAL_CALLS.contains(&result.call) => {}
            Ok(()) => print_line(&format!("note: {} succeeds", result.call)),
            Err((ErrorKind::StreamFault, _)) => {}
            Err((kind, text)) => print_line(&format!("note: {}: {kind}: {text}", result.call)),
        }
    }
    drop((handles, idle));
    Ok(())
}
