//! Futures that break one rule each, which the rule's case must catch. They run on the host backend, so W5 has no mutant:
//! the host has no captures.

mod cases;

use std::any::Any;
use std::future::{Future, poll_fn, ready};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use cases::support::{Awaiter, Backend, ErrorOf, Ours, Stream, set_limit};
use gpu_stream_conformance::fixtures::HostFixture;
use gpu_stream_core::{Error as _, ErrorKind, Event, EventOptions};
use gpu_stream_host::Host;
use gpu_stream_test_support::run;

type Outcome<B> = Result<(), <B as Backend>::Error>;
type BoxedFuture<B> = Pin<Box<dyn Future<Output = Outcome<B>> + Send>>;

/// What a future does with an outcome and with wakers.
struct Behavior<B: Backend> {
    wakes: bool,
    keeps_first_waker: bool,
    change: fn(Outcome<B>) -> Outcome<B>,
}

impl<B: Backend> Behavior<B> {
    /// Breaks no rule.
    fn right() -> Self {
        Behavior { wakes: true, keeps_first_waker: false, change: |outcome| outcome }
    }

    /// Returns a future of the event, which a thread of its own asks.
    fn of(self, event: Arc<B::Event>) -> BoxedFuture<B> {
        let state = Arc::new(Mutex::new((None::<Outcome<B>>, None::<Waker>)));
        let shared = Arc::clone(&state);
        let (wakes, change) = (self.wakes, self.change);
        std::thread::spawn(move || {
            let outcome = loop {
                match event.query() {
                    Ok(false) => std::thread::yield_now(),
                    ended => break ended.map(drop),
                }
            };
            let mut state = shared.lock().unwrap();
            state.0 = Some(change(outcome));
            let waker = if wakes { state.1.take() } else { None };
            drop(state);
            waker.into_iter().for_each(Waker::wake);
        });
        Box::pin(poll_fn(move |context| {
            let mut state = state.lock().unwrap();
            if state.1.is_none() || !self.keeps_first_waker {
                state.1 = Some(context.waker().clone());
            }
            state.0.take().map_or(Poll::Pending, Poll::Ready)
        }))
    }
}

/// Defines futures: a name, what is wrong, and the body of `done`.
macro_rules! futures {
    ($($name:ident: $wrong:literal, |$stream:ident| $body:expr;)*) => { $(
        #[doc = $wrong]
        struct $name;

        impl Awaiter for $name {
            type Future<B: Backend> = BoxedFuture<B>;

            fn done<S: Stream>($stream: &S) -> Result<BoxedFuture<S::Backend>, ErrorOf<S>> {
                Ok($body)
            }
        }
    )* };
}

futures! {
    Unbroken: "Breaks no rule.", |stream| Behavior::<S::Backend>::right().of(Arc::new(stream.record_event()?));
    Early: "Resolves at once.", |stream| {
        stream.record_event()?;
        Box::pin(ready(Ok(())))
    };
    OneEvent: "Records the same event for each future.", |stream| {
        static EVENT: Mutex<Option<Arc<dyn Any + Send + Sync>>> = Mutex::new(None);
        let new = Arc::new(stream.new_event(EventOptions::new())?);
        let event = EVENT.lock().unwrap().get_or_insert(new).clone();
        let event = event.downcast().expect("an event of the one backend");
        stream.record(&event)?;
        Behavior::<S::Backend>::right().of(event)
    };
    Silent: "Wakes no task.", |stream| {
        let behavior = Behavior::<S::Backend> { wakes: false, ..Behavior::<S::Backend>::right() };
        behavior.of(Arc::new(stream.record_event()?))
    };
    FirstWaker: "Wakes the task that polled first.", |stream| {
        let behavior = Behavior::<S::Backend> { keeps_first_waker: true, ..Behavior::<S::Backend>::right() };
        behavior.of(Arc::new(stream.record_event()?))
    };
    OkOnAFault: "Takes a fault for the end of the work.", |stream| {
        let change: fn(Outcome<S::Backend>) -> Outcome<S::Backend> = |outcome| match outcome {
            Err(error) if error.kind() == ErrorKind::StreamFault => Ok(()),
            other => other,
        };
        Behavior { change, ..Behavior::<S::Backend>::right() }.of(Arc::new(stream.record_event()?))
    };
    OnTheStream: "Wakes the task by a callback on the stream.", |stream| {
        let event = Arc::new(stream.record_event()?);
        let waker = Arc::new(Mutex::new(None::<Waker>));
        let shared = Arc::clone(&waker);
        stream.launch_host_func(Box::new(move || {
            let waker = shared.lock().unwrap().take();
            waker.into_iter().for_each(Waker::wake);
        }))?;
        Box::pin(poll_fn(move |context| {
            *waker.lock().unwrap() = Some(context.waker().clone());
            match event.query() {
                Ok(false) => Poll::Pending,
                ended => Poll::Ready(ended.map(drop)),
            }
        }))
    };
}

/// Runs the rules' cases with the future. Returns those that fail.
fn caught_by<A: Awaiter>() -> Vec<&'static str> {
    let cases = cases::of_rules::<HostFixture, A>();
    let failed = cases
        .into_iter()
        .filter(|(_, case)| case(&HostFixture::new()).is_err_and(|verdict| verdict.is_failed()));
    failed.map(|(name, _)| name).collect()
}

type Trial = (&'static str, fn() -> Vec<&'static str>, Option<&'static str>);

/// The futures, and the case that must catch each.
const FUTURES: [Trial; 8] = [
    ("ours", caught_by::<Ours>, None),
    ("unbroken", caught_by::<Unbroken>, None),
    ("early", caught_by::<Early>, Some("w1_pending_until_the_work_is_done")),
    ("one_event", caught_by::<OneEvent>, Some("w1_later_work_is_not_waited_for")),
    ("silent", caught_by::<Silent>, Some("w2_task_is_woken")),
    ("first_waker", caught_by::<FirstWaker>, Some("w2_latest_waker_is_woken")),
    ("ok_on_a_fault", caught_by::<OkOnAFault>, Some("w3_fault_is_an_error")),
    ("on_the_stream", caught_by::<OnTheStream>, Some("w4_blocking_waker_holds_no_stream")),
];

/// Fails unless the right case catches the future. A future that breaks no rule must be caught by none.
fn check_caught((name, caught_by, wanted): Trial) {
    // A broken future makes a case wait so long.
    set_limit(if wanted.is_some() { 2 } else { 60 });
    let caught = caught_by();
    println!("{name}: caught by {caught:?}");
    match wanted {
        Some(case) => assert!(caught.contains(&case), "{case} does not catch {name}"),
        None => assert!(caught.is_empty(), "{caught:?} fail for {name}"),
    }
}

fn main() -> ExitCode {
    run::<Host, _>(FUTURES.into_iter().map(|trial| (trial.0, move || check_caught(trial))))
}
