//! Retained values that are pending when the process exits or forks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use gpu_stream_conformance::outcome::check_eq;
use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{Error, ErrorKind, Stream};
use gpu_stream_retain::{Reclaimer, RetainUntilDone};

use super::exit::register_late_handler;
use super::fork::run_in_child;
use super::{StreamOf, check_usable, print_line, stream, wait_until};

/// The number of drops of [`Value`] in this process.
static DROPS: AtomicU32 = AtomicU32::new(0);

/// A value that counts its drop, and prints its text if there is one.
struct Value(&'static str);

impl Drop for Value {
    fn drop(&mut self) {
        DROPS.fetch_add(1, Ordering::SeqCst);
        if !self.0.is_empty() {
            print_line(self.0);
        }
    }
}

/// Returns a value for a stream whose gate is never opened.
fn gated() -> Value {
    Value("a value was dropped early")
}

type Kept<F> = Reclaimer<<F as Fixture>::Backend>;

/// Retains a value with a mark, and another without one.
fn retain<F: Fixture>(kept: &Kept<F>, stream: &StreamOf<F>) -> Outcome {
    kept.retain(gated(), &[stream]).map_err(|refused| refused.leak())?;
    kept.collect()?;
    kept.retain(gated(), &[stream]).map_err(|refused| refused.leak())?;
    Ok(())
}

pub(super) fn exit_with_values<F: Fixture>(fx: &'static F) -> Outcome {
    let (held, free) = (stream(fx)?, stream(fx)?);
    std::mem::forget(fx.gate(&held)?);
    let (shared, own) = (Kept::<F>::process_wide(), Kept::<F>::new());
    retain::<F>(shared, &held)?;
    retain::<F>(&own, &held)?;
    // A thread waits for the values of a reclaimer that lives until the end.
    let waited_for: &'static Kept<F> = Box::leak(Box::default());
    retain::<F>(waited_for, &held)?;
    let begun = Arc::new(AtomicBool::new(false));
    let begins = Arc::clone(&begun);
    thread::spawn(move || {
        begins.store(true, Ordering::SeqCst);
        // The gate is never opened. If the exit ends the wait, it returns an error.
        if waited_for.drain().is_ok() {
            print_line("a value was dropped early");
        }
    });
    wait_until(|| begun.load(Ordering::SeqCst));
    free.retain_until_done(Value("the value of an idle stream"))
        .map_err(|refused| refused.leak())?;
    free.synchronize()?;
    register_late_handler(move || {
        // An error is the backend's answer during exit, and drops nothing.
        let _ = shared.collect();
        print_line("late handler ended");
    });
    std::mem::forget((held, free));
    // Its values go to the reclaimer of the process.
    drop(own);
    Ok(())
}

/// Checks in the child of a fork that the parent's values are left alone. Returns the exit code.
fn use_in_child<F: Fixture>(kept: &Kept<F>, stream: &StreamOf<F>) -> i32 {
    let before = DROPS.load(Ordering::SeqCst);
    let refused = kept.retain(7, &[stream]);
    let value = refused.as_ref().err().map(|refused| *refused.value());
    let kinds = [
        refused.err().map(|refused| refused.leak().kind()),
        kept.collect().err().map(|error| error.kind()),
        kept.drain().err().map(|error| error.kind()),
    ];
    let wrong = [
        kinds != [Some(ErrorKind::NotPermitted); 3],
        value != Some(7),
        kept.pending() != 0,
        DROPS.load(Ordering::SeqCst) != before,
    ];
    if wrong != [false; 4] {
        print_line(&format!("note: child: wrong (kinds, value, pending, drops): {wrong:?}"));
    }
    i32::from(wrong != [false; 4])
}

pub(super) fn fork_with_values<F: Fixture>(fx: &'static F) -> Outcome {
    let (held, other) = (stream(fx)?, stream(fx)?);
    let gate = fx.gate(&held)?;
    let (shared, own) = (Kept::<F>::process_wide(), Kept::<F>::new());
    let value = || Value("");
    for kept in [shared, &own] {
        kept.retain(value(), &[&held]).map_err(|refused| refused.leak())?;
        kept.collect()?;
        kept.retain(value(), &[&held]).map_err(|refused| refused.leak())?;
    }
    // Forks while other threads are inside calls, and may hold a lock of the reclaimer.
    let (stop, rounds) = (AtomicBool::new(false), AtomicU32::new(0));
    let busy = || -> Outcome {
        while !stop.load(Ordering::SeqCst) {
            shared.retain(1_u8, &[&other]).map_err(|refused| refused.leak())?;
            shared.collect()?;
            rounds.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads = [scope.spawn(busy), scope.spawn(busy)];
        let mut outcome = Ok(());
        for round in 0..20 {
            wait_until(|| {
                rounds.load(Ordering::SeqCst) > round * 10
                    || threads.iter().any(|thread| thread.is_finished())
            });
            let code = run_in_child(|| use_in_child::<F>(shared, &held));
            outcome = code.and_then(|code| check_eq(code, 0, "the exit code of a child"));
            if outcome.is_err() {
                break;
            }
        }
        stop.store(true, Ordering::SeqCst);
        for thread in threads {
            thread.join().map_err(|_| Verdict::failed("a thread panicked"))??;
        }
        outcome
    })?;
    let mut own = Some(own);
    let code = run_in_child(|| {
        let before = DROPS.load(Ordering::SeqCst);
        let code = own.as_ref().map_or(1, |own| use_in_child::<F>(own, &held));
        // Neither hands the values on nor drops them.
        drop(own.take());
        code | i32::from(DROPS.load(Ordering::SeqCst) != before) << 1
    })?;
    check_eq(code, 0, "the exit code of the child that drops its copy")?;
    check_eq(DROPS.load(Ordering::SeqCst), 0, "the number of dropped values")?;
    fx.open(&gate);
    let own = own.ok_or_else(|| Verdict::failed("a drop in the child affected the parent"))?;
    own.drain()?;
    shared.drain()?;
    check_eq(DROPS.load(Ordering::SeqCst), 4, "the number of dropped values")?;
    check_usable(fx)
}
