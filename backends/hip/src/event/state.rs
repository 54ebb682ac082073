//! The record that an event stands for, and which streams the runtime may reach from it: [`EventState`].
//!
//! A HIP event has a bare pointer to the stream that it was recorded on. A wait, a query or a synchronize may follow it; a
//! record and a destroy do not. So each call that gives an event to the runtime holds a state, which has the owners of
//! these streams. No lock is held across such a call, since a record or a wait blocks inside the runtime while the
//! stream's queue is full.
//!
//! Most records use another `hipEvent_t`, with a state of its own. If the handle is *fixed*, because it is known outside
//! of this crate, each record is made in place. Such records may overlap. The runtime then makes them in one order, and
//! they may be stored here in another. So records are numbered as they are stored, and each knows how many were stored
//! when it began. It replaces those. The owners of all others are kept as well.
//!
//! A call that began before a record in place may follow the pointer to the new stream. So each state of a fixed handle
//! has a reference to the next one, and keeps all later owners.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use gpu_stream_core::{KeepAlive, RawEvent, RawStream};
use gpu_stream_driver_common::thread_number;

use crate::driver::capture::CaptureId;
use crate::driver::loaded;
use crate::driver::symbols::Ptr;
use crate::host_wait::WaitMarker;
use crate::thread::discard;
use crate::{Hip, pool};

/// The capture that a record was made in, or may have been.
#[derive(Clone, Debug)]
pub(crate) struct CapturedRecord {
    /// `None` if the runtime cannot tell, or if the capture is over.
    pub(crate) id: Option<CaptureId>,
    /// The graph nodes that the record stands for. Empty where waits use the event instead.
    pub(crate) nodes: Vec<usize>,
    /// The number of the recording thread. Handle 2 names another stream on each thread.
    pub(crate) thread: usize,
}

impl CapturedRecord {
    /// Returns a capture that the runtime tells nothing about, for a record of the calling thread.
    pub(super) fn unknown() -> Self {
        CapturedRecord { id: None, nodes: Vec::new(), thread: thread_number() }
    }
}

/// A record of an event.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) stream: RawStream<Hip>,
    pub(crate) owner: KeepAlive,
    /// Set if the record was made in a capture, or may have been.
    pub(crate) captured: Option<CapturedRecord>,
}

/// A handle of the runtime, its last record, and the owners of other streams that the runtime's pointer may lead to.
pub(crate) struct EventState {
    pub(super) raw: RawEvent<Hip>,
    device: u32,
    /// Set if the handle goes to the pool, unless a capture has it.
    is_pooled: bool,
    /// Set once the handle is fixed. The event has it then, and not the state.
    is_fixed: AtomicBool,
    pub(crate) last: Option<Record>,
    /// The number of the last record in place.
    number: u64,
    /// The owners of other streams, with the numbers of their records: records that overlapped the last one, and
    /// records that failed since, which up to 5.7 move the pointer.
    others: Vec<(u64, KeepAlive)>,
    /// Set if the event is `blocking` and was recorded outside of captures: recorded just before the last record.
    pub(super) marker: Option<WaitMarker>,
    /// The next state of the same handle.
    next: OnceLock<Arc<EventState>>,
}

impl EventState {
    #[inline]
    pub(super) fn new(
        raw: RawEvent<Hip>,
        device: u32,
        is_pooled: bool,
        last: Option<Record>,
    ) -> Self {
        EventState {
            raw,
            device,
            is_pooled,
            is_fixed: AtomicBool::new(false),
            last,
            number: 0,
            others: Vec::new(),
            marker: None,
            next: OnceLock::new(),
        }
    }

    /// Keeps the owner of a stream that the runtime's pointer may lead to. Each owner is kept once.
    fn add_other(&mut self, number: u64, owner: &KeepAlive) {
        match self.others.iter_mut().find(|(_, known)| known.is_same(owner)) {
            Some((known, _)) => *known = number.max(*known),
            None => self.others.push((number, owner.clone())),
        }
    }

    /// Returns the runtime's handle.
    #[inline]
    pub(crate) fn raw(&self) -> Ptr {
        self.raw.as_ptr()
    }

    /// Returns `true` if another library may record the event.
    #[inline]
    pub(crate) fn is_fixed(&self) -> bool {
        self.is_fixed.load(Ordering::Acquire)
    }

    /// Returns `true` if the event was never recorded. Returns `false` if another library may have recorded it.
    #[inline]
    pub(crate) fn is_unrecorded(&self) -> bool {
        self.last.is_none() && !self.is_fixed()
    }

    /// Returns `true` if the last record was made in a capture.
    #[inline]
    pub(crate) fn is_captured(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.captured.is_some())
    }

    /// Returns `true` if the last record was made by this stream.
    ///
    /// Comparing handles is enough: the record keeps its stream alive, so the handle was not reused.
    #[inline]
    pub(crate) fn is_record_of(&self, stream: RawStream<Hip>, owner: &KeepAlive) -> bool {
        self.last.as_ref().is_some_and(|last| last.stream == stream && last.owner.is_same(owner))
    }

    /// Gives the handle to the pool, or destroys it. Does nothing if it is fixed, or was given up before.
    ///
    /// Must be called before the owners are dropped. `hipEventDestroy` follows the event's pointer to its stream, and
    /// another thread may be destroying a stream without owners.
    pub(super) fn release_handle(&mut self) {
        drop(self.marker.take());
        let raw = std::mem::replace(&mut self.raw, RawEvent::from_bits(0));
        // At the end of the process there is no runtime any more, and the event leaks.
        let (true, false, Some(driver)) = (raw.to_bits() != 0, self.is_fixed(), loaded()) else {
            return;
        };
        let is_captured = self.is_captured();
        if !is_captured && self.is_pooled {
            pool::give(driver, self.device, raw);
        } else if !(is_captured && driver.quirks.captures_keep_destroyed) {
            pool::destroy_soon(driver, raw, || self.take_owners().collect());
        }
    }

    /// Takes the owners out of a state that no call uses.
    pub(super) fn take_owners(&mut self) -> impl Iterator<Item = KeepAlive> + use<> {
        let last = self.last.as_mut().map(|last| std::mem::take(&mut last.owner));
        let others = std::mem::take(&mut self.others).into_iter().map(|(_, owner)| owner);
        last.into_iter().chain(others)
    }

    /// Removes the record, so that the handle can be recorded for another use. Returns `false` if it cannot: a capture
    /// or another owner has the handle. `owner` is kept elsewhere, and can be dropped here.
    #[inline]
    pub(super) fn reset(&mut self, owner: &KeepAlive) -> bool {
        if self.is_captured() || self.is_fixed() {
            return false;
        }
        if let Some(last) = self.last.take()
            && !last.owner.is_same(owner)
        {
            discard(last.owner);
        }
        true
    }
}

impl Drop for EventState {
    #[inline]
    fn drop(&mut self) {
        // One after the other: a chain may be long.
        let mut next = self.next.take();
        while let Some(state) = next {
            next = Arc::into_inner(state).and_then(|mut state| state.next.take());
        }
        self.release_handle();
        self.take_owners().for_each(discard);
    }
}

/// A handle that is known outside of this crate. Each record is made in place.
pub(super) struct Fixed {
    /// Set if a capture has, or may have, a pointer to the handle.
    pub(super) is_in_capture: bool,
    /// Set if a capture other than that of the last record may write to the handle when it ends. The handle is
    /// never destroyed then.
    pub(super) is_leaked: bool,
}

/// The part of an event behind its lock. The lock is never held across a call of the runtime or user code.
pub(super) struct EventInner {
    pub(super) now: Arc<EventState>,
    /// A state without a record, for the next one.
    pub(super) spare: Option<Arc<EventState>>,
    /// Set once the handle is known outside of this crate.
    pub(super) fixed: Option<Fixed>,
    /// The number of records in place that were stored, failed ones included.
    pub(super) stored: u64,
}

impl EventInner {
    #[inline]
    pub(super) fn new(now: EventState) -> Self {
        EventInner { now: Arc::new(now), spare: None, fixed: None, stored: 0 }
    }

    /// Makes all later records in place.
    pub(super) fn fix(&mut self) {
        if self.fixed.is_none() {
            self.now.is_fixed.store(true, Ordering::Release);
            let is_in_capture = self.now.is_captured();
            self.fixed = Some(Fixed { is_in_capture, is_leaked: false });
        }
    }

    /// Stores a record of another handle. Returns the state before, to be dropped without the lock.
    ///
    /// # Errors
    /// The given state, if the current handle is fixed.
    #[inline]
    pub(super) fn store(
        &mut self,
        state: Arc<EventState>,
    ) -> Result<Arc<EventState>, Arc<EventState>> {
        if self.fixed.is_some() {
            return Err(state);
        }
        Ok(std::mem::replace(&mut self.now, state))
    }

    /// Stores a record in place that began when `start` records were stored. Returns the state before, to be dropped
    /// without the lock.
    #[cold]
    pub(super) fn store_in_place(&mut self, record: Record, start: u64) -> Arc<EventState> {
        let old = &self.now;
        let is_overlapped = old.number > start;
        if let Some(fixed) = &mut self.fixed {
            fixed.is_in_capture |= record.captured.is_some();
            // If records overlapped, the one in a capture may have been the first for the runtime.
            fixed.is_leaked |= old.is_captured() || is_overlapped && fixed.is_in_capture;
        }
        let mut state = EventState::new(old.raw, old.device, false, Some(record));
        state.number = self.stored + 1;
        state.others = old.others.iter().filter(|(number, _)| *number > start).cloned().collect();
        if let (true, Some(last)) = (is_overlapped, &old.last) {
            state.add_other(old.number, &last.owner);
        }
        self.advance(state)
    }

    /// Keeps the owner of a stream on which a record in place has failed, and notes if a capture may have the handle. Returns
    /// the state before, to be dropped without the lock.
    #[cold]
    pub(super) fn store_failure(&mut self, record: &Record) -> Arc<EventState> {
        let old = &self.now;
        let mut state = EventState::new(old.raw, old.device, false, old.last.clone());
        (state.number, state.others) = (old.number, old.others.clone());
        state.add_other(self.stored + 1, &record.owner);
        if let Some(fixed) = &mut self.fixed {
            fixed.is_in_capture |= record.captured.is_some();
        }
        self.advance(state)
    }

    /// Makes `state` the next one of the fixed handle. Returns the state before.
    fn advance(&mut self, state: EventState) -> Arc<EventState> {
        state.is_fixed.store(true, Ordering::Release);
        self.stored += 1;
        let state = Arc::new(state);
        let old = std::mem::replace(&mut self.now, Arc::clone(&state));
        let first = old.next.set(state);
        debug_assert!(first.is_ok(), "a state has one successor");
        old
    }
}

#[cfg(test)]
mod tests;
