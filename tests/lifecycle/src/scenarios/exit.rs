//! The end of the process.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{Backend, BackendKind, Event, Stream};

use super::calls::{Handles, every_call};
use super::{EXITING, busy, check_usable, say, stream, wait_until};

type Handler = Mutex<Option<Box<dyn FnOnce() + Send>>>;

/// What is called behind the handlers of the driver.
static EARLY: Handler = Mutex::new(None);
/// What is called before them.
static LATE: Handler = Mutex::new(None);

fn call(handler: &Handler) {
    let handler = handler.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(handler) = handler {
        handler();
    }
}

extern "C" fn early() {
    call(&EARLY);
}

extern "C" fn late() {
    EXITING.store(true, Ordering::SeqCst);
    call(&LATE);
}

/// Registers a function for the process's end, before the driver has registered its own.
pub(super) fn register_early() {
    // SAFETY: the function lives as long as the program, and does not unwind: nothing in it panics.
    let failed = unsafe { libc::atexit(early) };
    assert_eq!(failed, 0, "atexit");
}

struct AtEnd;

impl Drop for AtEnd {
    fn drop(&mut self) {
        EXITING.store(true, Ordering::SeqCst);
    }
}

thread_local! {
    static AT_END: AtEnd = const { AtEnd };
}

/// Likewise, after: what is registered last is called first.
fn register_late() {
    // Destructors of thread-local variables come before that, and HIP's waits for host functions.
    AT_END.with(|_| ());
    // SAFETY: as above.
    let failed = unsafe { libc::atexit(late) };
    assert_eq!(failed, 0, "atexit");
}

pub(super) fn main_returns<F: Fixture>(fx: &'static F) -> Outcome {
    let busy = busy(fx)?;
    register_late();
    drop(busy);
    Ok(())
}

pub(super) fn behind_a_gate<F: Fixture>(fx: &'static F) -> Outcome {
    let (held, free) = (stream(fx)?, stream(fx)?);
    let gate = fx.gate(&held)?;
    let event = held.record_event()?;
    held.launch_host_func(Box::new(|| say("behind the gate")))?;
    free.launch_host_func(Box::new(|| {
        wait_until(|| EXITING.load(Ordering::SeqCst));
        say("beside the gate");
    }))?;
    register_late();
    std::mem::forget((gate, event, held));
    Ok(())
}

pub(super) fn exit_is_called<F: Fixture>(fx: &'static F) -> Outcome {
    let _busy = busy(fx)?;
    register_late();
    say("played");
    std::process::exit(7)
}

pub(super) fn main_panics<F: Fixture>(fx: &'static F) -> Outcome {
    let _busy = busy(fx)?;
    register_late();
    say("played");
    panic!("meant to");
}

pub(super) fn quick_exit<F: Fixture>(fx: &'static F) -> Outcome {
    unsafe extern "C" {
        fn quick_exit(code: i32) -> !;
    }
    let _busy = busy(fx)?;
    say("played");
    // SAFETY: may be called at any time.
    unsafe { quick_exit(5) }
}

pub(super) fn abort<F: Fixture>(fx: &'static F) -> Outcome {
    let _busy = busy(fx)?;
    say("played");
    std::process::abort()
}

pub(super) fn while_others_submit<F: Fixture>(fx: &'static F) -> Outcome {
    let _busy = busy(fx)?;
    register_late();
    let rounds = Arc::new(AtomicU32::new(0));
    let refused = Arc::new(AtomicBool::new(false));
    let shared = stream(fx)?;
    if F::Backend::KIND == BackendKind::Host {
        // There the end of the process waits for this, and so comes only if the others are refused.
        let refused = Arc::clone(&refused);
        stream(fx)?.launch_host_func(Box::new(move || {
            wait_until(|| refused.load(Ordering::SeqCst));
            say("the others were refused");
        }))?;
    }
    for _ in 0..3 {
        let (rounds, refused, shared) = (Arc::clone(&rounds), Arc::clone(&refused), shared.clone());
        thread::spawn(move || {
            loop {
                // What it answers at the end is an error or not; nobody may be held up.
                let outcome = submit(fx, &shared);
                if outcome.is_err_and(|verdict| verdict.reason().contains("is ending")) {
                    refused.store(true, Ordering::SeqCst);
                }
                rounds.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    thread::spawn(move || {
        wait_until(|| rounds.load(Ordering::SeqCst) >= 100);
        say("played");
        std::process::exit(7);
    });
    loop {
        thread::park();
    }
}

/// All sorts of work, on a stream that is there and on a new one.
pub(super) fn submit<F: Fixture>(fx: &F, shared: &super::StreamOf<F>) -> Outcome {
    let own = stream(fx)?;
    own.wait_stream(shared)?;
    own.launch_host_func(Box::new(|| ()))?;
    let event = own.record_event()?;
    shared.wait_event(&event)?;
    shared.launch_host_func(Box::new(|| ()))?;
    let _ = shared.query()?;
    Ok(())
}

pub(super) fn while_others_wait<F: Fixture>(fx: &'static F) -> Outcome {
    let held = stream(fx)?;
    let gate = fx.gate(&held)?;
    let event = held.record_event()?;
    let begun = Arc::new(AtomicU32::new(0));
    let (first, second) = (Arc::clone(&begun), Arc::clone(&begun));
    thread::spawn(move || {
        first.fetch_add(1, Ordering::SeqCst);
        let _ = held.synchronize();
    });
    thread::spawn(move || {
        second.fetch_add(1, Ordering::SeqCst);
        let _ = event.synchronize();
    });
    wait_until(|| begun.load(Ordering::SeqCst) == 2);
    // In the calls by now, or on the way; both are to be tried.
    for _ in 0..2_000 {
        thread::yield_now();
    }
    std::mem::forget(gate);
    Ok(())
}

pub(super) fn in_a_host_function<F: Fixture>(fx: &'static F) -> Outcome {
    let stream = stream(fx)?;
    let work = || {
        say("played");
        std::process::exit(3);
    };
    stream.launch_host_func(Box::new(work))?;
    loop {
        thread::park();
    }
}

pub(super) fn in_a_host_function_too<F: Fixture>(fx: &'static F) -> Outcome {
    let (ending, other) = (stream(fx)?, stream(fx)?);
    ending.launch_host_func(Box::new(|| {
        wait_until(|| EXITING.load(Ordering::SeqCst));
        std::process::exit(3);
    }))?;
    other.launch_host_func(Box::new(|| {
        wait_until(|| EXITING.load(Ordering::SeqCst));
        say("the last task ran");
    }))?;
    register_late();
    std::mem::forget((ending, other));
    Ok(())
}

pub(super) fn loaded_by_a_thread<F: Fixture>(fx: &'static F) -> Outcome {
    check_usable(fx)
}

pub(super) fn handlers_call<F: Fixture>(fx: &'static F) -> Outcome {
    for (name, handler) in [("late handler", &LATE), ("early handler", &EARLY)] {
        let kit = Handles::new(fx)?;
        let run = move || {
            let answers = every_call(fx, &kit, None);
            for answer in &answers {
                if let Err((kind, text)) = &answer.outcome {
                    say(&format!("note: {name}: {}: {kind}: {text}", answer.call));
                }
            }
            drop(kit);
            if answers.iter().all(|answer| answer.outcome.is_ok())
                && let Err(verdict) = check_usable(fx)
            {
                say(&format!("note: {name}: new work: {}", verdict.reason()));
            }
            say(&format!("{name} ended"));
        };
        *handler.lock().map_err(|_| Verdict::failed("a lock"))? = Some(Box::new(run));
    }
    register_late();
    Ok(())
}
