//! The state of an event: which record it stands for, and which streams the runtime may reach from it,
//! [`EventState`].
//!
//! A HIP event has a bare pointer to the stream that it was recorded on. A wait, a query or a synchronize may
//! follow it; a record and a destroy do not. So each call that gives an event to the runtime keeps that
//! stream alive for as long as the call takes.
//!
//! No lock is held across such a call, since a record or a wait blocks inside the runtime while the stream's
//! queue is full.

use std::sync::Arc;

use gpu_stream_core::RawStream;

use crate::Hip;
use crate::driver::capture::CaptureId;
use crate::driver::symbols::Ptr;
use crate::keep_alive::{StreamKeepAlive, discard_keeper};
use crate::owned_event::{EventRef, OwnedEvent};
use crate::thread_exit::{FinalStatus, with_guards};

/// The capture that a record was made in.
#[derive(Clone, Debug)]
pub(crate) struct CapturedRecord {
    /// `None` if the runtime cannot tell.
    pub(crate) id: Option<CaptureId>,
    /// The graph nodes that the record stands for. Empty where waits use the event instead.
    pub(crate) nodes: Arc<[usize]>,
}

/// The last record of an event.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) stream: RawStream<Hip>,
    pub(crate) keeper: StreamKeepAlive,
    /// Set if the record was made in a capture.
    pub(crate) captured: Option<CapturedRecord>,
}

/// A stream that the runtime's event may point to, although its record is not the last one.
#[derive(Clone, Debug)]
pub(crate) struct PossibleReference {
    pub(crate) keeper: StreamKeepAlive,
    /// The number of its record among all records of the event.
    pub(crate) number: u64,
}

/// An event of the runtime, its last record, and other streams that the runtime's pointer may lead to.
///
/// Two cases leave other streams. Records that overlapped: only the runtime knows their order. And a record
/// that failed, which up to 5.7 moves the pointer.
#[derive(Clone, Debug)]
pub(crate) struct EventState {
    pub(crate) handle: EventRef,
    pub(crate) last: Option<Record>,
    pub(crate) possibly_referenced: Vec<PossibleReference>,
}

impl EventState {
    #[inline]
    pub(crate) fn new(handle: OwnedEvent, last: Option<Record>) -> Self {
        EventState { handle: EventRef::new(handle), last, possibly_referenced: Vec::new() }
    }

    /// Returns the runtime's handle.
    #[inline]
    pub(crate) fn raw(&self) -> Ptr {
        self.handle.raw.as_ptr()
    }

    /// Returns `true` if the event was never recorded. Returns `false` if another library may have recorded
    /// it.
    #[inline]
    pub(crate) fn is_unrecorded(&self) -> bool {
        self.last.is_none() && self.possibly_referenced.is_empty() && !self.handle.is_escaped()
    }

    /// Returns `true` if the runtime may be asked on the fast path: the last record was made outside of
    /// captures, and an owner keeps its stream alive. Also returns `true` if there was no record.
    #[inline]
    pub(crate) fn can_query_directly(&self) -> bool {
        let can_query_directly = |last: &Record| {
            last.captured.is_none() && matches!(last.keeper, StreamKeepAlive::Owner(_))
        };
        self.possibly_referenced.is_empty() && self.last.as_ref().is_none_or(can_query_directly)
    }

    /// Returns `true` if the last record was made in a capture.
    pub(crate) fn is_captured(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.captured.is_some())
    }

    /// Calls `call` while each stream that the runtime's event may point to is alive.
    ///
    /// # Errors
    /// The final status of the stream, if it was the default stream of a thread that has ended: the runtime
    /// must not be called then. [`FinalStatus::Unknown`] if such a stream may be pointed to, and is not that
    /// of the last record.
    #[inline]
    pub(crate) fn with_guards<T>(&self, call: impl FnOnce() -> T) -> Result<T, FinalStatus> {
        if self.can_query_directly() {
            return Ok(call());
        }
        let with_possible = || {
            let mut rundowns =
                self.possibly_referenced.iter().filter_map(|possible| possible.keeper.rundown());
            with_guards(&mut rundowns, call).map_err(|status| {
                let is_recorded = self.last.is_some() || self.handle.is_escaped();
                if is_recorded { FinalStatus::Unknown } else { status }
            })
        };
        let mut last = self.last.iter().filter_map(|last| last.keeper.rundown());
        with_guards(&mut last, with_possible).flatten()
    }

    /// Drops the keepers of all streams, which may run user code.
    #[inline]
    pub(crate) fn discard_keepers(&mut self) {
        if let Some(last) = self.last.take() {
            discard_keeper(last.keeper);
        }
        for possible in self.possibly_referenced.drain(..) {
            discard_keeper(possible.keeper);
        }
    }
}

#[cfg(test)]
mod tests {
    use gpu_stream_core::{KeepAlive, RawEvent};

    use super::*;

    fn state(last: Option<Record>) -> EventState {
        EventState::new(OwnedEvent::new(RawEvent::from_bits(8), 0, false), last)
    }

    #[test]
    fn failed_record_takes_the_event_off_the_fast_path() {
        let counted = Arc::new(());
        let keeper = || StreamKeepAlive::Owner(KeepAlive::owner(Arc::clone(&counted)));
        let stream = RawStream::from_bits(16);
        let mut state = state(Some(Record { stream, keeper: keeper(), captured: None }));
        assert!(state.can_query_directly() && !state.is_unrecorded());
        state.possibly_referenced.push(PossibleReference { keeper: keeper(), number: 1 });
        assert!(!state.can_query_directly() && state.with_guards(|| ()).is_ok());
        assert_eq!(Arc::strong_count(&counted), 3);
        state.discard_keepers();
        assert_eq!(Arc::strong_count(&counted), 1, "each keeper is dropped once");
    }

    #[test]
    fn event_that_is_known_elsewhere_is_not_reused() {
        let plain = state(None);
        assert!(plain.is_unrecorded() && plain.handle.is_reusable());
        plain.handle.fix();
        assert!(plain.is_unrecorded() && !plain.handle.is_reusable());
        plain.handle.set_escaped();
        assert!(!plain.is_unrecorded());
        let captured = state(None);
        captured.handle.mark_captured();
        assert!(!captured.handle.is_reusable());
    }
}
