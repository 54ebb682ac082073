//! Claims of the protocol as guards: each is released on drop, also if a function of the driver
//! panics.

use std::panic::{AssertUnwindSafe, catch_unwind};

#[cfg(test)]
use super::Broken;
use super::{DECLINED, EventOps, READY, RecordCoalescer, bits};
use crate::sync::Ordering;

/// An event that one call has taken. Gives it back on drop.
pub(super) struct OwnEvent<'c, C: EventOps> {
    calls: &'c C,
    event: usize,
}

impl<'c, C: EventOps> OwnEvent<'c, C> {
    pub(super) fn take(calls: &'c C) -> Result<Self, C::Error> {
        Ok(OwnEvent { calls, event: calls.take()? })
    }

    pub(super) fn record(&self) -> Result<(), C::Error> {
        self.calls.record(self.event)
    }

    pub(super) fn wait(&self) -> Result<(), C::Error> {
        self.calls.wait(self.event)
    }
}

impl<C: EventOps> Drop for OwnEvent<'_, C> {
    fn drop(&mut self) {
        give(self.calls, self.event);
    }
}

/// Seats that a leader has claimed, a bit for each. Refuses them on drop, unless they were served.
pub(super) struct Claimed<'s> {
    coalescer: &'s RecordCoalescer,
    seats: usize,
}

impl<'s> Claimed<'s> {
    pub(super) fn new(coalescer: &'s RecordCoalescer, seats: usize) -> Self {
        Claimed { coalescer, seats }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seats == 0
    }

    /// Reserves a free round, with one user for each claimed seat and one for the leader.
    pub(super) fn reserve_round(&self) -> Option<ReservedRound<'s>> {
        let (coalescer, users) = (self.coalescer, self.seats.count_ones() as usize + 1);
        let free = |round: &super::SharedRecord| {
            round.remaining.load(Ordering::Relaxed) == 0
                && round
                    .remaining
                    .compare_exchange(0, users, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
        };
        let index = coalescer.rounds.iter().position(free)?;
        Some(ReservedRound { coalescer, index })
    }

    /// Hands the recorded `event` to all claimed seats. Returns the leader's own use of it.
    pub(super) fn publish<'c, C: EventOps>(
        mut self,
        round: ReservedRound<'s>,
        event: OwnEvent<'c, C>,
    ) -> SharedRecordUser<'c, C>
    where
        's: 'c,
    {
        let (coalescer, index) = (self.coalescer, round.index);
        let (calls, handle) = (event.calls, event.event);
        // From here on the users of the round own both. Nothing below panics.
        std::mem::forget((round, event));
        coalescer.rounds[index].event.store(handle, Ordering::Relaxed);
        for seat in bits(std::mem::take(&mut self.seats)) {
            let seat = &coalescer.seats[seat];
            seat.round.store(index, Ordering::Relaxed);
            seat.set(READY);
        }
        SharedRecordUser::new(coalescer, index, handle, calls)
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        bits(self.seats).for_each(|index| self.coalescer.seats[index].set(DECLINED));
    }
}

/// A round without a record yet. Frees it on drop.
pub(super) struct ReservedRound<'s> {
    coalescer: &'s RecordCoalescer,
    index: usize,
}

impl Drop for ReservedRound<'_> {
    fn drop(&mut self) {
        self.coalescer.rounds[self.index].remaining.store(0, Ordering::Release);
    }
}

/// One use of a round's record. The last use that is dropped gives the event back.
pub(super) struct SharedRecordUser<'c, C: EventOps> {
    coalescer: &'c RecordCoalescer,
    round: usize,
    event: usize,
    calls: &'c C,
}

impl<'c, C: EventOps> SharedRecordUser<'c, C> {
    pub(super) fn new(
        coalescer: &'c RecordCoalescer,
        round: usize,
        event: usize,
        calls: &'c C,
    ) -> Self {
        SharedRecordUser { coalescer, round, event, calls }
    }

    pub(super) fn wait(&self) -> Result<(), C::Error> {
        self.calls.wait(self.event)
    }
}

impl<C: EventOps> Drop for SharedRecordUser<'_, C> {
    fn drop(&mut self) {
        // Release and Acquire: all have waited before the event is given back.
        let users = self.coalescer.rounds[self.round].remaining.fetch_sub(1, Ordering::AcqRel);
        #[cfg(test)]
        let users = if self.coalescer.is_broken(Broken::GivesBackTooEarly) { 1 } else { users };
        if users == 1 {
            give(self.calls, self.event);
        }
    }
}

/// Gives `event` back. During an unwind a second panic is caught: it would end the process.
fn give<C: EventOps>(calls: &C, event: usize) {
    if !std::thread::panicking() {
        return calls.give(event);
    }
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| calls.give(event))) {
        // The payload is a value of the caller's: its destructor may panic, too.
        std::mem::forget(payload);
    }
}
