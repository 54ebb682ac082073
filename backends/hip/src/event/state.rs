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

    /// Removes the owners of the records up to this number.
    fn remove_up_to(&self, last: u64) -> Vec<(u64, KeepAlive)> {
        let mut kept = self.lock();
        let (removed, later) =
            std::mem::take(&mut *kept).into_iter().partition(|(n, _)| *n <= last);
        *kept = later;
        removed
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
    /// Set once the handle is fixed. The event has it then, and not the state.
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

    /// Returns the runtime's handle.
    #[inline]
    pub(crate) fn raw(&self) -> Ptr {
        self.raw.as_ptr()
    }

    /// Returns `true` if another library may record the event.
    #[inline]
    pub(crate) fn is_fixed(&self) -> bool {
        self.kept.get().is_some()
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
        self.take_owners().for_each(discard);
        // At the end of the process there is no runtime any more, and the event leaks.
        if !self.is_fixed()
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
            let kept = Arc::<Kept>::default();
            if let Some(last) = &self.now.last {
                kept.add(self.stored, &last.owner);
            }
            let _ = self.now.kept.set(Arc::clone(&kept));
            let is_in_capture = self.now.is_captured();
            self.fixed = Some(Fixed { kept, is_in_capture, is_leaked: false });
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

    /// Stores a record in place that began when `start` records were stored. Returns the state before, and the owners
    /// that are no longer needed, to be dropped without the lock.
    #[cold]
    pub(super) fn store_in_place(
        &mut self,
        record: Record,
        start: u64,
    ) -> (Arc<EventState>, Vec<(u64, KeepAlive)>) {
        let fixed = self.fixed.as_mut().expect("the handle is fixed");
        let (owner, is_captured) = (record.owner.clone(), record.captured.is_some());
        let state = EventState::new(self.now.raw, self.now.device, false, Some(record));
        let _ = state.kept.set(Arc::clone(&fixed.kept));
        let old = std::mem::replace(&mut self.now, Arc::new(state));
        let is_overlapped = self.stored > start;
        self.stored += 1;
        fixed.is_in_capture |= is_captured;
        // If records overlapped, the one in a capture may have been the first for the runtime.
        fixed.is_leaked |= old.is_captured() || is_overlapped && fixed.is_in_capture;
        // The other references to the list are those of the event, `old` and the new state.
        let is_in_use = Arc::strong_count(&old) > 1 || Arc::strong_count(&fixed.kept) > 3;
        let replaced = if is_in_use { Vec::new() } else { fixed.kept.remove_up_to(start) };
        fixed.kept.add(self.stored, &owner);
        (old, replaced)
    }

    /// Keeps the owner of a stream on which a record in place has failed.
    #[cold]
    pub(super) fn store_failure(&mut self, owner: &KeepAlive) {
        self.stored += 1;
        if let Some(fixed) = &self.fixed {
            fixed.kept.add(self.stored, owner);
        }
    }
}

#[cfg(test)]
mod tests;
