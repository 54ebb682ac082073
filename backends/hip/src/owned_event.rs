//! One event of the runtime, and what keeps the stream of its record alive: [`OwnedEvent`], [`Stand`].
//!
//! A HIP event has a bare pointer to the stream that it was recorded on, and a wait, a query or a
//! synchronize may follow it. Recording and destroying do not. So whoever gives an event to the
//! runtime holds what keeps that stream alive, for as long as the call takes.
//!
//! No lock is held across such a call, since a record or a wait blocks inside the runtime while the
//! stream's queue is full.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use gpu_stream_core::{EventOptions, KeepAlive, RawEvent, RawStream};
use gpu_stream_driver_common::deferred::drop_quietly;

use crate::call::{discard, may_destroy};
use crate::driver::capture::{CaptureId, CaptureModeGuard};
use crate::driver::symbols::Ptr;
use crate::driver::{Driver, loaded};
use crate::host_func::{DEFERRED, is_inside};
use crate::thread_exit::{FinalStatus, Hold, Rundown, with_guards};
use crate::{Hip, HipError, event};

/// What keeps a stream alive.
#[derive(Clone, Debug)]
pub(crate) enum StreamKeepAlive {
    /// Its owner, or, if that is nothing, a promise or the device.
    Owner(KeepAlive),
    /// The thread whose default stream it is, which cannot be kept, but visited.
    PerThread(Arc<Rundown>),
}

impl StreamKeepAlive {
    /// Returns `true` if both keep the same, so that one does for the other.
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

    /// Returns the life of the thread whose default stream it is, if it is one.
    fn current_rundown(&self) -> Option<&Rundown> {
        match self {
            StreamKeepAlive::Owner(_) => None,
            StreamKeepAlive::PerThread(life) => Some(life),
        }
    }

    /// Returns `true` if this is a share in an owner, whose drop may run code of a user.
    #[inline]
    pub(crate) fn is_owner(&self) -> bool {
        matches!(self, StreamKeepAlive::Owner(owner) if owner.is_owned())
    }
}

/// The capture that a record was made in.
#[derive(Clone, Debug)]
pub(crate) struct CapturedRecord {
    /// `None` if the runtime did not say.
    pub(crate) id: Option<CaptureId>,
    /// The nodes of the graph that the record stands for, where waits are made of them.
    pub(crate) nodes: Arc<[usize]>,
}

/// The last record of an event.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) stream: RawStream<Hip>,
    pub(crate) keeper: StreamKeepAlive,
    /// Set if it was made in a capture.
    pub(crate) captured: Option<CapturedRecord>,
}

/// The handle is recorded in place, since others know it.
const FIXED: u8 = 1;
/// Others may record it.
const GIVEN: u8 = 2;
/// A capture has, or may have, a pointer to it.
const CAPTURED: u8 = 4;
/// That capture is not the one of the last record. It is not destroyed then, since the capture writes
/// to it when it ends.
const LEFT: u8 = 8;

/// An event of the runtime: destroyed when this is dropped.
#[derive(Debug)]
pub(crate) struct OwnedEvent {
    pub(crate) raw: RawEvent<Hip>,
    device: u32,
    /// Whether it may go to the pool.
    poolable: bool,
    state: AtomicU8,
    /// Set if another library made the event: what keeps it alive.
    foreign: Option<KeepAlive>,
}

impl OwnedEvent {
    #[inline]
    pub(crate) fn new(raw: RawEvent<Hip>, device: u32, poolable: bool) -> Self {
        OwnedEvent { raw, device, poolable, state: AtomicU8::new(0), foreign: None }
    }

    /// Wraps an event of another library, which is never destroyed here.
    pub(crate) fn foreign(raw: RawEvent<Hip>, device: u32, owner: KeepAlive) -> Self {
        let state = AtomicU8::new(FIXED | GIVEN);
        OwnedEvent { raw, device, poolable: false, state, foreign: Some(owner) }
    }

    #[inline]
    fn has(&self, bits: u8) -> bool {
        self.state.load(Ordering::Relaxed) & bits != 0
    }

    fn set(&self, bits: u8) {
        self.state.fetch_or(bits, Ordering::Relaxed);
    }

    /// From here on records are made in place.
    pub(crate) fn fix(&self) {
        self.set(FIXED);
    }

    /// From here on others may record it.
    pub(crate) fn give_out(&self) {
        if !self.has(GIVEN) {
            self.set(FIXED | GIVEN);
        }
    }

    #[inline]
    pub(crate) fn is_fixed(&self) -> bool {
        self.has(FIXED)
    }

    #[inline]
    pub(crate) fn is_escaped(&self) -> bool {
        self.has(GIVEN)
    }

    /// A capture has a pointer to it, and may write to it when it ends.
    #[cold]
    pub(crate) fn mark_captured(&self) {
        self.set(CAPTURED);
    }

    /// It is recorded elsewhere while a capture has a pointer to it.
    #[cold]
    pub(crate) fn leaked_to_capture(&self) {
        self.set(CAPTURED | LEFT);
    }

    /// Returns `true` if a capture may write to it that is not the one of the last record.
    #[cfg(test)]
    pub(crate) fn is_left_to_a_capture(&self) -> bool {
        self.has(LEFT)
    }

    /// Returns `true` if no capture has had a pointer to it.
    pub(crate) fn is_free_of_captures(&self) -> bool {
        !self.has(CAPTURED)
    }

    /// Returns `true` if it can be recorded for another use: nothing else has a pointer to it.
    pub(crate) fn is_reusable(&self) -> bool {
        !self.has(FIXED | CAPTURED)
    }
}

impl Drop for OwnedEvent {
    #[inline]
    fn drop(&mut self) {
        if let Some(owner) = self.foreign.take() {
            if owner.is_owned() {
                discard(owner);
            }
            return;
        }
        // It exists only if the runtime does; at the end of the process it leaks.
        let Some(driver) = loaded() else { return };
        if self.has(LEFT) || self.has(CAPTURED) && driver.quirks.captures_keep_destroyed {
            return;
        }
        destroy_soon(driver, self.raw);
    }
}

/// A share in an event of the runtime. The last one gives it to the pool, if it may go there.
#[derive(Clone, Debug)]
pub(crate) struct EventRef(ManuallyDrop<Arc<OwnedEvent>>);

impl EventRef {
    #[inline]
    pub(crate) fn new(handle: OwnedEvent) -> Self {
        EventRef(ManuallyDrop::new(Arc::new(handle)))
    }

    /// Takes one for a record, which must follow before anything else is asked of it: from the pool,
    /// or made.
    #[inline]
    pub(crate) fn for_record(
        driver: &'static Driver,
        device: u32,
        options: EventOptions,
        operation: &'static str,
    ) -> Result<Self, HipError> {
        let poolable = options == EventOptions::new();
        let entry = driver.device_state(device).filter(|_| poolable);
        if let Some(event) = entry.and_then(|entry| entry.events.take()) {
            return Ok(event);
        }
        let raw = event::create(driver, device, options, operation)?;
        Ok(EventRef::new(OwnedEvent::new(raw, device, poolable)))
    }

    /// Returns `true` if this is the only share.
    #[inline]
    pub(crate) fn is_only(&mut self) -> bool {
        Arc::get_mut(&mut self.0).is_some()
    }

    #[inline]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns the share as a number that is not 0, for [`from_bits`](Self::from_bits).
    #[inline]
    pub(crate) fn into_bits(self) -> usize {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped and not used any more.
        Arc::into_raw(unsafe { ManuallyDrop::take(&mut this.0) }).expose_provenance()
    }

    /// Returns the share that the number stands for.
    ///
    /// # Safety
    /// The number is of [`into_bits`](Self::into_bits), and is used once.
    #[inline]
    pub(crate) unsafe fn from_bits(bits: usize) -> Self {
        // SAFETY: it is of `Arc::into_raw`, and used once, as the caller promises.
        EventRef(ManuallyDrop::new(unsafe {
            Arc::from_raw(std::ptr::with_exposed_provenance(bits))
        }))
    }
}

impl std::ops::Deref for EventRef {
    type Target = OwnedEvent;

    #[inline]
    fn deref(&self) -> &OwnedEvent {
        &self.0
    }
}

impl Drop for EventRef {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the field is not used any more.
        let mut handle = unsafe { ManuallyDrop::take(&mut self.0) };
        // A pooled event is recorded anew before it is asked or waited for, and until then the
        // pointer that it has to its old stream is not followed.
        if Arc::get_mut(&mut handle).is_some_and(|handle| handle.poolable && handle.is_reusable())
            && let Some(driver) = loaded()
            && let Some(events) = driver.events(handle.device)
        {
            let unused = events.give(EventRef(ManuallyDrop::new(handle)));
            if let Err(mut unused) = unused.map_err(ManuallyDrop::new) {
                // SAFETY: `unused` is not dropped and not used any more.
                drop(unsafe { ManuallyDrop::take(&mut unused.0) });
            }
        }
    }
}

/// Destroys an event now, or at the end of the next public call of a thread that may.
pub(crate) fn destroy_soon(driver: &'static Driver, raw: RawEvent<Hip>) {
    if may_destroy() {
        destroy(driver, raw.as_ptr());
    } else {
        DEFERRED.push(move || destroy(driver, raw.as_ptr()));
    }
}

fn destroy(driver: &'static Driver, event: Ptr) {
    // The process may have come to its end since.
    if loaded().is_none() {
        return;
    }
    // Without it a capture may break; without destroying, the event leaks.
    let _relaxed = CaptureModeGuard::enter(driver, "HipEvent::drop").ok();
    // SAFETY: the event is ours, and this is its last use. A failure can be told to no caller.
    driver.discard(unsafe { (driver.symbols.event_destroy)(event) });
}

/// A stream that the runtime's event may point to, although its record is not the last one.
#[derive(Clone, Debug)]
pub(crate) struct Doubt {
    pub(crate) keeper: StreamKeepAlive,
    /// The number of its record among all of the event.
    pub(crate) number: u64,
}

/// What an event stands for: an event of the runtime, its last record, and other streams that the
/// runtime's pointer may lead to. There are others after records that overlapped, whose order only
/// the runtime knows, and after one that failed (up to 5.7 it moves the pointer).
#[derive(Clone, Debug)]
pub(crate) struct Stand {
    pub(crate) handle: EventRef,
    pub(crate) last: Option<Record>,
    pub(crate) possibly_referenced: Vec<Doubt>,
}

impl Stand {
    #[inline]
    pub(crate) fn new(handle: OwnedEvent, last: Option<Record>) -> Self {
        Stand { handle: EventRef::new(handle), last, possibly_referenced: Vec::new() }
    }

    /// The runtime's handle.
    #[inline]
    pub(crate) fn raw(&self) -> Ptr {
        self.handle.raw.as_ptr()
    }

    /// Returns `true` if nothing was recorded, by us or by others that may have the handle.
    #[inline]
    pub(crate) fn is_unrecorded(&self) -> bool {
        self.last.is_none() && self.possibly_referenced.is_empty() && !self.handle.is_escaped()
    }

    /// Returns `true` if the runtime may be asked on the fast path: the last record was made outside
    /// of captures, if there was one, and what the event points to is kept.
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

    /// Calls `call` while whatever stream the runtime's event points to is alive. If that was the
    /// default stream of a thread that has ended, returns how its work ended; the runtime must not be
    /// asked then. If it may have been, but is not that of the last record, how the record's work
    /// ended cannot be told.
    #[inline]
    pub(crate) fn with_guards<T>(&self, call: impl FnOnce() -> T) -> Result<T, FinalStatus> {
        if self.can_query_directly() {
            return Ok(call());
        }
        let visit_doubt = || {
            let mut lives = self
                .possibly_referenced
                .iter()
                .filter_map(|possibly_referenced| possibly_referenced.keeper.current_rundown());
            with_guards(&mut lives, call).map_err(|end| {
                let is_recorded = self.last.is_some() || self.handle.is_escaped();
                if is_recorded { FinalStatus::Unknown } else { end }
            })
        };
        with_guards(
            &mut self.last.iter().filter_map(|last| last.keeper.current_rundown()),
            visit_doubt,
        )
        .flatten()
    }

    /// Drops what keeps streams, which may run code of a user.
    #[inline]
    pub(crate) fn discard_keepers(&mut self) {
        if let Some(last) = self.last.take() {
            discard_keeper(last.keeper);
        }
        for possibly_referenced in self.possibly_referenced.drain(..) {
            discard_keeper(possibly_referenced.keeper);
        }
    }
}

/// Drops a keeper, which may run code of a user.
#[inline]
pub(crate) fn discard_keeper(keeper: StreamKeepAlive) {
    if keeper.is_owner() {
        discard(keeper);
    }
}

/// Drops a keeper at the end of a call, where nothing is held.
#[inline]
pub(crate) fn discard_keeper_now(keeper: StreamKeepAlive) {
    if keeper.is_owner() {
        if is_inside() { discard(keeper) } else { drop_quietly(keeper) }
    }
}

/// What a record in place has replaced while other calls had the event: a stream that they may follow
/// a pointer to. Dropped with nothing held when the last of them is over.
#[derive(Debug)]
pub(crate) enum DeferredDrop {
    StreamKeepAlive(StreamKeepAlive),
    /// The new record's, since those calls began before it and do not visit it themselves.
    #[allow(dead_code, reason = "it is there to be dropped")]
    RundownGuard(Hold),
}

impl DeferredDrop {
    pub(crate) fn discard(self) {
        match self {
            DeferredDrop::StreamKeepAlive(keeper) => discard_keeper(keeper),
            DeferredDrop::RundownGuard(hold) => drop(hold),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stand(last: Option<Record>) -> Stand {
        Stand::new(OwnedEvent::new(RawEvent::from_bits(8), 0, false), last)
    }

    #[test]
    fn a_failed_record_makes_an_event_not_plain_and_its_keepers_are_dropped_once() {
        let counted = Arc::new(());
        let keeper = || StreamKeepAlive::Owner(KeepAlive::owner(Arc::clone(&counted)));
        let stream = RawStream::from_bits(16);
        let mut stand = stand(Some(Record { stream, keeper: keeper(), captured: None }));
        assert!(stand.can_query_directly() && !stand.is_unrecorded());
        stand.possibly_referenced.push(Doubt { keeper: keeper(), number: 1 });
        assert!(!stand.can_query_directly() && stand.with_guards(|| ()).is_ok());
        assert_eq!(Arc::strong_count(&counted), 3);
        stand.discard_keepers();
        assert_eq!(Arc::strong_count(&counted), 1);
    }

    #[test]
    fn what_others_or_a_capture_have_is_not_reused() {
        let plain = stand(None);
        assert!(plain.is_unrecorded() && plain.handle.is_reusable());
        plain.handle.fix();
        assert!(plain.is_unrecorded() && !plain.handle.is_reusable());
        plain.handle.give_out();
        assert!(!plain.is_unrecorded());
        let captured = stand(None);
        captured.handle.mark_captured();
        assert!(!captured.handle.is_reusable());
    }
}
