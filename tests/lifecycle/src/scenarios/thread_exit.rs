//! Thread exit.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use gpu_stream_conformance::outcome::{check, check_eq};
use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{ErrorKind, Event, EventStatus, Stream};

use super::calls::{Handles, every_call};
use super::{check_usable, own_stream, print_line, stream, wait_until};

/// Joins a thread, and turns a panic into a failure.
fn join<T>(thread: thread::JoinHandle<Result<T, Verdict>>) -> Result<T, Verdict> {
    thread.join().map_err(|_| Verdict::failed("a thread panicked"))?
}

pub(super) fn pooled_events<F: Fixture>(fx: &'static F) -> Outcome {
    for _ in 0..20 {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                thread::spawn(move || {
                    let (first, second) = (stream(fx)?, stream(fx)?);
                    let kept: Result<Vec<_>, _> = (0..40).map(|_| first.record_event()).collect();
                    let mut kept = kept?;
                    for event in &kept {
                        second.wait_event(event)?;
                    }
                    second.wait_stream(&first)?;
                    // This thread returns half of the events to the pool, the joining thread the other half.
                    kept.truncate(20);
                    let event = second.record_event()?;
                    kept.push(event);
                    Ok(kept)
                })
            })
            .collect();
        for thread in threads {
            for event in join(thread)? {
                event.synchronize()?;
            }
        }
        check_usable(fx)?;
    }
    Ok(())
}

pub(super) fn busy<F: Fixture>(fx: &'static F) -> Outcome {
    let open = Arc::new(AtomicBool::new(false));
    let (send, receive) = mpsc::channel();
    let exiting = {
        let open = Arc::clone(&open);
        thread::spawn(move || {
            let own = own_stream(fx)?;
            let made = stream(fx)?;
            let data = [fx.data(made.device(), 0)?, fx.data(made.device(), 0)?];
            let held = move || wait_until(|| open.load(Ordering::SeqCst));
            made.launch_host_func(Box::new(held))?;
            fx.store(&made, &data[0], 1)?;
            own.wait_stream(&made)?;
            fx.store(&own, &data[1], 1)?;
            let events = [made.record_event()?, own.record_event()?];
            let _ = send.send((events, data));
            Ok(())
        })
    };
    let Ok((events, data)) = receive.recv() else { return join(exiting) };
    for event in &events {
        check_eq(event.status()?, EventStatus::Pending, "an event after pending work")?;
    }
    open.store(true, Ordering::SeqCst);
    for (event, data) in events.iter().zip(&data) {
        event.synchronize()?;
        check_eq(fx.load(data)?, 1, "the number that the work writes")?;
    }
    join(exiting)?;
    for event in &events {
        check(event.query()?, "an event of an ended thread is not complete")?;
    }
    check_usable(fx)
}

/// Runs a closure when the thread exits.
struct ExitHook(RefCell<Option<Box<dyn FnOnce()>>>);

impl Drop for ExitHook {
    fn drop(&mut self) {
        if let Some(run) = self.0.take() {
            run();
        }
    }
}

thread_local! {
    static EXIT_HOOK: ExitHook = const { ExitHook(RefCell::new(None)) };
}

/// Registers a hook that makes every call when the thread exits. `when` labels its notes.
fn register_exit_hook<F: Fixture>(
    fx: &'static F,
    when: &'static str,
    wrong: mpsc::Sender<String>,
) -> Outcome {
    let handles = Handles::new(fx)?;
    let own = own_stream(fx)?;
    let data = fx.data(own.device(), 0)?;
    fx.store(&own, &data, 1)?;
    let run = move || {
        for result in every_call(fx, &handles, Some(&own)) {
            let Err((kind, text)) = result.outcome else { continue };
            print_line(&format!("note: {when}: {}: {kind}: {text}", result.call));
            // The per-thread stream ends with its thread. All other handles must still work.
            let is_own = result.call.contains("own") || result.call == "per_thread_stream";
            let is_gone = matches!(kind, ErrorKind::NotPermitted | ErrorKind::InvalidHandle);
            if !(is_own && is_gone) {
                let _ = wrong.send(format!("{when}: {}: {text}", result.call));
            }
        }
        drop((handles, own));
        if let Err(verdict) = check_usable(fx) {
            let _ = wrong.send(format!("{when}: {}", verdict.reason()));
        }
        print_line("destructor ended");
    };
    EXIT_HOOK.with(|hook| hook.0.replace(Some(Box::new(run))));
    Ok(())
}

/// Checks a thread-local that is older (`before`) or newer than those of the backend.
fn check_thread<F: Fixture>(fx: &'static F, before: bool) -> Outcome {
    let (send, receive) = mpsc::channel();
    let thread = thread::spawn(move || {
        let register = || EXIT_HOOK.with(|_| ());
        if before {
            register();
        }
        // From here on, the backend's thread-locals exist.
        let own = own_stream(fx)?;
        own.synchronize()?;
        check_usable(fx)?;
        register();
        register_exit_hook(fx, if before { "before" } else { "after" }, send)
    });
    join(thread)?;
    match receive.recv() {
        Ok(wrong) => Err(Verdict::failed(wrong)),
        Err(_) => check_usable(fx),
    }
}

pub(super) fn destructors_before<F: Fixture>(fx: &'static F) -> Outcome {
    check_thread(fx, true)
}

pub(super) fn destructors_after<F: Fixture>(fx: &'static F) -> Outcome {
    check_thread(fx, false)
}

pub(super) fn destructors_of_main<F: Fixture>(fx: &'static F) -> Outcome {
    let (send, receive) = mpsc::channel::<String>();
    register_exit_hook(fx, "main", send)?;
    // The process exits before this thread could return a failure, so the thread prints it.
    thread::spawn(move || {
        for wrong in receive {
            print_line(&format!("wrong: {wrong}"));
            print_line("something was wrong");
        }
    });
    Ok(())
}
