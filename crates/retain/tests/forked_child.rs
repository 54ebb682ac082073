//! The child of a fork retains values, if its parent had not used the backend. Alone in its file, because other tests
//! use it.

#![cfg(unix)]

use std::sync::Arc;

use gpu_stream_core::{Backend, Stream, StreamOptions};
use gpu_stream_host::{Gate, Host};
use gpu_stream_retain::{Reclaimer, RetainUntilDone};

/// Makes the child's calls. Returns an error's text or the wrong numbers.
fn retain_in_child(parents: &Reclaimer<Host>) -> Result<(), String> {
    let run = || {
        let held = Arc::new(());
        let stream = Host::new_stream(Host::device(0)?, StreamOptions::new())?;
        let gate = Gate::new(stream.device())?;
        stream.wait_event(gate.event())?;
        stream.retain_until_done(Arc::clone(&held)).map_err(|refused| refused.leak())?;
        // Its values go to the reclaimer of the process.
        let own = Reclaimer::new();
        own.retain(Arc::clone(&held), &[&stream]).map_err(|refused| refused.leak())?;
        drop(own);
        let kept = Reclaimer::<Host>::process_wide().collect()?;
        gate.open();
        Reclaimer::<Host>::process_wide().drain()?;
        Ok((kept.pending, Arc::strong_count(&held) - 1))
    };
    let counts = run().map_err(|error: gpu_stream_host::HostError| error.to_string())?;
    match (counts, parents.collect().is_err()) {
        ((2, 0), true) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn child_has_a_process_wide_reclaimer_of_its_own() {
    let parents = Reclaimer::<Host>::process_wide();
    // SAFETY: the child makes only the calls under test, and ends by `_exit`.
    let child = match unsafe { libc::fork() } {
        0 => {
            // SAFETY: `alarm` has no requirements. It ends a child that hangs.
            unsafe { libc::alarm(60) };
            let outcome = retain_in_child(parents);
            if let Err(text) = &outcome {
                eprintln!("in the child: {text}");
            }
            // SAFETY: `_exit` has no requirements.
            unsafe { libc::_exit(i32::from(outcome.is_err())) }
        }
        child => child,
    };
    let mut status = -1;
    // SAFETY: `&mut status` is a valid out-pointer.
    let waited = unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!((waited, status), (child, 0));
}
