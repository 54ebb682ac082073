//! Futures of a stream's work, which the mutations break: a thread for each future asks an event.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;

use gpu_stream_conformance::awaiting::{self, BoxedDone};
use gpu_stream_core::{CaptureStatus, Error, ErrorKind, Event, Stream};

use crate::backend::Mutant;
use crate::capture;
use crate::error::MutantError;
use crate::event::{MutantEvent, lock};
use crate::mutation::{Mutation, current, on};

type Outcome = Result<(), MutantError>;

/// Returns the library's future, or one with the current mutation's fault if it is about futures.
pub fn done<S>(stream: &S) -> Result<BoxedDone<Mutant>, MutantError>
where
    S: Stream<Backend = Mutant>,
{
    let is_about_futures = current().is_some_and(|mutation| mutation.breaks().id.starts_with('W'));
    if is_about_futures { faulty(stream) } else { awaiting::done(stream) }
}

fn faulty<S>(stream: &S) -> Result<BoxedDone<Mutant>, MutantError>
where
    S: Stream<Backend = Mutant>,
{
    if !on(Mutation::CapturedStreamIsAwaited) && stream.query()? {
        return Ok(Box::pin(std::future::ready(Ok(()))));
    }
    if on(Mutation::WakerRunsOnTheStream) {
        return on_the_stream(stream);
    }
    let event = match current() {
        Some(Mutation::FuturesShareAnEvent) => shared_event(stream)?,
        _ => stream.record_event()?,
    };
    let is_captured = stream.capture_status()? != CaptureStatus::None;
    let may_be_captured =
        on(Mutation::CapturedStreamIsAwaited) || on(Mutation::AwaitMissesACapture);
    if is_captured && !may_be_captured {
        return Err(MutantError::Captured("done"));
    }
    Ok(of(event))
}

/// Records the same event for each future.
fn shared_event<S: Stream<Backend = Mutant>>(stream: &S) -> Result<MutantEvent, MutantError> {
    static EVENT: Mutex<Option<MutantEvent>> = Mutex::new(None);
    let new = stream.new_event(Default::default())?;
    let event = lock(&EVENT).get_or_insert(new).clone();
    stream.record(&event)?;
    Ok(event)
}

/// What a future shares with its thread.
#[derive(Default)]
struct State {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

/// Blocks until the event's work has ended. Returns `None` if the task must never be woken.
fn ended(event: &MutantEvent) -> Option<Outcome> {
    loop {
        if on(Mutation::AwaitBreaksCaptures) {
            capture::break_global();
        }
        match event.query() {
            Ok(true) => return Some(Ok(())),
            Err(error) if error.kind() != ErrorKind::Capturing => {
                let is_fault = error.kind() != ErrorKind::InvalidEvent;
                return match current() {
                    Some(Mutation::FutureHidesFaults) if is_fault => Some(Ok(())),
                    Some(Mutation::FutureOfACaptureIsOk) if !is_fault => Some(Ok(())),
                    Some(Mutation::FaultLeavesFuturesPending) if is_fault => None,
                    _ => Some(Err(error)),
                };
            }
            _ => thread::yield_now(),
        }
    }
}

/// Returns a future of the event.
fn of(event: MutantEvent) -> BoxedDone<Mutant> {
    let state = Arc::new(Mutex::new(State::default()));
    let shared = Arc::clone(&state);
    thread::spawn(move || {
        let Some(outcome) = ended(&event) else { return };
        let mut state = lock(&shared);
        state.outcome = Some(outcome);
        let waker = state.waker.take().filter(|_| !on(Mutation::TaskIsNotWoken));
        drop(state);
        if let Some(waker) = waker {
            if on(Mutation::TaskIsWokenTwice) {
                waker.wake_by_ref();
            }
            waker.wake();
        }
    });
    Box::pin(poll_fn(move |context| {
        if on(Mutation::FutureIsReadyEarly) {
            return Poll::Ready(Ok(()));
        }
        let mut state = lock(&state);
        if let Some(outcome) = state.outcome.take() {
            return Poll::Ready(outcome);
        }
        if state.waker.is_none() || !on(Mutation::FirstTaskIsWoken) {
            state.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }))
}

/// Returns a future whose task is woken by a host function of the stream.
fn on_the_stream<S: Stream<Backend = Mutant>>(
    stream: &S,
) -> Result<BoxedDone<Mutant>, MutantError> {
    let event = stream.record_event()?;
    let waker = Arc::new(Mutex::new(None::<Waker>));
    let shared = Arc::clone(&waker);
    stream.launch_host_func(Box::new(move || {
        let waker = lock(&shared).take();
        waker.into_iter().for_each(Waker::wake);
    }))?;
    let future: Pin<Box<_>> = Box::pin(poll_fn(move |context| {
        *lock(&waker) = Some(context.waker().clone());
        match event.query() {
            Ok(false) => Poll::Pending,
            ended => Poll::Ready(ended.map(drop)),
        }
    }));
    Ok(future)
}
