//! A record that a future waits for, which the future and the watcher share: [`Pending`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use atomic_waker::AtomicWaker;
use gpu_stream_core::{Backend, ContractError, Error, ErrorKind, Event, EventStatus, KnownWork};

use crate::unwind::run_quietly;
use crate::watcher::refuse_awaits;

/// The outcome of the work before a record.
pub(crate) type Outcome<B> = Result<(), <B as Backend>::Error>;

/// What the watcher needs of a record, whatever its backend is.
pub(crate) trait Watched: Send + Sync {
    /// Asks the event. If the work has ended, stores the outcome and returns `true`.
    fn settle(&self) -> bool;

    /// Takes the waker of the future. Returns `None` if no poll has left one.
    fn take_waker(&self) -> Option<Waker>;

    /// Returns `true` if no outcome is needed: the future was dropped, and left no value.
    fn is_abandoned(&self) -> bool;
}

/// A record, the waker of its future, and the outcome.
///
/// A value that a dropped future leaves here is dropped after the outcome `Ok`. In every other case the work may still
/// use what the value owns, so the value is leaked.
pub(crate) struct Pending<B: Backend> {
    event: B::Event,
    waker: AtomicWaker,
    settled: Mutex<Settled<B>>,
    /// `true` once the outcome is stored.
    is_settled: AtomicBool,
    is_abandoned: AtomicBool,
}

struct Settled<B: Backend> {
    outcome: Option<Outcome<B>>,
    /// What the event has answered to the watcher. The program knows it once the future has resolved.
    known: KnownWork,
    left: Option<Box<dyn Send>>,
}

impl<B: Backend> Pending<B> {
    pub(crate) fn new(event: B::Event) -> Self {
        Pending {
            event,
            waker: AtomicWaker::new(),
            settled: Mutex::new(Settled { outcome: None, known: KnownWork::new(), left: None }),
            is_settled: AtomicBool::new(false),
            is_abandoned: AtomicBool::new(false),
        }
    }

    /// Returns the event.
    pub(crate) fn event(&self) -> &B::Event {
        &self.event
    }

    fn lock(&self) -> MutexGuard<'_, Settled<B>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores the waker that the outcome wakes. Replaces an earlier one.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Takes the outcome, and adds what the event has answered to `known`. Returns `None` while the work is pending.
    pub(crate) fn take_outcome(&self, known: &mut KnownWork) -> Option<Outcome<B>> {
        if !self.is_settled.load(Ordering::Acquire) {
            return None;
        }
        let mut settled = self.lock();
        known.add(&settled.known);
        settled.outcome.take()
    }

    /// Marks the future as dropped, and drops its waker. The outcome is not needed.
    pub(crate) fn abandon(&self) {
        self.is_abandoned.store(true, Ordering::Release);
        drop(self.waker.take());
    }

    /// Takes `value` from a future that is dropped. If the work succeeded, drops it. If the work is pending, keeps it
    /// until then. Otherwise leaks it.
    pub(crate) fn leave(&self, value: impl Send + 'static) {
        let value: Box<dyn Send> = Box::new(value);
        let mut settled = self.lock();
        match settled.outcome {
            None => settled.left = Some(value),
            Some(Ok(())) => {
                let known = std::mem::take(&mut settled.known);
                drop(settled);
                known.run(|| drop(value));
            }
            Some(Err(_)) => std::mem::forget(value),
        }
    }
}

impl<B: Backend> Watched for Pending<B> {
    fn settle(&self) -> bool {
        // The question can drop owners whose destructors the backend has deferred.
        let mut known = KnownWork::new();
        let Some(outcome) = refuse_awaits(|| ask::<B>(&self.event, &mut known)) else {
            return false;
        };
        let mut settled = self.lock();
        (settled.outcome, settled.known) = (Some(outcome), known);
        drop(settled);
        self.is_settled.store(true, Ordering::Release);
        true
    }

    fn take_waker(&self) -> Option<Waker> {
        self.waker.take()
    }

    fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Ordering::Acquire)
    }
}

impl<B: Backend> Drop for Pending<B> {
    fn drop(&mut self) {
        let settled = self.settled.get_mut().unwrap_or_else(PoisonError::into_inner);
        let left = settled.left.take();
        match settled.outcome {
            Some(Ok(())) => settled.known.run(|| drop(left)),
            _ => std::mem::forget(left),
        }
    }
}

/// Asks whether the work before the event's record has ended, and adds the answer to `known`. Returns `None` while it is
/// pending.
pub(crate) fn ask<B: Backend>(event: &B::Event, known: &mut KnownWork) -> Option<Outcome<B>> {
    let ask = || Ok(event.status_into(known)? != EventStatus::Pending);
    let answer = run_quietly(ask).unwrap_or_else(|| {
        let reason = "the backend panicked in `Event::status`, which the contract forbids; use another version of it";
        Err(ContractError::NotPermitted { operation: "Done::poll", reason }.into())
    });
    outcome_of(answer)
}

/// Converts the answer of an event into the outcome. Returns `None` while the work is pending.
///
/// On HIP 6.0 to 7.1, an event whose stream is being captured answers `Capturing`, also if the record was made before. The
/// question is open until the capture has ended.
fn outcome_of<E: Error>(answer: Result<bool, E>) -> Option<Result<(), E>> {
    match answer {
        Ok(true) => Some(Ok(())),
        Ok(false) => None,
        Err(error) if error.kind() == ErrorKind::Capturing => None,
        Err(error) => Some(Err(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capture_of_the_stream_is_no_outcome() {
        let capturing = ContractError::CaptureHostFunc { operation: "Event::query", bits: 16 };
        assert_eq!(outcome_of(Err(capturing)), None);
        assert_eq!(outcome_of(Ok::<_, ContractError>(false)), None);
        assert_eq!(outcome_of(Ok::<_, ContractError>(true)), Some(Ok(())));
        let faulted = ContractError::NotPermitted { operation: "Event::query", reason: "meant" };
        assert_eq!(outcome_of(Err(faulted.clone())), Some(Err(faulted)));
    }
}
