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
//! when it began. Those are over, and it replaces them. The owners of all others are kept as well.
//!
//! A call that began before a record in place may follow the pointer to the new stream. So each state of a fixed handle
//! has a reference to the next one, and keeps all later owners.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use gpu_stream_core::{KeepAlive, RawEvent, RawStream};

use crate::driver::capture::CaptureId;
use crate::driver::loaded;
use crate::driver::symbols::Ptr;
use crate::thread::discard;
use crate::{Hip, pool};

/// The capture that a record was made in.
#[derive(Clone, Debug)]
pub(crate) struct CapturedRecord {
    /// `None` if the runtime cannot tell.
    pub(crate) id: Option<CaptureId>,
    /// The graph nodes that the record stands for. Empty where waits use the event instead.
    pub(crate) nodes: Vec<usize>,
    /// The number of the recording thread. Handle 2 names another stream on each thread.
    pub(crate) thread: usize,
}

/// A record of an event.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) stream: RawStream<Hip>,
    pub(crate) owner: KeepAlive,
    /// Set if the record was made in a capture.
    pub(crate) captured: Option<CapturedRecord>,
}

/// The owner of a handle of the runtime, and what becomes of the handle after its last state.
#[derive(Clone, Copy)]
pub(super) enum HandleUse {
    /// Another state, or the event itself, owns the handle.
    Borrowed = 0,
    /// Goes to the pool, unless a capture has it.
    Pooled = 1,
    Destroyed = 2,
}

/// A handle of the runtime, its last record, and the owners of other streams that the runtime's pointer may lead to.
pub(crate) struct EventState {
    pub(super) raw: RawEvent<Hip>,
    device: u32,
    /// A [`HandleUse`].
    handle_use: AtomicU8,
    pub(crate) last: Option<Record>,
    /// The number of the last record.
    number: u64,
    /// The owners of other streams, with the numbers of their records: records that overlapped the last one, and
    /// records that failed since, which up to 5.7 move the pointer.
    others: Vec<(u64, KeepAlive)>,
    /// The next state of the same handle.
    next: OnceLock<Arc<EventState>>,
}

impl EventState {
    #[inline]
    pub(super) fn new(
        raw: RawEvent<Hip>,
        device: u32,
        handle_use: HandleUse,
        last: Option<Record>,
    ) -> Self {
        let handle_use = AtomicU8::new(handle_use as u8);
        EventState {
            raw,
            device,
            handle_use,
            last,
            number: 0,
            others: Vec::new(),
            next: OnceLock::new(),
        }
    }

    /// Returns the runtime's handle.
    #[inline]
    pub(crate) fn raw(&self) -> Ptr {
        self.raw.as_ptr()
    }

    /// Returns `true` if the last record was made in a capture.
    #[inline]
    pub(crate) fn is_captured(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.captured.is_some())
    }

    /// Returns `true` if the last record was made by this stream, and no other record may have come later.
    ///
    /// Comparing handles is enough: the record keeps its stream alive, so the handle was not reused.
    #[inline]
    pub(crate) fn is_record_of(&self, stream: RawStream<Hip>, owner: &KeepAlive) -> bool {
        let is_it = |last: &Record| last.stream == stream && last.owner.is_same(owner);
        self.others.is_empty() && self.last.as_ref().is_some_and(is_it)
    }

    /// Returns `true` if no record was made with the handle, nor failed.
    #[inline]
    pub(super) fn is_fresh(&self) -> bool {
        self.last.is_none() && self.others.is_empty()
    }

    /// Returns the use of the handle, which another state takes over.
    pub(super) fn take_handle(&self) -> u8 {
        self.handle_use.swap(HandleUse::Borrowed as u8, Ordering::Relaxed)
    }

    /// Takes over the handle of `other`, and what becomes of it.
    pub(super) fn take_over(&mut self, other: &EventState) {
        *self.handle_use.get_mut() = other.take_handle();
    }

    /// Takes the owners out of a state that no call uses.
    pub(super) fn take_owners(&mut self) -> impl Iterator<Item = KeepAlive> {
        let others = std::mem::take(&mut self.others).into_iter().map(|(_, owner)| owner);
        let last = self.last.as_mut().map(|last| std::mem::take(&mut last.owner));
        last.into_iter().chain(others)
    }

    /// Removes the record, so that the handle can be recorded for another use. Returns `false` if it cannot: a capture
    /// or another owner has the handle. `owner` is kept elsewhere, and can be dropped here.
    #[inline]
    pub(super) fn reset(&mut self, owner: &KeepAlive) -> bool {
        if self.is_captured() || *self.handle_use.get_mut() == HandleUse::Borrowed as u8 {
            return false;
        }
        self.take_owners().filter(|old| !old.is_same(owner)).for_each(discard);
        self.last = None;
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
        self.take_owners().for_each(discard);
        let is_captured = self.is_captured();
        let handle_use = *self.handle_use.get_mut();
        // At the end of the process there is no runtime any more, and the event leaks.
        if handle_use != HandleUse::Borrowed as u8
            && let Some(driver) = loaded()
        {
            if !is_captured && handle_use == HandleUse::Pooled as u8 {
                pool::give(driver, self.device, self.raw);
            } else if !(is_captured && driver.quirks.captures_keep_destroyed) {
                pool::destroy_soon(driver, self.raw);
            }
        }
    }
}

/// The part of an event behind its lock. The lock is never held across a call of the runtime or user code.
pub(super) struct EventInner {
    pub(super) now: Arc<EventState>,
    /// A state without a record, for the next one.
    pub(super) spare: Option<Arc<EventState>>,
    /// Set if records are made in place, because the handle is known outside of this crate.
    pub(super) is_fixed: bool,
    /// Set if another library may record the event.
    pub(super) is_escaped: bool,
    /// Set if a capture has, or may have, a pointer to the fixed handle.
    pub(super) is_in_capture: bool,
    /// Set if a capture other than that of the last record may write to the fixed handle when it ends. The handle is
    /// never destroyed then.
    pub(super) is_leaked: bool,
    /// The number of records that were stored, failed ones included.
    pub(super) stored: u64,
}

impl EventInner {
    #[inline]
    pub(super) fn new(now: EventState) -> Self {
        EventInner {
            now: Arc::new(now),
            spare: None,
            is_fixed: false,
            is_escaped: false,
            is_in_capture: false,
            is_leaked: false,
            stored: 0,
        }
    }

    /// Makes all later records in place.
    pub(super) fn fix(&mut self, is_escaped: bool) {
        if !self.is_fixed {
            self.is_fixed = true;
            self.is_in_capture = self.now.is_captured();
            // The event itself owns the handle from now on.
            self.now.take_handle();
        }
        self.is_escaped |= is_escaped;
    }

    /// Returns the state if its handle was never recorded and no call uses it. During its first record the event
    /// counts as unrecorded, and a query makes no call of the runtime.
    #[inline]
    pub(super) fn unrecorded(&mut self) -> Option<Arc<EventState>> {
        let is_fresh = self.now.is_fresh() && Arc::strong_count(&self.now) == 1;
        is_fresh.then(|| Arc::clone(&self.now))
    }

    /// Stores a record that began when `start` records were stored. No other thread has `state`. Returns the state
    /// before, to be dropped without the lock.
    ///
    /// # Errors
    /// The given state, if the current handle is fixed and is another.
    #[inline]
    pub(super) fn store(
        &mut self,
        mut state: Arc<EventState>,
        start: u64,
    ) -> Result<Arc<EventState>, Arc<EventState>> {
        if self.is_fixed && state.raw != self.now.raw {
            return Err(state);
        }
        let stored = Arc::get_mut(&mut state).expect("no other thread has it");
        stored.number = self.stored + 1;
        if self.is_fixed {
            stored.take_handle();
            self.replace_in_place(stored, start);
            self.stored += 1;
            return Ok(self.advance(state));
        }
        self.stored += 1;
        Ok(std::mem::replace(&mut self.now, state))
    }

    /// Adds to `state` the owners of records that overlapped its record.
    #[cold]
    fn replace_in_place(&mut self, state: &mut EventState, start: u64) {
        let old = &self.now;
        let is_overlapped = old.number > start;
        self.is_in_capture |= state.is_captured();
        // If records overlapped, the one in a capture may have been the first for the runtime.
        self.is_leaked |= old.is_captured() || is_overlapped && self.is_in_capture;
        state.others = old.others.iter().filter(|(number, _)| *number > start).cloned().collect();
        if let (true, Some(last)) = (is_overlapped, &old.last) {
            state.add_other(old.number, &last.owner);
        }
    }

    /// Stores a failed record of the current handle. Returns the state before, to be dropped without the lock.
    #[cold]
    pub(super) fn store_failure(&mut self, owner: &KeepAlive) -> Arc<EventState> {
        let old = &self.now;
        let (last, number, others) = (old.last.clone(), old.number, old.others.clone());
        let mut state = EventState::new(old.raw, old.device, HandleUse::Borrowed, last);
        state.take_over(old);
        (state.number, state.others) = (number, others);
        self.stored += 1;
        state.add_other(self.stored, owner);
        self.advance(Arc::new(state))
    }

    /// Makes `state` the next one of the same handle.
    fn advance(&mut self, state: Arc<EventState>) -> Arc<EventState> {
        let old = std::mem::replace(&mut self.now, Arc::clone(&state));
        let first = old.next.set(state);
        debug_assert!(first.is_ok(), "a state has one successor");
        old
    }
}

impl EventState {
    /// Keeps the owner of a stream that the runtime's pointer may lead to. Each owner is kept once.
    fn add_other(&mut self, number: u64, owner: &KeepAlive) {
        match self.others.iter_mut().find(|(_, known)| known.is_same(owner)) {
            Some((known, _)) => *known = number.max(*known),
            None => self.others.push((number, owner.clone())),
        }
    }
}

#[cfg(test)]
mod tests;
