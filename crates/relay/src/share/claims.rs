//! Claims of the protocol as guards: each is released on drop, also if a function of the driver
//! panics.

use std::panic::{AssertUnwindSafe, catch_unwind};

#[cfg(test)]
use super::Broken;
use super::{Calls, REFUSED, SERVED, Sources, bits};
use crate::sync::Ordering;

/// An event that one call has taken. Gives it back on drop.
pub(super) struct OwnEvent<'c, C: Calls> {
    calls: &'c C,
    event: usize,
}

impl<'c, C: Calls> OwnEvent<'c, C> {
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

impl<C: Calls> Drop for OwnEvent<'_, C> {
    fn drop(&mut self) {
        give(self.calls, self.event);
    }
}

/// Seats that a leader has claimed, a bit for each. Refuses them on drop, unless they were served.
pub(super) struct Claimed<'s> {
    sources: &'s Sources,
    seats: usize,
}

impl<'s> Claimed<'s> {
    pub(super) fn new(sources: &'s Sources, seats: usize) -> Self {
        Claimed { sources, seats }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seats == 0
    }

    /// Reserves a free round, with one user for each claimed seat and one for the leader.
    pub(super) fn reserve_round(&self) -> Option<ReservedRound<'s>> {
        let (sources, users) = (self.sources, self.seats.count_ones() as usize + 1);
        let free = |round: &super::Round| {
            round.users.load(Ordering::Relaxed) == 0
                && round
                    .users
                    .compare_exchange(0, users, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
        };
        let index = sources.rounds.iter().position(free)?;
        Some(ReservedRound { sources, index })
    }

    /// Hands the recorded `event` to all claimed seats. Returns the leader's own use of it.
    pub(super) fn serve<'c, C: Calls>(
        mut self,
        round: ReservedRound<'s>,
        event: OwnEvent<'c, C>,
    ) -> RoundUser<'c, C>
    where
        's: 'c,
    {
        let (sources, index) = (self.sources, round.index);
        let (calls, handle) = (event.calls, event.event);
        // From here on the users of the round own both. Nothing below panics.
        std::mem::forget((round, event));
        sources.rounds[index].event.store(handle, Ordering::Relaxed);
        for seat in bits(std::mem::take(&mut self.seats)) {
            let seat = &sources.seats[seat];
            seat.round.store(index, Ordering::Relaxed);
            seat.set(SERVED);
        }
        RoundUser::new(sources, index, handle, calls)
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        bits(self.seats).for_each(|index| self.sources.seats[index].set(REFUSED));
    }
}

/// A round without a record yet. Frees it on drop.
pub(super) struct ReservedRound<'s> {
    sources: &'s Sources,
    index: usize,
}

impl Drop for ReservedRound<'_> {
    fn drop(&mut self) {
        self.sources.rounds[self.index].users.store(0, Ordering::Release);
    }
}

/// One use of a round's record. The last use that is dropped gives the event back.
pub(super) struct RoundUser<'c, C: Calls> {
    sources: &'c Sources,
    round: usize,
    event: usize,
    calls: &'c C,
}

impl<'c, C: Calls> RoundUser<'c, C> {
    pub(super) fn new(sources: &'c Sources, round: usize, event: usize, calls: &'c C) -> Self {
        RoundUser { sources, round, event, calls }
    }

    pub(super) fn wait(&self) -> Result<(), C::Error> {
        self.calls.wait(self.event)
    }
}

impl<C: Calls> Drop for RoundUser<'_, C> {
    fn drop(&mut self) {
        // Release and Acquire: all have waited before the event is given back.
        let users = self.sources.rounds[self.round].users.fetch_sub(1, Ordering::AcqRel);
        #[cfg(test)]
        let users = if self.sources.is_broken(Broken::GivesBackTooEarly) { 1 } else { users };
        if users == 1 {
            give(self.calls, self.event);
        }
    }
}

/// Gives `event` back. During an unwind a second panic is caught: it would end the process.
fn give<C: Calls>(calls: &C, event: usize) {
    if !std::thread::panicking() {
        return calls.give(event);
    }
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| calls.give(event))) {
        // The payload is a value of the caller's: its destructor may panic, too.
        std::mem::forget(payload);
    }
}
