//! Calls from inside a host function.

use std::sync::mpsc;

use gpu_stream_conformance::outcome::check;
use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{ErrorKind, Stream};

use super::calls::{Handles, every_call};
use super::{check_usable, print_line, stream};

/// Blocking calls, which must be rejected.
const BLOCKS: &[&str] = &["synchronize", "Event::synchronize"];

pub(super) fn from_a_host_function<F: Fixture>(fx: &'static F) -> Outcome {
    let (carrier, handles) = (stream(fx)?, Handles::new(fx)?);
    let (send, receive) = mpsc::channel();
    // Once on another stream, and once on the stream that the calls use.
    for carrier in [carrier, handles.stream.clone()] {
        let (send, handles) = (send.clone(), Handles::on(fx, carrier.clone())?);
        let work = move || {
            let results = every_call(fx, &handles, None);
            drop(handles);
            let _ = send.send(results);
        };
        carrier.launch_host_func(Box::new(work))?;
        let results = receive.recv().map_err(|_| Verdict::failed("the function panicked"))?;
        carrier.synchronize()?;
        for result in results {
            let call = result.call;
            match &result.outcome {
                Ok(()) => {
                    check(!BLOCKS.contains(&call), format_args!("{call} succeeded, but blocks"))?
                }
                Err((kind, text)) => {
                    print_line(&format!("note: {call}: {kind}: {text}"));
                    check(
                        *kind == ErrorKind::NotPermitted,
                        format_args!("{call}: {kind}: {text}"),
                    )?;
                }
            }
        }
    }
    drop((handles, send));
    check_usable(fx)
}
