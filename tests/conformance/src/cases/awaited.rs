//! What the cases about awaited streams share: a task that counts its wake-ups.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::support::*;
use crate::awaiting::BoxedDone;

/// The future under test.
pub(super) type DoneOf<F> = BoxedDone<<F as Fixture>::Backend>;

/// A task: its waker counts.
#[derive(Default)]
pub(super) struct Task {
    wakes: Mutex<usize>,
    woken: Condvar,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        *self.lock() += 1;
        self.woken.notify_all();
    }
}

impl Task {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of wake-ups.
    pub(super) fn wakes(&self) -> usize {
        *self.lock()
    }

    /// Polls the future once.
    pub(super) fn poll<T: Future + Unpin>(self: &Arc<Self>, future: &mut T) -> Poll<T::Output> {
        let waker = Waker::from(Arc::clone(self));
        Pin::new(future).poll(&mut Context::from_waker(&waker))
    }

    /// Polls the future, which must be pending.
    #[track_caller]
    pub(super) fn poll_pending<T: Future + Unpin>(self: &Arc<Self>, future: &mut T) -> Outcome {
        check(self.poll(future).is_pending(), "the future is ready, and the work is not done")
    }

    /// Blocks until there were more than `before` wake-ups.
    pub(super) fn await_wake(&self, before: usize) {
        let mut wakes = self.lock();
        while *wakes <= before {
            wakes = self.woken.wait(wakes).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Polls until the future is ready, each time after a wake-up.
    pub(super) fn finish<T: Future + Unpin>(self: &Arc<Self>, future: &mut T) -> T::Output {
        loop {
            let before = self.wakes();
            if let Poll::Ready(output) = self.poll(future) {
                return output;
            }
            self.await_wake(before);
        }
    }
}

/// Polls until the future is ready, each time after a wake-up.
pub(super) fn finish<T: Future + Unpin>(future: &mut T) -> T::Output {
    Task::new().finish(future)
}

/// Checks that the future stays pending while the streams may run what nothing holds back.
#[track_caller]
pub(super) fn check_pending<F: Fixture>(
    fx: &F,
    streams: &[&StreamOf<F>],
    future: &mut DoneOf<F>,
) -> Outcome {
    let task = Task::new();
    for _ in 0..3 {
        task.poll_pending(future)?;
        fx.settle(streams);
    }
    check_eq(task.wakes(), 0, "the number of wake-ups before the work is done")
}
