//! The futures: [`Done`], [`DoneWith`].

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use gpu_stream_core::{Backend, ContractError, KnownWork};

use crate::pending::{Outcome, Pending, Watched as _, ask};
use crate::waiting::StreamKey;
use crate::watcher::{Registration, is_in_destructor, watch};

/// A future of the work that a stream had at a call of [`DoneExt::done`](crate::DoneExt::done).
///
/// It resolves with `Ok` only if that work is done. The effects of the work are then visible to the thread that polled
/// the future. It is independent of executors, and `Send`, so it can be polled on any thread. A future of a per-thread
/// stream can, too.
///
/// The first poll asks the event. If the work is pending, the poll hands the event to the watcher, a thread that the first
/// such poll of the process starts. The watcher wakes the task. Dropping the future cancels no work and leaks nothing.
///
/// The watcher's thread runs the waker, which **should not block**: other wake-ups of the process wait for it. A waker that
/// has the last reference to its task drops it there, with all that the task holds. If it has not returned after 10 ms, and
/// waits for a future, another thread takes the watcher's place. So it does when another future is polled that has to wait.
/// Owners of streams can be dropped on that thread, too.
///
/// # Errors
/// The future resolves with an error of this kind:
///
/// - [`StreamFault`](gpu_stream_core::ErrorKind::StreamFault) if the work failed. A panic of a host function counts as such
///   only on the host, as for [`Event::status`](gpu_stream_core::Event::status).
/// - [`ContextDestroyed`](gpu_stream_core::ErrorKind::ContextDestroyed) if another library reset the context or the device.
/// - [`OutOfMemory`](gpu_stream_core::ErrorKind::OutOfMemory) if the system refuses to start the watcher's first thread. The
///   work may be pending.
/// - [`NotPermitted`](gpu_stream_core::ErrorKind::NotPermitted) in the child of a fork, while the process ends, in a poll
///   after the future has resolved, and in a destructor that the watcher runs. The work may be pending.
/// - Any other kind of [`Event::status`](gpu_stream_core::Event::status), except `Capturing`. If another library begins a
///   capture of the stream, the future may stay pending until the capture has ended.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Done<B: Backend> {
    state: State<B>,
    /// The call of [`DoneExt::done`](crate::DoneExt::done), for the reports of a check.
    place: &'static Location<'static>,
}

enum State<B: Backend> {
    /// The stream was idle at the call. The program knows that once the future has resolved.
    Idle(KnownWork),
    /// No poll has come yet.
    Recorded(B::Event, StreamKey),
    /// The watcher has the record.
    Watched(Arc<Pending<B>>, StreamKey, Registration),
    /// The outcome was returned.
    Resolved,
}

impl<B: Backend> Done<B> {
    #[track_caller]
    pub(crate) fn idle(known: KnownWork) -> Self {
        Done { state: State::Idle(known), place: Location::caller() }
    }

    #[track_caller]
    pub(crate) fn recorded(event: B::Event, key: StreamKey) -> Self {
        Done { state: State::Recorded(event, key), place: Location::caller() }
    }

    /// Adds a value that the work uses, such as a buffer. The future returns the value with the outcome.
    ///
    /// The value is kept until the work is done, even if the future is dropped before. See [`DoneWith`].
    ///
    /// ```
    /// # use gpu_stream_core::{ErrorOf, Stream};
    /// # use gpu_stream_async::DoneExt;
    /// use std::mem::{ManuallyDrop, forget};
    ///
    /// async fn read<S: Stream>(stream: &S) -> Result<Vec<u8>, ErrorOf<S>> {
    ///     // Not dropped if `done` fails, since the copy may be pending.
    ///     let buffer = ManuallyDrop::new(vec![0; 1024]);
    ///     // … launch a copy into `buffer` …
    ///     match stream.done()?.with(ManuallyDrop::into_inner(buffer)).await {
    ///         (Ok(()), buffer) => Ok(buffer),
    ///         (Err(error), buffer) => {
    ///             forget(buffer); // the copy may still write to it
    ///             Err(error)
    ///         }
    ///     }
    /// }
    /// ```
    pub fn with<T: Send + 'static>(self, value: T) -> DoneWith<B, T> {
        DoneWith { done: self, value: Some(value) }
    }

    /// Polls for the outcome.
    fn poll_outcome(&mut self, context: &mut Context<'_>) -> Poll<Outcome<B>> {
        let mut known = KnownWork::new();
        let (asked, watcher) = match &mut self.state {
            State::Idle(answer) => {
                known = std::mem::take(answer);
                (Some(Ok(())), None)
            }
            State::Recorded(event, _) => (ask::<B>(event, &mut known), None),
            State::Watched(pending, _, watcher) if watcher.is_of_this_process() => {
                let mut outcome = pending.take_outcome(&mut known);
                if outcome.is_none() {
                    pending.register(context.waker());
                    // The outcome may have come before the waker.
                    outcome = pending.take_outcome(&mut known);
                }
                (outcome, Some(*watcher))
            }
            // The child of a fork, where the watcher of its parent has no thread.
            State::Watched(pending, ..) => (ask::<B>(pending.event(), &mut known), None),
            State::Resolved => {
                let reason = "the future has resolved; call `DoneExt::done` again";
                return Poll::Ready(Err(not_permitted::<B>(reason)));
            }
        };
        if let Some(outcome) = asked {
            self.state = State::Resolved;
            known.order_at(self.place);
            return Poll::Ready(outcome);
        }
        if is_in_destructor() {
            let reason = "a destructor that the watcher runs cannot wait for the watcher; submit the wait to a stream, or \
                          await on another thread";
            return Poll::Ready(Err(not_permitted::<B>(reason)));
        }
        if let Some(watcher) = watcher {
            watcher.waits();
            return Poll::Pending;
        }
        match self.share(Some(context)) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    /// Gives the record to the watcher of this process, which wakes the task of `context`. Does nothing if there is no
    /// record. After an error the future has resolved.
    fn share(&mut self, context: Option<&Context<'_>>) -> Result<(), ContractError> {
        let (pending, key) = match std::mem::replace(&mut self.state, State::Resolved) {
            State::Recorded(event, key) => (Arc::new(Pending::new(event)), key),
            State::Watched(pending, key, _) => (pending, key),
            State::Idle(_) | State::Resolved => return Ok(()),
        };
        if let Some(context) = context {
            // Before the watcher has the record, so no wake-up is lost.
            pending.register(context.waker());
        }
        let registration = watch(key, Arc::clone(&pending) as _)?;
        self.state = State::Watched(pending, key, registration);
        Ok(())
    }

    /// Takes over a value that the work may use, from a future that is dropped. Drops it once the work is known to be done,
    /// and leaks it otherwise.
    fn leave(&mut self, value: impl Send + 'static) {
        let mut known = KnownWork::new();
        let asked = match &mut self.state {
            State::Idle(answer) => {
                known = std::mem::take(answer);
                Some(Ok(()))
            }
            State::Recorded(event, _) => ask::<B>(event, &mut known),
            State::Watched(_, _, watcher) if watcher.is_of_this_process() => None,
            // The parent's thread may hold the lock of the record, so only the event is asked.
            State::Watched(pending, ..) => ask::<B>(pending.event(), &mut known),
            State::Resolved => return std::mem::forget(value),
        };
        if let Some(outcome) = asked {
            match outcome {
                Ok(()) => known.run(|| drop(value)),
                Err(_) => std::mem::forget(value),
            }
            return;
        }
        if !matches!(&self.state, State::Watched(_, _, watcher) if watcher.is_of_this_process())
            && self.share(None).is_err()
        {
            return std::mem::forget(value);
        }
        // The record is not abandoned, since the watcher must learn the outcome.
        if let State::Watched(pending, ..) = std::mem::replace(&mut self.state, State::Resolved) {
            drop(pending.take_waker());
            pending.leave(value);
        }
    }
}

fn not_permitted<B: Backend>(reason: &'static str) -> B::Error {
    ContractError::NotPermitted { operation: "Done::poll", reason }.into()
}

impl<B: Backend> Future for Done<B> {
    type Output = Result<(), B::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().poll_outcome(context)
    }
}

// No field is pinned.
impl<B: Backend> Unpin for Done<B> {}

impl<B: Backend> Drop for Done<B> {
    fn drop(&mut self) {
        if let State::Watched(pending, _, watcher) = &self.state
            && watcher.is_of_this_process()
        {
            pending.abandon();
            watcher.abandoned();
        }
    }
}

impl<B: Backend> fmt::Debug for Done<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Idle(_) => "the stream was idle",
            State::Recorded(..) => "not polled",
            State::Watched(..) => "polled",
            State::Resolved => "resolved",
        };
        f.debug_tuple("Done").field(&format_args!("{state}")).finish()
    }
}

/// A [`Done`] that keeps a value until the work is done, and returns it with the outcome: [`Done::with`].
///
/// The output is the outcome and the value. **After an error the work may still use what the value owns**, so the future
/// does not free it. The caller decides: to leak it is always sound. A caller that ignores the value of an error frees it.
/// The same holds for a value that is dropped because `done` itself fails.
///
/// If the future is dropped while the work is pending, the watcher keeps the value, and drops it when the work is done.
/// The value's destructor then runs on the watcher's thread, with nothing held. It should not block that thread, for which
/// other wake-ups of the process wait. An await that would have to wait there is refused as
/// [`NotPermitted`](gpu_stream_core::ErrorKind::NotPermitted). If the work fails, or if the watcher cannot start, the value
/// of a dropped future is leaked. So it is if the process ends first, and in the child of a fork.
#[must_use = "a future does nothing unless it is awaited"]
pub struct DoneWith<B: Backend, T: Send + 'static> {
    done: Done<B>,
    /// `None` once it was returned.
    value: Option<T>,
}

impl<B: Backend, T: Send + 'static> Future for DoneWith<B, T> {
    type Output = (Result<(), B::Error>, T);

    /// Returns the result and the value once the work has ended.
    ///
    /// # Panics
    /// After the future has resolved: the value is gone.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match this.done.poll_outcome(context) {
            Poll::Ready(outcome) => match this.value.take() {
                Some(value) => Poll::Ready((outcome, value)),
                None => panic!("`DoneWith` was polled after it had resolved"),
            },
            Poll::Pending => Poll::Pending,
        }
    }
}

// No field is pinned.
impl<B: Backend, T: Send + 'static> Unpin for DoneWith<B, T> {}

impl<B: Backend, T: Send + 'static> Drop for DoneWith<B, T> {
    fn drop(&mut self) {
        let Some(value) = self.value.take() else { return };
        self.done.leave(value);
    }
}
