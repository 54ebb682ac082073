//! The end of threads.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use gpu_stream_conformance::outcome::{check, check_eq};
use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{Backend, ErrorKind, Event, EventStatus, Stream};

use super::calls::{Handles, every_call};
use super::{check_usable, device, say, stream, wait_until};

fn joined<T>(thread: thread::JoinHandle<Result<T, Verdict>>) -> Result<T, Verdict> {
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
                    // Half of them go to the pool here, half of them from the thread that joins.
                    kept.truncate(20);
                    let event = second.record_event()?;
                    kept.push(event);
                    Ok(kept)
                })
            })
            .collect();
        for thread in threads {
            for event in joined(thread)? {
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
    let ending = {
        let open = Arc::clone(&open);
        thread::spawn(move || {
            let own = F::Backend::per_thread_stream(device(fx)?)?;
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
    let Ok((events, data)) = receive.recv() else { return joined(ending) };
    for event in &events {
        check_eq("an event behind work that goes on", event.status()?, EventStatus::Pending)?;
    }
    open.store(true, Ordering::SeqCst);
    for (event, data) in events.iter().zip(&data) {
        event.synchronize()?;
        check_eq("the number that the work changes", fx.load(data)?, 1)?;
    }
    joined(ending)?;
    for event in &events {
        check(event.query()?, "an event of a thread that has ended is not done")?;
    }
    check_usable(fx)
}

/// Runs what it is given when the thread ends.
struct AtEnd(RefCell<Option<Box<dyn FnOnce()>>>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        if let Some(run) = self.0.take() {
            run();
        }
    }
}

thread_local! {
    static AT_END: AtEnd = const { AtEnd(RefCell::new(None)) };
}

/// Uses everything at the thread's end. `when` says so in the notes.
fn at_end<F: Fixture>(fx: &'static F, when: &'static str, wrong: mpsc::Sender<String>) -> Outcome {
    let kit = Handles::new(fx)?;
    let own = F::Backend::per_thread_stream(device(fx)?)?;
    let data = fx.data(own.device(), 0)?;
    fx.store(&own, &data, 1)?;
    let run = move || {
        for answer in every_call(fx, &kit, Some(&own)) {
            let Err((kind, text)) = answer.outcome else { continue };
            say(&format!("note: {when}: {}: {kind}: {text}", answer.call));
            // A thread's own stream ends with it; all others are as good as ever.
            let is_own = answer.call.contains("own") || answer.call == "per_thread_stream";
            let is_gone = matches!(kind, ErrorKind::NotPermitted | ErrorKind::InvalidHandle);
            if !(is_own && is_gone) {
                let _ = wrong.send(format!("{when}: {}: {text}", answer.call));
            }
        }
        drop((kit, own));
        if let Err(verdict) = check_usable(fx) {
            let _ = wrong.send(format!("{when}: {}", verdict.reason()));
        }
        say("destructor ended");
    };
    AT_END.with(|at_end| at_end.0.replace(Some(Box::new(run))));
    Ok(())
}

fn in_a_thread<F: Fixture>(fx: &'static F, before: bool) -> Outcome {
    let (send, receive) = mpsc::channel();
    let thread = thread::spawn(move || {
        let register = || AT_END.with(|_| ());
        if before {
            register();
        }
        // Whatever the backend keeps for each thread is there from here on.
        let own = F::Backend::per_thread_stream(device(fx)?)?;
        own.synchronize()?;
        check_usable(fx)?;
        register();
        at_end(fx, if before { "before" } else { "behind" }, send)
    });
    joined(thread)?;
    match receive.recv() {
        Ok(wrong) => Err(Verdict::failed(wrong)),
        Err(_) => check_usable(fx),
    }
}

pub(super) fn destructors_before<F: Fixture>(fx: &'static F) -> Outcome {
    in_a_thread(fx, true)
}

pub(super) fn destructors_behind<F: Fixture>(fx: &'static F) -> Outcome {
    in_a_thread(fx, false)
}

pub(super) fn destructors_of_main<F: Fixture>(fx: &'static F) -> Outcome {
    let (send, receive) = mpsc::channel::<String>();
    at_end(fx, "main", send)?;
    // Nobody is left to tell but the process's own end: it is said, and the list wants it unsaid.
    thread::spawn(move || {
        for wrong in receive {
            say(&format!("wrong: {wrong}"));
            say("something was wrong");
        }
    });
    Ok(())
}
