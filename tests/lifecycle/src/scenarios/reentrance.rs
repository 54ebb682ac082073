//! Calls from inside a host function.

use std::sync::mpsc;

use gpu_stream_conformance::outcome::check;
use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{ErrorKind, Stream};

use super::calls::{Handles, every_call};
use super::{check_usable, say, stream};

/// Calls that block, and so must be refused.
const BLOCKS: &[&str] = &["synchronize", "Event::synchronize"];

pub(super) fn from_a_host_function<F: Fixture>(fx: &'static F) -> Outcome {
    let (carrier, kit) = (stream(fx)?, Handles::new(fx)?);
    let (send, receive) = mpsc::channel();
    // Once on a stream beside, and once on the very stream that the calls are about.
    for carrier in [carrier, kit.stream.clone()] {
        let (send, kit) = (send.clone(), Handles::on(fx, carrier.clone())?);
        let work = move || {
            let answers = every_call(fx, &kit, None);
            drop(kit);
            let _ = send.send(answers);
        };
        carrier.launch_host_func(Box::new(work))?;
        let answers = receive.recv().map_err(|_| Verdict::failed("the function panicked"))?;
        carrier.synchronize()?;
        for answer in answers {
            let call = answer.call;
            match &answer.outcome {
                Ok(()) => check(!BLOCKS.contains(&call), format_args!("{call} got through"))?,
                Err((kind, text)) => {
                    say(&format!("note: {call}: {kind}: {text}"));
                    check(
                        *kind == ErrorKind::NotPermitted,
                        format_args!("{call}: {kind}: {text}"),
                    )?;
                }
            }
        }
    }
    drop((kit, send));
    check_usable(fx)
}
