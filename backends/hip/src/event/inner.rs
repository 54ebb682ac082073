//! The locked part of an event, and how records change it: [`EventInner`].
//!
//! No lock is held across a record, so records in place (of a fixed handle) may overlap. The runtime then makes
//! them in one order, and they may be stored here in another. So records are numbered as they are stored, and each
//! knows how many were stored when it [began](EventInner::begin). Those are over, and it replaces them. For each
//! other record the event keeps the stream as a [`PossibleReference`].
//!
//! Possible references are few. Of two records that did not overlap, the later one replaces the earlier. What is
//! left are records that overlapped the last one, at most one of each thread, and records that failed since then,
//! one for each owner.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::ReplacedRecord;
use crate::event_state::{EventState, PossibleReference, Record};
use crate::keep_alive::{DeferredDrop, StreamKeepAlive};
use crate::owned_event::EventRef;

/// The state of an event behind its lock. The lock is never held across a call of the runtime or user code.
#[derive(Debug)]
pub(super) struct EventInner {
    pub(super) now: EventState,
    /// An event for the next record.
    pub(super) spare: Option<EventRef>,
    /// What records in place have replaced, kept while calls of the runtime use the handle.
    pub(super) retired: Vec<DeferredDrop>,
    /// The target that threads in `synchronize` share while they wait for the current record.
    pub(super) target: Option<Arc<WaitTarget>>,
    /// Targets that a record in place has detached, and that have no marker yet.
    detached: Vec<Arc<WaitTarget>>,
    /// The number of records that were stored, failed ones included.
    stored: u64,
    /// The number of the record in `now.last`.
    number: u64,
}

/// The record that threads in `synchronize` wait for. `None` while it is still the event's own. Set to a *marker*,
/// another event for the same record, before the handle is recorded again in place.
#[derive(Debug, Default)]
pub(super) struct WaitTarget(Mutex<Option<EventState>>);

impl WaitTarget {
    fn lock(&self) -> MutexGuard<'_, Option<EventState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the marker, if there is one.
    pub(super) fn marker(&self) -> Option<EventState> {
        self.lock().clone()
    }

    /// Stores the marker, unless there is one: a second marker may stand for a later record.
    pub(super) fn set_marker(&self, marker: &EventState) {
        self.lock().get_or_insert_with(|| marker.clone());
    }
}

impl Drop for WaitTarget {
    fn drop(&mut self) {
        if let Some(marker) = self.lock().as_mut() {
            marker.discard_keepers();
        }
    }
}

/// The number of records that were stored when a record began.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordStart(u64);

impl EventInner {
    #[inline]
    pub(super) fn of(now: EventState) -> Self {
        let (spare, target, retired, detached) = (None, None, Vec::new(), Vec::new());
        EventInner { now, spare, retired, target, detached, stored: 0, number: 0 }
    }

    /// Begins a record, before the runtime is called for it.
    #[inline]
    pub(super) fn begin(&self) -> RecordStart {
        RecordStart(self.stored)
    }

    #[inline]
    fn next_number(&mut self) -> u64 {
        self.stored += 1;
        self.stored
    }

    /// Takes the replaced values, if no call uses the handle any more.
    #[inline]
    pub(super) fn take_retired(&mut self) -> Vec<DeferredDrop> {
        if self.retired.is_empty() || !self.now.handle.is_only() {
            return Vec::new();
        }
        std::mem::take(&mut self.retired)
    }

    /// Detaches the targets that threads wait for, and returns those that have no marker. Threads that synchronize
    /// from now on get another target: the marker may be older than the record that they have to wait for.
    ///
    /// The event keeps them until [`markers_set`](Self::markers_set). So if a marker could not be created, the next
    /// record creates it. A record that begins meanwhile creates one as well.
    pub(super) fn detach_waiters(&mut self) -> Vec<Arc<WaitTarget>> {
        self.detached.extend(self.target.take());
        self.detached.retain(|target| Arc::strong_count(target) > 1);
        self.detached.clone()
    }

    /// Forgets these targets, which have a marker now.
    pub(super) fn markers_set(&mut self, targets: &[Arc<WaitTarget>]) {
        self.detached.retain(|target| !targets.iter().any(|done| Arc::ptr_eq(target, done)));
    }

    /// Returns the handle if it was never recorded and no call uses it. During its first record the event counts as
    /// unrecorded, and a query makes no call of the runtime.
    #[inline]
    pub(super) fn unrecorded(&mut self) -> Option<EventRef> {
        let is_new = self.now.is_unrecorded() && self.now.handle.is_only();
        is_new.then(|| self.now.handle.clone())
    }

    /// Keeps a handle whose record failed for the next record. Returns the handle that it displaces.
    #[cold]
    pub(super) fn record_failed(
        &mut self,
        handle: EventRef,
        keeper: &StreamKeepAlive,
    ) -> (Option<EventRef>, Vec<DeferredDrop>) {
        if handle.is_same(&self.now.handle) {
            // `now` has another reference.
            drop(handle);
            self.store_failure(keeper);
            return (None, self.take_retired());
        }
        (self.spare.replace(handle), Vec::new())
    }

    /// Replaces the current record.
    ///
    /// # Errors
    /// The new handle, if the current one is fixed and is another.
    #[inline]
    pub(super) fn replace(
        &mut self,
        handle: EventRef,
        start: RecordStart,
        last: Record,
    ) -> Result<ReplacedRecord, EventRef> {
        if self.now.handle.is_fixed() {
            if handle.is_same(&self.now.handle) {
                // The handle became fixed during the record.
                drop(handle);
                self.store_in_place(start, last);
                let retired = self.take_retired();
                return Ok(ReplacedRecord { retired, ..ReplacedRecord::default() });
            }
            return Err(handle);
        }
        // Threads in `synchronize` hold the handle that they wait for.
        self.target = None;
        self.number = self.next_number();
        // A reference to the same owner can be dropped here: it is not the last.
        let is_same = |old: &Record| old.keeper.is_same(&last.keeper);
        let old = self.now.last.take().filter(|old| !is_same(old));
        self.now.last = Some(last);
        let possibly_referenced = std::mem::take(&mut self.now.possibly_referenced);
        let mut replaced =
            ReplacedRecord { last: old, possibly_referenced, ..ReplacedRecord::default() };
        if handle.is_same(&self.now.handle) {
            // The first record of the event.
            drop(handle);
            return Ok(replaced);
        }
        let mut old = std::mem::replace(&mut self.now.handle, handle);
        if self.spare.is_none() && old.is_only() && old.is_reusable() {
            self.spare = Some(old);
        } else {
            replaced.handle = Some(old);
        }
        Ok(replaced)
    }

    /// Stores a record of a fixed handle. What it replaced is kept until no call uses the handle: such calls may
    /// follow the pointer to the earlier stream, or to the new one.
    #[cold]
    pub(super) fn store_in_place(&mut self, RecordStart(start): RecordStart, last: Record) {
        if last.captured.is_some() {
            self.now.handle.mark_captured();
        }
        self.guard_for_calls(&last.keeper);
        let number = self.next_number();
        let replaced_number = std::mem::replace(&mut self.number, number);
        let is_overlapped = replaced_number > start;
        // If records overlapped, the one in a capture may have been the first for the runtime.
        if self.now.is_captured() || is_overlapped && !self.now.handle.is_free_of_captures() {
            self.now.handle.mark_leaked_to_capture();
        }
        let possibly_referenced = std::mem::take(&mut self.now.possibly_referenced);
        let (over, open): (Vec<_>, Vec<_>) =
            possibly_referenced.into_iter().partition(|possible| possible.number <= start);
        self.now.possibly_referenced = open;
        over.into_iter().for_each(|possible| self.retire(possible.keeper));
        let is_alike = |old: &Record| old.stream == last.stream && old.keeper.is_same(&last.keeper);
        let old = self.now.last.replace(last.clone());
        match old {
            Some(old) if is_overlapped && !is_alike(&old) => {
                self.add_possible(old.keeper, replaced_number);
            }
            Some(old) => self.retire(old.keeper),
            None => {}
        }
    }

    /// Stores a failed record of the handle. Up to 5.7 it moves the runtime's pointer.
    #[cold]
    pub(super) fn store_failure(&mut self, keeper: &StreamKeepAlive) {
        self.guard_for_calls(keeper);
        let number = self.next_number();
        self.add_possible(keeper.clone(), number);
    }

    /// Takes a guard of a thread's default stream for the calls that use the handle: they began before the record,
    /// and took none. The thread's end waits for the guard.
    fn guard_for_calls(&mut self, keeper: &StreamKeepAlive) {
        if let StreamKeepAlive::PerThread(rundown) = keeper
            && !self.now.handle.is_only()
            && !self.retired.iter().any(|known| known.guards(rundown))
        {
            self.retired.extend(rundown.guard_owned().map(DeferredDrop::RundownGuard));
        }
    }

    /// Keeps a stream that the runtime's event may point to. Each owner is kept once.
    fn add_possible(&mut self, keeper: StreamKeepAlive, number: u64) {
        match self.now.possibly_referenced.iter_mut().find(|known| known.keeper.is_same(&keeper)) {
            Some(known) => known.number = known.number.max(number),
            None => self.now.possibly_referenced.push(PossibleReference { keeper, number }),
        }
    }

    /// Keeps the owner of a replaced record's stream until no call uses the handle.
    fn retire(&mut self, keeper: StreamKeepAlive) {
        let is_it = |known: &DeferredDrop| matches!(known, DeferredDrop::StreamKeepAlive(known) if known.is_same(&keeper));
        if keeper.is_owner() && !self.retired.iter().any(is_it) {
            self.retired.push(DeferredDrop::StreamKeepAlive(keeper));
        }
    }
}

#[cfg(all(test, not(gpu_stream_loom)))] // loom's locks work inside of a model alone
mod tests;
