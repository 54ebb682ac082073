//! What keeps the stream of a record alive: [`StreamKeepAlive`].

use std::sync::Arc;

use gpu_stream_core::KeepAlive;
use gpu_stream_driver_common::deferred::drop_quietly;

use crate::call::discard;
use crate::host_func::is_inside;
use crate::thread_exit::{OwnedRundownGuard, Rundown};

/// What keeps a stream alive.
#[derive(Clone, Debug)]
pub(crate) enum StreamKeepAlive {
    /// The stream's owner. Without an owner, the device, or the promise of the caller that wrapped it.
    Owner(KeepAlive),
    /// The thread whose default stream it is. A thread cannot be kept alive, so calls take a guard of its
    /// [`Rundown`].
    PerThread(Arc<Rundown>),
}

impl StreamKeepAlive {
    /// Returns `true` if both keep the same stream alive, so that one of them is enough.
    #[inline]
    pub(crate) fn is_same(&self, other: &StreamKeepAlive) -> bool {
        match (self, other) {
            (StreamKeepAlive::Owner(one), StreamKeepAlive::Owner(other)) => one.is_same(other),
            (StreamKeepAlive::PerThread(one), StreamKeepAlive::PerThread(other)) => {
                Arc::ptr_eq(one, other)
            }
            _ => false,
        }
    }

    /// Returns the run-down protection of a thread's default stream. `None` for any other stream.
    pub(crate) fn rundown(&self) -> Option<&Rundown> {
        match self {
            StreamKeepAlive::Owner(_) => None,
            StreamKeepAlive::PerThread(rundown) => Some(rundown),
        }
    }

    /// Returns `true` if this is a reference to an owner, whose drop may run user code.
    #[inline]
    pub(crate) fn is_owner(&self) -> bool {
        matches!(self, StreamKeepAlive::Owner(owner) if owner.is_owned())
    }
}

/// Drops a keeper, which may run user code. Defers the drop inside of a public call.
#[inline]
pub(crate) fn discard_keeper(keeper: StreamKeepAlive) {
    if keeper.is_owner() {
        discard(keeper);
    }
}

/// Drops a keeper at the end of a call, where no lock is held. Defers the drop inside a host function.
#[inline]
pub(crate) fn discard_keeper_now(keeper: StreamKeepAlive) {
    if keeper.is_owner() {
        if is_inside() { discard(keeper) } else { drop_quietly(keeper) }
    }
}

/// What a record in place has replaced while other calls used the event. Those calls may follow a pointer
/// to its stream, so it is dropped after the last of them, with no lock held.
#[derive(Debug)]
pub(crate) enum DeferredDrop {
    /// The keeper of the replaced record's stream.
    StreamKeepAlive(StreamKeepAlive),
    /// A guard of the new record's stream. Those calls began before the record and took no guard of it.
    RundownGuard(OwnedRundownGuard),
}

impl DeferredDrop {
    /// Returns `true` if this is a guard of `rundown`.
    pub(crate) fn guards(&self, rundown: &Arc<Rundown>) -> bool {
        matches!(self, DeferredDrop::RundownGuard(guard) if guard.is_of(rundown))
    }

    /// Drops the value. User code is deferred as by [`discard_keeper`].
    pub(crate) fn discard(self) {
        match self {
            DeferredDrop::StreamKeepAlive(keeper) => discard_keeper(keeper),
            DeferredDrop::RundownGuard(guard) => drop(guard),
        }
    }
}
