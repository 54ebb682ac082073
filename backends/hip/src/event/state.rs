//! The record that an event stands for, and which streams the runtime may reach from it: [`EventState`].
//!
//! A HIP event has a bare pointer to the stream that it was recorded on. A wait, a query or a synchronize may follow it; a
//! record and a destroy do not. So each call that gives an event to the runtime holds a state, which has the owners of
//! these streams. No lock is held across such a call, since a record or a wait blocks inside the runtime while the
//! stream's queue is full.
//!
//! Most records use another `hipEvent_t`, with a state of its own. If the handle is *fixed*, because it is known outside
//! of this crate, each record is made in place, and moves the pointer of calls that have begun. So all states of a fixed
//! handle share a list of owners: [`Kept`]. Such records may overlap. The runtime then makes them in one order, and they
//! may be stored here in another. So records are numbered as they are stored, and each knows how many were stored when
//! it began. It replaces those, and the list loses their owners, unless a call still holds an earlier state.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

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

/// The owners of the streams that the pointer of one handle may lead to, with the numbers of their records. A failed
/// record counts as well: up to 5.7 it moves the pointer.
#[derive(Default)]
pub(super) struct Kept(Mutex<Vec<(u64, KeepAlive)>>);

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Vec<(u64, KeepAlive)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an owner. Each owner is kept once.
    fn add(&self, number: u64, owner: &KeepAlive) {
        let mut kept = self.lock();
        match kept.iter_mut().find(|(_, known)| known.is_same(owner)) {
            Some((known, _)) => *known = number,
            None => kept.push((number, owner.clone())),
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        std::mem::take(&mut *self.lock()).into_iter().for_each(|(_, owner)| discard(owner));
    }
}

/// A handle of the runtime, and its last record.
pub(crate) struct EventState {
    pub(super) raw: RawEvent<Hip>,
    device: u32,
    /// Set if the handle goes to the pool, unless a capture has it.
    is_pooled: bool,
    pub(crate) last: Option<Record>,
    /// Set if the handle outlives this state: the event has it, because it is fixed, or the next state.
    kept: OnceLock<Arc<Kept>>,
}

impl EventState {
    #[inline]
    pub(super) fn new(
        raw: RawEvent<Hip>,
        device: u32,
        is_pooled: bool,
        last: Option<Record>,
    ) -> Self {
        EventState { raw, device, is_pooled, last, kept: OnceLock::new() }
    }

    /// Makes the handle outlive this state. Returns the list of owners that goes with the handle.
    pub(super) fn release_handle(&self) -> &Arc<Kept> {
        self.kept.get_or_init(Arc::default)
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

    /// Returns `true` if the last record was made by this stream.
    ///
    /// Comparing handles is enough: the record keeps its stream alive, so the handle was not reused.
    #[inline]
    pub(crate) fn is_record_of(&self, stream: RawStream<Hip>, owner: &KeepAlive) -> bool {
        self.last.as_ref().is_some_and(|last| last.stream == stream && last.owner.is_same(owner))
    }

    /// Takes the owners out of a state that no call uses.
    pub(super) fn take_owners(&mut self) -> impl Iterator<Item = KeepAlive> + use<> {
        let last = self.last.as_mut().map(|last| std::mem::take(&mut last.owner));
        let kept = self.kept.get_mut().and_then(Arc::get_mut);
        let kept = kept.map(|kept| std::mem::take(&mut *kept.lock()));
        last.into_iter().chain(kept.into_iter().flatten().map(|(_, owner)| owner))
    }

    /// Removes the record, so that the handle can be recorded for another use. Returns `false` if it cannot: a capture
    /// or another owner has the handle. `owner` is kept elsewhere, and can be dropped here.
    #[inline]
    pub(super) fn reset(&mut self, owner: &KeepAlive) -> bool {
        if self.is_captured() || self.kept.get().is_some() {
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
        self.take_owners().for_each(discard);
        // At the end of the process there is no runtime any more, and the event leaks.
        if self.kept.get().is_none()
            && let Some(driver) = loaded()
        {
            let is_captured = self.is_captured();
            if !is_captured && self.is_pooled {
                pool::give(driver, self.device, self.raw);
            } else if !(is_captured && driver.quirks.captures_keep_destroyed) {
                pool::destroy_soon(driver, self.raw);
            }
        }
    }
}

/// A handle that is known outside of this crate. Each record is made in place.
pub(super) struct Fixed {
    /// Also has the owner of the last record.
    kept: Arc<Kept>,
    /// Set if a capture has, or may have, a pointer to the handle.
    pub(super) is_in_capture: bool,
    /// Set if a capture other than that of the last record may write to the handle when it ends. The handle is
    /// never destroyed then.
    pub(super) is_leaked: bool,
}

/// The state before a record, and the owners that the record has replaced. To be dropped without the lock.
#[must_use]
pub(super) struct Replaced {
    pub(super) state: Arc<EventState>,
    owners: Vec<(u64, KeepAlive)>,
}

impl Replaced {
    /// Drops the owners, and returns the state.
    #[inline]
    pub(super) fn into_state(self) -> Arc<EventState> {
        self.owners.into_iter().for_each(|(_, owner)| discard(owner));
        self.state
    }
}

/// The part of an event behind its lock. The lock is never held across a call of the runtime or user code.
pub(super) struct EventInner {
    pub(super) now: Arc<EventState>,
    /// A state without a record, for the next one.
    pub(super) spare: Option<Arc<EventState>>,
    /// Set once the handle is known outside of this crate.
    pub(super) fixed: Option<Fixed>,
    /// The owner of the stream on which the first record failed.
    failed: Option<KeepAlive>,
    /// The number of records that were stored, failed ones included.
    pub(super) stored: u64,
}

impl EventInner {
    #[inline]
    pub(super) fn new(now: EventState) -> Self {
        EventInner { now: Arc::new(now), spare: None, fixed: None, failed: None, stored: 0 }
    }

    /// Makes all later records in place.
    pub(super) fn fix(&mut self) {
        if self.fixed.is_none() {
            let kept = Arc::clone(self.now.release_handle());
            let last = self.now.last.as_ref().map(|last| &last.owner);
            last.into_iter().chain(&self.failed).for_each(|owner| kept.add(self.stored, owner));
            let is_in_capture = self.now.is_captured();
            self.fixed = Some(Fixed { kept, is_in_capture, is_leaked: false });
        }
    }

    /// Returns the state if its handle was never recorded and no call uses it. During its first record the event
    /// counts as unrecorded, and a query makes no call of the runtime.
    #[inline]
    pub(super) fn unrecorded(&mut self) -> Option<Arc<EventState>> {
        let is_fresh = self.now.last.is_none() && Arc::strong_count(&self.now) == 1;
        is_fresh.then(|| Arc::clone(&self.now))
    }

    /// Stores a record that began when `start` records were stored. No other thread has `state`.
    ///
    /// # Errors
    /// The given state, if the current handle is fixed and is another.
    #[inline]
    pub(super) fn store(
        &mut self,
        state: Arc<EventState>,
        start: u64,
    ) -> Result<Replaced, Arc<EventState>> {
        if self.fixed.is_some() && state.raw != self.now.raw {
            return Err(state);
        }
        self.stored += 1;
        let old = std::mem::replace(&mut self.now, state);
        let mut owners = match &mut self.fixed {
            Some(fixed) => fixed.replace(&self.now, &old, start, self.stored),
            None => Vec::new(),
        };
        owners.extend(self.failed.take().map(|owner| (self.stored, owner)));
        Ok(Replaced { state: old, owners })
    }

    /// Keeps the owner of a stream on which a record of the current handle has failed. Returns an owner to be dropped
    /// without the lock.
    #[cold]
    pub(super) fn store_failure(&mut self, owner: &KeepAlive) -> Option<KeepAlive> {
        self.stored += 1;
        match &self.fixed {
            Some(fixed) => fixed.kept.add(self.stored, owner),
            None => return self.failed.replace(owner.clone()),
        }
        None
    }
}

impl Fixed {
    /// Keeps the owner of the record `now`, which has replaced `old`. Returns the owners that are no longer needed.
    #[cold]
    fn replace(
        &mut self,
        now: &EventState,
        old: &Arc<EventState>,
        start: u64,
        number: u64,
    ) -> Vec<(u64, KeepAlive)> {
        let is_overlapped = number - 1 > start;
        self.is_in_capture |= now.is_captured();
        // If records overlapped, the one in a capture may have been the first for the runtime.
        self.is_leaked |= old.is_captured() || is_overlapped && self.is_in_capture;
        // One reference is that of the event, and one that of `old`.
        let is_in_use = Arc::strong_count(old) > 1 || Arc::strong_count(&self.kept) > 2;
        let _ = now.kept.set(Arc::clone(&self.kept));
        let mut replaced = Vec::new();
        if !is_in_use {
            let mut kept = self.kept.lock();
            let all = std::mem::take(&mut *kept);
            (replaced, *kept) = all.into_iter().partition(|(number, _)| *number <= start);
        }
        if let Some(last) = &now.last {
            self.kept.add(number, &last.owner);
        }
        replaced
    }
}

#[cfg(test)]
mod tests;
