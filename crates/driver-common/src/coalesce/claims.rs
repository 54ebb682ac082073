//! Claims of the protocol as guards. Each is released on drop, also if a function of the driver panics.

use std::panic::{AssertUnwindSafe, catch_unwind};

#[cfg(test)]
use super::Broken;
use super::state::{DECLINED, READY, SharedRecord, bits};
use super::{EventOps, RecordCoalescer};
use crate::sync::Ordering;

/// An event that one call has acquired. Releases it on drop.
pub(super) struct OwnEvent<'c, C: EventOps> {
    ops: &'c C,
    event: usize,
}

impl<'c, C: EventOps> OwnEvent<'c, C> {
    pub(super) fn acquire(ops: &'c C) -> Result<Self, C::Error> {
        Ok(OwnEvent { ops, event: ops.acquire()? })
    }

    pub(super) fn record(&self) -> Result<(), C::Error> {
        self.ops.record(self.event)
    }

    pub(super) fn wait(&self) -> Result<(), C::Error> {
        self.ops.wait(self.event)
    }
}

impl<C: EventOps> Drop for OwnEvent<'_, C> {
    fn drop(&mut self) {
        release(self.ops, self.event);
    }
}

/// The slots that a leader has claimed, one bit each. Declines them on drop, unless they were published.
pub(super) struct Claimed<'s> {
    coalescer: &'s RecordCoalescer,
    slots: usize,
}

impl<'s> Claimed<'s> {
    pub(super) fn new(coalescer: &'s RecordCoalescer, slots: usize) -> Self {
        Claimed { coalescer, slots }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots == 0
    }

    /// Reserves a free shared record, with one user for each claimed slot and one for the leader.
    pub(super) fn reserve_record(&self) -> Option<ReservedRecord<'s>> {
        let (coalescer, users) = (self.coalescer, self.slots.count_ones() as usize + 1);
        let free = |record: &SharedRecord| {
            record.remaining.load(Ordering::Relaxed) == 0
                && record
                    .remaining
                    .compare_exchange(0, users, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
        };
        let index = coalescer.shared.iter().position(free)?;
        Some(ReservedRecord { coalescer, index })
    }

    /// Hands the recorded `event` to all claimed slots. Returns the leader's own use of it.
    pub(super) fn publish<'c, C: EventOps>(
        mut self,
        reserved: ReservedRecord<'s>,
        event: OwnEvent<'c, C>,
    ) -> SharedRecordUser<'c, C>
    where
        's: 'c,
    {
        let (coalescer, index) = (self.coalescer, reserved.index);
        let (ops, handle) = (event.ops, event.event);
        // From here on the users of the record own both. Nothing below panics.
        std::mem::forget((reserved, event));
        coalescer.shared[index].event.store(handle, Ordering::Relaxed);
        for slot in bits(std::mem::take(&mut self.slots)) {
            let slot = &coalescer.slots[slot];
            slot.record.store(index, Ordering::Relaxed);
            slot.set(READY);
        }
        SharedRecordUser::new(coalescer, index, handle, ops)
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        bits(self.slots).for_each(|index| self.coalescer.slots[index].set(DECLINED));
    }
}

/// A shared record whose event is not recorded yet. Frees the entry on drop.
pub(super) struct ReservedRecord<'s> {
    coalescer: &'s RecordCoalescer,
    index: usize,
}

impl Drop for ReservedRecord<'_> {
    fn drop(&mut self) {
        self.coalescer.shared[self.index].remaining.store(0, Ordering::Release);
    }
}

/// One use of a shared record. The last use that is dropped releases the event.
pub(super) struct SharedRecordUser<'c, C: EventOps> {
    coalescer: &'c RecordCoalescer,
    record: usize,
    event: usize,
    ops: &'c C,
}

impl<'c, C: EventOps> SharedRecordUser<'c, C> {
    pub(super) fn new(
        coalescer: &'c RecordCoalescer,
        record: usize,
        event: usize,
        ops: &'c C,
    ) -> Self {
        SharedRecordUser { coalescer, record, event, ops }
    }

    pub(super) fn wait(&self) -> Result<(), C::Error> {
        self.ops.wait(self.event)
    }
}

impl<C: EventOps> Drop for SharedRecordUser<'_, C> {
    fn drop(&mut self) {
        // Release and Acquire: all users have waited before the event is released.
        let users = self.coalescer.shared[self.record].remaining.fetch_sub(1, Ordering::AcqRel);
        #[cfg(test)]
        let users = if self.coalescer.is_broken(Broken::ReleasesTooEarly) { 1 } else { users };
        if users == 1 {
            release(self.ops, self.event);
        }
    }
}

/// Releases `event`. Catches a second panic during an unwind, which would abort the process.
fn release<C: EventOps>(ops: &C, event: usize) {
    if !std::thread::panicking() {
        return ops.release(event);
    }
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| ops.release(event))) {
        // The payload is a value of the caller, and its destructor may panic, too.
        std::mem::forget(payload);
    }
}
