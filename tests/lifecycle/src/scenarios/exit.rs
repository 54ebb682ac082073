//! Process exit.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{Backend, BackendKind, Event, Stream};

use super::calls::{Handles, every_call};
use super::{EXITING, busy, check_usable, print_line, stream, wait_until};
use crate::child::NOT_APPLICABLE;

/// Closure that an `atexit` handler runs.
type Handler = Mutex<Option<Box<dyn FnOnce() + Send>>>;

/// Registered before the driver's `atexit` handlers, so called after them.
static EARLY: Handler = Mutex::new(None);
/// Registered after the driver's `atexit` handlers, so called before them.
static LATE: Handler = Mutex::new(None);

/// Runs the handler, once.
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

/// Registers the [`EARLY`] handler. Call before the driver is loaded.
pub(super) fn register_early() {
    // SAFETY: `early` is a function of the program, so it stays valid, and it does not unwind: nothing in it panics.
    let failed = unsafe { libc::atexit(early) };
    assert_eq!(failed, 0, "atexit");
}

/// Sets [`EXITING`] when it is dropped.
struct ExitFlag;

impl Drop for ExitFlag {
    fn drop(&mut self) {
        EXITING.store(true, Ordering::SeqCst);
    }
}

thread_local! {
    static EXIT_FLAG: ExitFlag = const { ExitFlag };
}

/// Registers the [`LATE`] handler. Call after the driver is loaded: handlers run in reverse order.
fn register_late() {
    // Thread-local destructors run before the handlers, and HIP's destructor waits for host functions.
    EXIT_FLAG.with(|_| ());
    // SAFETY: `late` is a function of the program, so it stays valid, and it does not unwind.
    let failed = unsafe { libc::atexit(late) };
    assert_eq!(failed, 0, "atexit");
}

/// Runs `handler` when the process exits, before the driver's own handlers. Call after the driver is loaded.
pub(super) fn register_late_handler(handler: impl FnOnce() + Send + 'static) {
    *LATE.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(handler));
    register_late();
}

pub(super) fn main_returns<F: Fixture>(fx: &'static F) -> Outcome {
    let busy = busy(fx)?;
    register_late();
    drop(busy);
    Ok(())
}

pub(super) fn gated_work<F: Fixture>(fx: &'static F) -> Outcome {
    let (held, free) = (stream(fx)?, stream(fx)?);
    let gate = fx.gate(&held)?;
    let event = held.record_event()?;
    held.launch_host_func(Box::new(|| print_line("after the gate")))?;
    free.launch_host_func(Box::new(|| {
        wait_until(|| EXITING.load(Ordering::SeqCst));
        print_line("beside the gate");
    }))?;
    register_late();
    std::mem::forget((gate, event, held));
    Ok(())
}

pub(super) fn exit_is_called<F: Fixture>(fx: &'static F) -> Outcome {
    let _busy = busy(fx)?;
    register_late();
    print_line("done");
    std::process::exit(7)
}

pub(super) fn main_panics<F: Fixture>(fx: &'static F) -> Outcome {
    let _busy = busy(fx)?;
    register_late();
    print_line("done");
    panic!("deliberate");
}

pub(super) fn quick_exit<F: Fixture>(fx: &'static F) -> Outcome {
    unsafe extern "C" {
        fn quick_exit(code: i32) -> !;
    }
    let _busy = busy(fx)?;
    print_line("done");
    // SAFETY: `quick_exit` may be called at any time.
    unsafe { quick_exit(5) }
}

pub(super) fn abort<F: Fixture>(fx: &'static F) -> Outcome {
    let _busy = busy(fx)?;
    print_line("done");
    std::process::abort()
}

pub(super) fn while_others_submit<F: Fixture>(fx: &'static F) -> Outcome {
    let _busy = busy(fx)?;
    register_late();
    let rounds = Arc::new(AtomicU32::new(0));
    let rejected = Arc::new(AtomicBool::new(false));
    let shared = stream(fx)?;
    if F::Backend::KIND == BackendKind::Host {
        // The host waits for this work, so the process exits only if other threads are rejected.
        let rejected = Arc::clone(&rejected);
        stream(fx)?.launch_host_func(Box::new(move || {
            wait_until(|| rejected.load(Ordering::SeqCst));
            print_line("other threads were rejected");
        }))?;
    }
    for _ in 0..3 {
        let (rounds, rejected, shared) =
            (Arc::clone(&rounds), Arc::clone(&rejected), shared.clone());
        thread::spawn(move || {
            loop {
                // During exit the calls may fail or succeed, but must not block.
                let outcome = submit(fx, &shared);
                if outcome.is_err_and(|verdict| verdict.reason().contains("is ending")) {
                    rejected.store(true, Ordering::SeqCst);
                }
                rounds.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    thread::spawn(move || {
        let stalled_at = match F::Backend::KIND {
            BackendKind::Hip => first_stall(&rounds, ROUNDS),
            _ => None,
        };
        if stalled_at.is_some() {
            // Ends the host function of `busy`. The threads go on if it blocked them. Otherwise the scenario hangs.
            EXITING.store(true, Ordering::SeqCst);
        }
        wait_until(|| rounds.load(Ordering::SeqCst) >= ROUNDS);
        print_line("done");
        if let Some(count) = stalled_at {
            eprintln!(
                "HIP's hipStreamDestroy waited for a host function of another stream, after {count} rounds; \
                 the threads went on when it returned"
            );
            std::process::exit(NOT_APPLICABLE);
        }
        std::process::exit(7);
    });
    loop {
        thread::park();
    }
}

/// Number of rounds of [`submit`] before the exit.
const ROUNDS: u32 = 100;

/// Time without a round after which the submitting threads count as blocked.
const STALL_TIME: Duration = Duration::from_secs(10);

/// Waits for `count` rounds. Returns the number of rounds so far if they stall.
///
/// HIP's `hipStreamDestroy` waits for a running host function of any stream. Here the host function of
/// [`busy`] waits for the exit, and so for the rounds. `docs/internals/hip-quirks.md` describes what the
/// backend cannot prevent.
fn first_stall(rounds: &AtomicU32, count: u32) -> Option<u32> {
    let (mut last, mut since) = (0, Instant::now());
    loop {
        let now = rounds.load(Ordering::SeqCst);
        if now >= count {
            return None;
        }
        if now != last {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() > STALL_TIME {
            return Some(now);
        }
        thread::sleep(Duration::from_micros(200));
    }
}

/// Submits various work, on a shared stream and on a new one.
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
    // The threads are now inside the calls, or about to be. Both are valid.
    for _ in 0..2_000 {
        thread::yield_now();
    }
    std::mem::forget(gate);
    Ok(())
}

pub(super) fn in_a_host_function<F: Fixture>(fx: &'static F) -> Outcome {
    let stream = stream(fx)?;
    let work = || {
        print_line("done");
        std::process::exit(3);
    };
    stream.launch_host_func(Box::new(work))?;
    loop {
        thread::park();
    }
}

pub(super) fn in_a_host_function_during_exit<F: Fixture>(fx: &'static F) -> Outcome {
    let (ending, other) = (stream(fx)?, stream(fx)?);
    ending.launch_host_func(Box::new(|| {
        wait_until(|| EXITING.load(Ordering::SeqCst));
        std::process::exit(3);
    }))?;
    other.launch_host_func(Box::new(|| {
        wait_until(|| EXITING.load(Ordering::SeqCst));
        print_line("the last task ran");
    }))?;
    register_late();
    std::mem::forget((ending, other));
    Ok(())
}

pub(super) fn loaded_by_a_thread<F: Fixture>(fx: &'static F) -> Outcome {
    check_usable(fx)
}

pub(super) fn atexit_handlers<F: Fixture>(fx: &'static F) -> Outcome {
    for (name, handler) in [("late handler", &LATE), ("early handler", &EARLY)] {
        let handles = Handles::new(fx)?;
        let run = move || {
            let results = every_call(fx, &handles, None);
            for result in &results {
                if let Err((kind, text)) = &result.outcome {
                    print_line(&format!("note: {name}: {}: {kind}: {text}", result.call));
                }
            }
            drop(handles);
            if results.iter().all(|result| result.outcome.is_ok())
                && let Err(verdict) = check_usable(fx)
            {
                print_line(&format!("note: {name}: new work: {}", verdict.reason()));
            }
            print_line(&format!("{name} ended"));
        };
        *handler.lock().map_err(|_| Verdict::failed("a lock"))? = Some(Box::new(run));
    }
    register_late();
    Ok(())
}
