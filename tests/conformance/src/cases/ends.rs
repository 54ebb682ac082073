//! Closures that cannot run, and destructors that run in closures. Users' code runs while no lock
//! is held, and every closure that is given to a stream runs or is dropped.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::support::*;

/// Submits a host function that panics.
fn launch_panic<F: Fixture>(stream: &StreamOf<F>) -> Outcome {
    // Unwinds like a panic, without the panic's message on the terminal.
    let fail = || resume_unwind(Box::new("a host function that is meant to fail"));
    optional("host functions", stream.launch_host_func(Box::new(fail)))
}

#[track_caller]
fn check_fault<T, E: Error>(what: &str, result: Result<T, E>) -> Outcome {
    check_err(result, ErrorKind::StreamFault, what).map(drop)
}

/// Checks that host functions after one that panicked are dropped without being run. A receiver
/// that waits for one sees its sender dropped, without another call.
pub fn functions_after_a_panic_are_dropped<F: Fixture>(fx: &F) -> Outcome {
    for by_query in [false, true] {
        let (stream, gate) = gated(fx)?;
        launch_panic::<F>(&stream)?;
        let receivers = (0..10).map(|number| -> Result<Receiver<i32>, Verdict> {
            let (ran, has_run) = channel();
            // The receiver is dropped only if the case has failed already.
            stream.launch_host_func(Box::new(move || _ = ran.send(number)))?;
            Ok(has_run)
        });
        let receivers = receivers.collect::<Result<Vec<_>, _>>()?;
        let pending =
            receivers.iter().all(|receiver| receiver.try_recv() == Err(TryRecvError::Empty));
        check(pending, "a function after a closed gate was run or dropped")?;
        fx.open(&gate);
        if by_query {
            while matches!(stream.query(), Ok(false)) {
                thread::yield_now();
            }
            check_fault("query", stream.query())?;
        } else {
            check_fault("synchronize", stream.synchronize())?;
        }
        for receiver in receivers {
            // The backend's own thread may be dropping them at this moment. Only a backend that
            // keeps one waits for the limit, and then fails.
            let wanted = Err(RecvTimeoutError::Disconnected);
            let outcome = receiver.recv_timeout(DROP_LIMIT);
            check_eq(outcome, wanted, "what a receiver after the panic gets")?;
        }
    }
    Ok(())
}

/// Checks that a host function that is refused is dropped before the call returns.
pub fn refused_function_is_dropped<F: Fixture>(fx: &F) -> Outcome {
    let stream = stream(fx)?;
    launch_panic::<F>(&stream)?;
    check_fault("synchronize", stream.synchronize())?;
    for _ in 0..3 {
        let held = Arc::new(());
        let inner = Arc::clone(&held);
        let launched = stream.launch_host_func(Box::new(move || drop(inner)));
        check_fault("launch_host_func after a panic", launched)?;
        check_eq(Arc::strong_count(&held) - 1, 0, "how many refused functions are kept")?;
    }
    Ok(())
}

/// The owner of a foreign stream that runs a closure when it is dropped.
struct RunsOnDrop<F: Fixture> {
    foreign: Arc<F::Foreign>,
    on_drop: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl<F: Fixture> Drop for RunsOnDrop<F> {
    fn drop(&mut self) {
        if let Some(on_drop) = self.on_drop.take() {
            on_drop();
        }
    }
}

// SAFETY: the handle is that of the stream inside, which upholds the contract and lives as long as
// `self`.
unsafe impl<F: Fixture> StreamOwner<F::Backend> for RunsOnDrop<F> {
    fn raw_stream(&self) -> <F::Backend as Backend>::RawStream {
        self.foreign.raw_stream()
    }
}

/// Wraps `foreign` with an owner that runs `on_drop` when the last reference to it is dropped.
fn wrapped<F: Fixture>(
    foreign: &Arc<F::Foreign>,
    on_drop: impl FnOnce() + Send + Sync + 'static,
) -> Result<StreamOf<F>, Verdict> {
    let owner = RunsOnDrop::<F> { foreign: Arc::clone(foreign), on_drop: Some(Box::new(on_drop)) };
    Ok(F::Backend::stream_from_owner(Arc::new(owner), None)?)
}

/// Drops `stream` in a host function of `on`.
fn drop_in_function<F: Fixture>(on: &StreamOf<F>, stream: StreamOf<F>) -> Outcome {
    optional("host functions", on.launch_host_func(Box::new(move || drop(stream))))
}

/// Makes every call that orders, queries or creates something. None of them blocks.
fn calls<F: Fixture>(source: &StreamOf<F>, other: &StreamOf<F>) -> Outcome {
    other.wait_stream(source)?;
    source.fork([other])?;
    other.join([source])?;
    let event = source.record_event()?;
    other.wait_event(&event)?;
    other.record(&event)?;
    event.query()?;
    source.query()?;
    drop(event);
    drop(source.new_event(EventOptions::new())?);
    drop(source.new_stream(StreamOptions::new())?);
    Ok(())
}

/// The number of calls after which a deferred drop must have run.
const CALLS: usize = 16;

/// Checks that an owner's destructor can wait until another thread has made every call on the same
/// source: none of those calls waits for the destructor.
pub fn destructor_waits_for_another_caller<F: Fixture>(fx: &F) -> Outcome {
    let foreign = Arc::new(foreign(fx)?);
    let (source, side, mine, theirs) = (stream(fx)?, stream(fx)?, stream(fx)?, stream(fx)?);
    let (begun, has_begun) = channel::<bool>();
    let (left, has_left) = channel::<()>();
    let (ended, has_ended) = channel::<()>();
    let begins = Arc::new(AtomicUsize::new(0));
    let (has_run, tells, inside) = (Arc::clone(&begins), begun.clone(), left.clone());
    // The channels are in a lock only because an owner has to be `Sync`.
    let channels = Mutex::new((tells, inside, has_ended));
    let owner = wrapped::<F>(&foreign, move || {
        let (tells, inside, has_ended) =
            channels.into_inner().unwrap_or_else(PoisonError::into_inner);
        has_run.fetch_add(1, Ordering::SeqCst);
        let _ = (tells.send(true), inside.send(()));
        // Ends when the other thread has made its calls, or when the case ends.
        let _ = has_ended.recv();
    })?;
    let function = move || {
        drop(owner);
        let _ = left.send(());
    };
    thread::scope(|scope| {
        let (source, theirs) = (&source, &theirs);
        let other = scope.spawn(move || {
            // If the destructor has not begun, a call here could run it, and wait for itself.
            let has_begun = has_begun.recv() == Ok(true);
            let outcome = match has_begun {
                true => (0..CALLS).try_for_each(|_| calls::<F>(source, theirs)),
                false => Err(Verdict::failed("wait_stream does not run deferred drops")),
            };
            drop(ended);
            outcome
        });
        let wait = || -> Outcome {
            // If the function is refused, the destructor runs inside this call.
            optional("host functions", side.launch_host_func(Box::new(function)))?;
            // A query makes the stream progress, where the runtime submits work late.
            while has_left.try_recv() == Err(TryRecvError::Empty) {
                side.query()?;
                thread::yield_now();
            }
            // By now the destructor has begun, or is deferred.
            (0..CALLS).try_for_each(|_| Ok(mine.wait_stream(source)?))
        };
        let outcome = wait();
        if begins.load(Ordering::SeqCst) == 0 {
            let _ = begun.send(false);
        }
        let joined = other.join().unwrap_or_else(|_| Err(Verdict::failed("a call panicked")));
        outcome.and(joined)
    })
}

/// Checks that owners whose destructors panic, dropped in host functions, harm no caller: every
/// call of other threads returns, and no other owner is lost.
pub fn panicking_destructor_harms_no_caller<F: Fixture>(fx: &F) -> Outcome {
    let foreign = Arc::new(foreign(fx)?);
    let source = stream(fx)?;
    // Each owner has a stream of its own: on some backends the panic is a fault of the stream.
    let sides = streams(fx, 8)?;
    let (panicked, gone) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for side in sides.chunks(2) {
        let count = Arc::clone(&panicked);
        let panics = wrapped::<F>(&foreign, move || {
            count.fetch_add(1, Ordering::SeqCst);
            // A second panic on one thread would end the process, and with it the suite.
            if !thread::panicking() {
                resume_unwind(Box::new("a destructor that is meant to fail"));
            }
        })?;
        drop_in_function::<F>(&side[0], panics)?;
        let count = Arc::clone(&gone);
        let quiet = wrapped::<F>(&foreign, move || _ = count.fetch_add(1, Ordering::SeqCst))?;
        drop_in_function::<F>(&side[1], quiet)?;
    }
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let callers = (0..4).map(|_| {
            let (source, is_over) = (&source, &is_over);
            scope.spawn(move || -> Outcome {
                let mine = stream(fx)?;
                while !is_over.load(Ordering::SeqCst) {
                    calls::<F>(source, &mine)?;
                    thread::yield_now();
                }
                calls::<F>(source, &mine)
            })
        });
        let callers: Vec<_> = callers.collect();
        // All functions have run after this, some with a fault.
        sides.iter().for_each(|side| _ = side.synchronize());
        is_over.store(true, Ordering::SeqCst);
        callers.into_iter().try_for_each(|caller| {
            let came_out = |_| Err(Verdict::failed("a destructor's panic left a call"));
            caller.join().unwrap_or_else(came_out)
        })
    })?;
    check_eq(panicked.load(Ordering::SeqCst), 4, "how many destructors panicked")?;
    check_eq(gone.load(Ordering::SeqCst), 4, "how many other owners were dropped")?;
    let data = work(fx, &source)?;
    source.synchronize()?;
    check_done(fx, &data)
}

/// Checks that a destructor may call the backend: it queries, records, waits and creates streams.
pub fn destructor_calls_the_backend<F: Fixture>(fx: &F) -> Outcome {
    let foreign = Arc::new(foreign(fx)?);
    let (side, source, other) = (stream(fx)?, stream(fx)?, stream(fx)?);
    let (sender, answer): (Sender<Outcome>, _) = channel();
    let sender = Mutex::new(sender);
    let (asked, waiter) = (source.clone(), other.clone());
    let owner = wrapped::<F>(&foreign, move || {
        let outcome = calls::<F>(&asked, &waiter);
        let _ = sender.lock().unwrap_or_else(PoisonError::into_inner).send(outcome);
    })?;
    drop_in_function::<F>(&side, owner)?;
    side.synchronize()?;
    (0..CALLS).try_for_each(|_| other.wait_stream(&source))?;
    let kept = "the destructor has not run, or its calls panicked";
    answer.try_recv().unwrap_or_else(|_| Err(Verdict::failed(kept)))
}

/// Checks that an owner that is dropped because its event is dropped or recorded on another stream
/// may query and record that event.
pub fn destructor_queries_the_event_that_kept_it<F: Fixture>(fx: &F) -> Outcome {
    let foreign = Arc::new(foreign(fx)?);
    let (event, other) = (Arc::new(event(fx)?), stream(fx)?);
    let (sender, answer): (Sender<Outcome>, _) = channel();
    let sender = Mutex::new(sender);
    let (asked, again) = (Arc::clone(&event), other.clone());
    let owner = wrapped::<F>(&foreign, move || {
        let ask = || -> Outcome {
            asked.query()?;
            again.record(&asked)?;
            Ok(again.wait_event(&asked)?)
        };
        let _ = sender.lock().unwrap_or_else(PoisonError::into_inner).send(ask());
    })?;
    owner.record(&event)?;
    owner.synchronize()?;
    drop(owner);
    other.record(&event)?;
    other.synchronize()?;
    let kept = "the owner is still alive, although its event was recorded elsewhere";
    answer.try_recv().unwrap_or_else(|_| Err(Verdict::failed(kept)))
}

/// The number of owners that may be alive after a call that ran deferred drops.
const FEW: usize = 8;

/// Checks that owners that are dropped in host functions do not accumulate: after 2,000 rounds of a
/// host function and a synchronize, few are alive.
pub fn dropped_owners_do_not_accumulate<F: Fixture>(fx: &F) -> Outcome {
    let foreign = Arc::new(foreign(fx)?);
    let stream = stream(fx)?;
    let gone = Arc::new(AtomicUsize::new(0));
    for round in 1..=2_000 {
        let count = Arc::clone(&gone);
        let owner = wrapped::<F>(&foreign, move || _ = count.fetch_add(1, Ordering::SeqCst))?;
        drop_in_function::<F>(&stream, owner)?;
        stream.synchronize()?;
        let alive = round - gone.load(Ordering::SeqCst);
        check(alive <= FEW, format_args!("{alive} of {round} owners are alive"))?;
    }
    Ok(())
}
