//! Orders streams after each other: [`wait_stream`], [`fork`], [`join`].
//!
//! Fast path: the backend has a [`StreamPair`] for the two streams. The source records a *scratch event*, which is
//! private to the call, and the waiter waits for it. Callers that wait for one source at the same time share a record.
//!
//! Slow path: all other pairs of streams, and what the driver rejects on the fast path. The source records an ordinary
//! event.

mod fork;
mod scratch;

use std::any::Any;
use std::ops::ControlFlow;

use gpu_stream_core::{ErrorOf, EventOf, Stream};

use self::fork::Fork;
use self::scratch::Scratch;
pub use self::scratch::ScratchEvents;
use crate::{EventOps, RecordCoalescer};

/// Two streams on the fast path, of which one waits for the other.
///
/// Its [`EventOps`] record the source and make the waiter wait.
pub trait StreamPair: EventOps<Error: Copy> {
    /// The waiting stream, and the source.
    type Stream: Stream;

    /// Where the scratch events of the pair come from.
    type Events: ScratchEvents;

    /// Returns the scratch events of the source's device or context.
    fn events(&self) -> Self::Events;

    /// Returns the pending waits for streams of the source's device or context.
    fn coalescer(&self) -> &RecordCoalescer;

    /// Returns the handle of the source.
    fn source_bits(&self) -> usize;

    /// Notes that the driver has accepted a record of the source.
    fn record_accepted(&self);

    /// Returns `true` if the event of a failed record must not be used again, nor released.
    fn is_lost(error: Self::Error) -> bool;

    /// Returns the error of the call. Returns `None` if the slow path may succeed, or has the better error.
    fn explain(&self, error: Self::Error, operation: &'static str)
    -> Option<ErrorOf<Self::Stream>>;
}

/// What a backend provides to order its streams.
///
/// Implemented by a private type of the backend, so that the functions do not show on its streams.
pub trait StreamOrdering {
    /// The backend's own type of streams.
    type Stream: Stream;

    /// Where scratch events come from.
    type Events: ScratchEvents;

    /// Two streams on the fast path.
    type Pair<'a>: StreamPair<Stream = Self::Stream, Events = Self::Events>;

    /// Returns `true` if both wrappers stand for one stream.
    fn is_same_stream(waiter: &Self::Stream, source: &Self::Stream) -> bool;

    /// Returns `true` if the streams allow the fast path. It also needs [`scratch_events`](Self::scratch_events).
    ///
    /// # Errors
    /// `waiter` must not wait for `source`.
    fn is_fast(
        waiter: &Self::Stream,
        source: &Self::Stream,
        operation: &'static str,
    ) -> Result<bool, Error<Self>>;

    /// Returns what [`is_fast`](Self::is_fast) does, for one more branch of a fork: the source has been checked and recorded.
    ///
    /// # Errors
    /// As `is_fast`.
    #[inline]
    fn is_fast_branch(
        branch: &Self::Stream,
        source: &Self::Stream,
        operation: &'static str,
    ) -> Result<bool, Error<Self>> {
        Self::is_fast(branch, source, operation)
    }

    /// Returns what [`is_fast`](Self::is_fast) does, for one more source of a join: the waiter has been checked, and has
    /// waited on the fast path since.
    ///
    /// # Errors
    /// As `is_fast`.
    #[inline]
    fn is_fast_source(
        waiter: &Self::Stream,
        source: &Self::Stream,
        operation: &'static str,
    ) -> Result<bool, Error<Self>> {
        Self::is_fast(waiter, source, operation)
    }

    /// Returns the scratch events of the source's device or context. Returns `None` if it has none.
    fn scratch_events(source: &Self::Stream) -> Option<Self::Events>;

    /// Returns the pair with the events of [`scratch_events`](Self::scratch_events).
    fn pair<'a>(
        waiter: &'a Self::Stream,
        source: &'a Self::Stream,
        events: Self::Events,
    ) -> Self::Pair<'a>;

    /// Prepares a wait on the slow path. Returns `Break` if the streams are ordered by now.
    ///
    /// # Errors
    /// `waiter` must not wait for `source`.
    fn prepare_slow(
        waiter: &Self::Stream,
        source: &Self::Stream,
        operation: &'static str,
    ) -> Result<ControlFlow<()>, Error<Self>>;

    /// Records a new event of `source` on the slow path.
    ///
    /// # Errors
    /// The stream cannot record.
    fn record_event_slow(
        source: &Self::Stream,
        operation: &'static str,
    ) -> Result<EventOf<Self::Stream>, Error<Self>>;

    /// Makes `waiter` wait for an event on the slow path.
    ///
    /// # Errors
    /// The stream cannot wait for the event.
    fn wait_event_slow(
        waiter: &Self::Stream,
        event: &EventOf<Self::Stream>,
        operation: &'static str,
    ) -> Result<(), Error<Self>>;
}

/// The error of a backend's streams.
pub type Error<B> = ErrorOf<<B as StreamOrdering>::Stream>;

type BackendOf<B> = <<B as StreamOrdering>::Stream as Stream>::Backend;

/// Returns `other` as a stream of the backend's own type. Returns `None` if it is a type around one.
#[inline]
pub fn downcast<S: Stream, O: Stream>(other: &O) -> Option<&S> {
    (other as &dyn Any).downcast_ref()
}

/// Makes `waiter` wait for all work that was submitted to `source`.
///
/// # Errors
/// The first error of the backend.
#[inline]
pub fn wait_stream<B: StreamOrdering>(
    waiter: &B::Stream,
    source: &B::Stream,
) -> Result<(), Error<B>> {
    const OPERATION: &str = "Stream::wait_stream";
    if B::is_same_stream(waiter, source) {
        return Ok(());
    }
    // Fast path: the source records a scratch event, or shares a record of another caller.
    if B::is_fast(waiter, source, OPERATION)?
        && let Some(pair) = pair::<B>(waiter, source)
    {
        match pair.coalescer().wait_for(pair.source_bits(), &pair) {
            Ok(()) => {
                pair.record_accepted();
                return Ok(());
            }
            Err(error) => pair.explain(error, OPERATION).map_or(Ok(()), Err)?,
        }
    }
    wait_stream_slow::<B>(waiter, source, OPERATION)
}

/// Returns two streams that allow the fast path as a pair. Returns `None` if the source has no scratch events.
// Inlined, because its result is large otherwise, and returned in memory.
#[inline(always)]
fn pair<'a, B: StreamOrdering>(
    waiter: &'a B::Stream,
    source: &'a B::Stream,
) -> Option<B::Pair<'a>> {
    B::scratch_events(source).map(|events| B::pair(waiter, source, events))
}

/// Makes `waiter` wait through an ordinary event.
#[cold]
fn wait_stream_slow<B: StreamOrdering>(
    waiter: &B::Stream,
    source: &B::Stream,
    operation: &'static str,
) -> Result<(), Error<B>> {
    if B::prepare_slow(waiter, source, operation)?.is_break() {
        return Ok(());
    }
    B::wait_event_slow(waiter, &B::record_event_slow(source, operation)?, operation)
}

/// Makes all `branches` wait for `source`, which is recorded once for all of them.
///
/// # Errors
/// The first error of the backend. All branches are tried, unless the source cannot record.
#[inline]
pub fn fork<'a, B, O>(
    source: &B::Stream,
    branches: impl IntoIterator<Item = &'a O>,
) -> Result<(), Error<B>>
where
    B: StreamOrdering,
    O: Stream<Backend = BackendOf<B>>,
{
    let mut fork = Fork::<B>::of(source);
    for branch in branches {
        let next = match downcast(branch) {
            Some(branch) => fork.wait_own_type(branch),
            None => fork.wait_wrapped_type(branch),
        };
        if next.is_break() {
            break;
        }
    }
    fork.outcome
}

/// Makes `waiter` wait for all `branches`.
///
/// # Errors
/// The first error of the backend. All branches are tried.
#[inline]
pub fn join<'a, B, O>(
    waiter: &B::Stream,
    branches: impl IntoIterator<Item = &'a O>,
) -> Result<(), Error<B>>
where
    B: StreamOrdering,
    O: Stream<Backend = BackendOf<B>>,
{
    let mut join = Join::<B> { waiter, scratch: Scratch::new(), is_waiter_fast: false };
    let mut outcome = Ok(());
    for branch in branches {
        let joined = match downcast(branch) {
            Some(branch) => join.wait_own_type(branch),
            None => {
                // The type's own code may have made the waiter part of a capture.
                join.is_waiter_fast = false;
                waiter.wait_stream(branch)
            }
        };
        keep_first(&mut outcome, joined);
    }
    outcome
}

/// The waits of one stream for all branches. A wait binds to the record that was made before it, so one scratch event can
/// be recorded on all branches in turn.
struct Join<'a, B: StreamOrdering> {
    waiter: &'a B::Stream,
    scratch: Scratch<B::Events>,
    /// Set while the waiter is known to allow the fast path.
    is_waiter_fast: bool,
}

impl<B: StreamOrdering> Join<'_, B> {
    /// Makes the waiter wait for one branch of the backend's own type.
    #[inline]
    fn wait_own_type(&mut self, branch: &B::Stream) -> Result<(), Error<B>> {
        const OPERATION: &str = "Stream::join";
        if B::is_same_stream(self.waiter, branch) {
            return Ok(());
        }
        let is_fast = match self.is_waiter_fast {
            true => B::is_fast_source(self.waiter, branch, OPERATION),
            false => B::is_fast(self.waiter, branch, OPERATION),
        };
        // On the slow path, the branch may make the waiter part of a capture.
        self.is_waiter_fast = false;
        if is_fast? && let Some(pair) = pair::<B>(self.waiter, branch) {
            match self.scratch.record(&pair).and_then(|event| pair.wait(event)) {
                Ok(()) => {
                    self.is_waiter_fast = true;
                    return Ok(());
                }
                Err(error) => pair.explain(error, OPERATION).map_or(Ok(()), Err)?,
            }
        }
        wait_stream_slow::<B>(self.waiter, branch, OPERATION)
    }
}

/// Keeps the first error: all branches are tried, and the first error is returned.
#[inline]
fn keep_first<E>(outcome: &mut Result<(), E>, next: Result<(), E>) {
    if next.is_err() && outcome.is_ok() {
        *outcome = next;
    }
}
