//! Threads that wait for one stream at the same moment share one record of it: [`RecordCoalescer`].
//!
//! The driver takes records of one stream one after the other, and a record that is made *after* a
//! caller arrived stands for all that this caller means: what was submitted before it called. So
//! one of the callers, the *leader*, makes a record for all that have arrived by then; each then
//! waits for it on its own stream.
//!
//! - A leader holds its source: one exchange to take it, one store to let go. A caller that finds
//!   nobody there pays no more than that: it records, waits and leaves.
//! - A caller that finds the source held takes a *seat*, with a note of what it waits for. The next
//!   leader takes those that sit there, **before** it makes the record. Who comes later is not
//!   taken, and waits for the next one, or leads it.
//! - Nobody waits for a leader without end, nor for one that has another stream's record to make:
//!   such a caller makes a record of its own, as if it were alone.
//!
//! A claim (a source, a seat, a round, an event) is released when its guard is dropped. So a function
//! of [`EventOps`] that fails or panics leaves no other thread waiting. No waiter is claimed while
//! [`EventOps::take`] runs, which may create an event.
//!
//! The events are not seen by anybody else. One that was recorded in a capture is recorded anew
//! before it is waited for again.

mod claims;
#[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
mod failure_tests;
#[cfg(all(test, gpu_stream_loom))]
mod loom_tests;
#[cfg(all(test, gpu_stream_shuttle))]
mod shuttle_tests;
#[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
mod tests;

use self::claims::{Claimed, OwnEvent, SharedRecordUser};
use crate::sync::{AtomicUsize, Ordering, pause, thread_number};

/// How many sources can be told apart. Two that share a place get in each other's way no more than
/// that one of them makes its own record.
const BUCKETS: usize = if cfg!(any(gpu_stream_loom, gpu_stream_shuttle)) { 1 } else { 256 };

/// How many callers can sit at the same time; as many as there are bits in `asked`, at most.
const WAITER_SLOTS: usize = if cfg!(any(gpu_stream_loom, gpu_stream_shuttle)) { 2 } else { 32 };

/// See [`RecordCoalescer::spin_limit`].
const SPIN_LIMIT: u32 = if cfg!(any(gpu_stream_loom, gpu_stream_shuttle)) { 1 } else { 192 };

/// What a seat says, in its low bits. The others count who has sat on it, so that a leader that
/// looked a moment ago does not take the next one for the one that it saw.
const EMPTY: usize = 0;
const RESERVED: usize = 1;
/// Somebody sits, and waits to be taken.
const WAITING: usize = 2;
/// Taken: the record is being made.
const CLAIMED: usize = 3;
/// The record is made, and the seat names it.
const READY: usize = 4;
/// There is no record to share.
const DECLINED: usize = 5;
const STATE_MASK: usize = 7;

/// What the protocol needs of the driver, for one pair of streams. Events are handles, and not 0.
pub trait EventOps {
    /// What a call that failed answers.
    type Error;

    /// An event of the source's device or context.
    ///
    /// # Errors
    /// There is none to be had.
    fn take(&self) -> Result<usize, Self::Error>;

    /// It is no longer needed.
    fn give(&self, event: usize);

    /// Whether a record of the source may serve several: not while it is captured.
    fn can_coalesce(&self) -> bool;

    /// Records the event on the source.
    ///
    /// # Errors
    /// What the driver says; the event is then given back.
    fn record(&self, event: usize) -> Result<(), Self::Error>;

    /// Makes the caller's stream wait for the event's record.
    ///
    /// # Errors
    /// What the driver says.
    fn wait(&self, event: usize) -> Result<(), Self::Error>;
}

/// The streams of one device or context, as far as somebody waits for them at the moment. It keeps
/// an event for each of 256 places, which the streams' handles pick, and is to live as long as the
/// process: to drop it leaks those.
pub struct RecordCoalescer {
    coalescer: Box<[Bucket]>,
    seats: Box<[WaiterSlot]>,
    rounds: Box<[SharedRecord]>,
    /// For how many turns a caller sits before it makes its own record.
    spin_limit: u32,
    /// What the tests break, to see that they would notice.
    #[cfg(test)]
    broken: Option<Broken>,
    /// Locked by who leads, so that who was taken can wait for the lock and need not look again and
    /// again. For loom, which may let those who look run for ever and never the one they look at.
    #[cfg(all(test, gpu_stream_loom))]
    fair: Option<loom::sync::Mutex<()>>,
}

#[cfg(test)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Broken {
    /// The leader makes the record before it takes those that sit.
    RecordsTooEarly,
    /// The event is given back by the first who has waited.
    GivesBackTooEarly,
}

/// A stream that is waited for.
#[repr(align(128))]
#[derive(Default)]
struct Bucket {
    /// 1 while somebody leads.
    held: AtomicUsize,
    /// Whose place it is. Written by the holder.
    stream: AtomicUsize,
    /// The event for records that are not shared, or 0. The holder's.
    event: AtomicUsize,
    /// A bit for each seat on which somebody may sit who waits for this stream.
    pending: AtomicUsize,
}

#[repr(align(128))]
#[derive(Default)]
struct WaiterSlot {
    state: AtomicUsize,
    /// The stream that is waited for.
    stream: AtomicUsize,
    /// The round by which it was served.
    round: AtomicUsize,
}

/// A record that several wait for.
#[repr(align(128))]
#[derive(Default)]
struct SharedRecord {
    /// How many have not waited yet; 0 if the round is free.
    remaining: AtomicUsize,
    event: AtomicUsize,
}

impl Default for RecordCoalescer {
    fn default() -> Self {
        RecordCoalescer::new()
    }
}

impl RecordCoalescer {
    /// Nobody waits.
    pub fn new() -> Self {
        fn some<T: Default>(count: usize) -> Box<[T]> {
            std::iter::repeat_with(T::default).take(count).collect()
        }
        RecordCoalescer {
            coalescer: some(BUCKETS),
            seats: some(WAITER_SLOTS),
            rounds: some(WAITER_SLOTS),
            spin_limit: SPIN_LIMIT,
            #[cfg(test)]
            broken: None,
            #[cfg(all(test, gpu_stream_loom))]
            fair: None,
        }
    }

    #[cfg(test)]
    fn is_broken(&self, how: Broken) -> bool {
        self.broken == Some(how)
    }

    /// Makes the caller's stream wait for a record of `stream`, a handle, that is made during this
    /// call. The caller keeps both streams alive for as long as the call takes; so does each who
    /// shares the record, by its own call.
    ///
    /// # Errors
    /// The first one of `calls`.
    #[inline]
    pub fn wait_for<C: EventOps>(&self, stream: usize, calls: &C) -> Result<(), C::Error> {
        let source = self.bucket_of(stream);
        match source.try_lock() {
            Some(held) => self.combine(&held, stream, calls),
            None => self.wait_for_leader(source, stream, calls),
        }
    }

    #[inline]
    fn bucket_of(&self, stream: usize) -> &Bucket {
        // Handles are addresses: the low bits are all the same.
        let mixed = (stream >> 4).wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as usize);
        &self.coalescer[(mixed >> (usize::BITS / 2)) % BUCKETS]
    }

    #[inline]
    fn combine<C: EventOps>(
        &self,
        held: &BucketGuard,
        stream: usize,
        calls: &C,
    ) -> Result<(), C::Error> {
        let source = held.0;
        if source.stream.load(Ordering::Relaxed) != stream {
            source.stream.store(stream, Ordering::Relaxed);
        }
        if source.pending.load(Ordering::Relaxed) != 0 {
            return self.combine_slow(held, stream, calls);
        }
        record_uncontended(held, calls)
    }

    /// Leads whoever has sat down by now.
    #[cold]
    fn combine_slow<C: EventOps>(
        &self,
        held: &BucketGuard,
        stream: usize,
        calls: &C,
    ) -> Result<(), C::Error> {
        #[cfg(all(test, gpu_stream_loom))]
        let _served = self.fair.as_ref().map(|fair| fair.lock().expect("nobody panics"));
        let event = OwnEvent::take(calls)?;
        let can_coalesce = calls.can_coalesce();
        #[cfg(test)]
        let is_recorded = self.is_broken(Broken::RecordsTooEarly);
        #[cfg(not(test))]
        let is_recorded = false;
        if is_recorded {
            event.record()?;
        }
        let claimed = self.claim_waiters(held.0, stream);
        let round =
            if can_coalesce && !claimed.is_empty() { claimed.reserve_round() } else { None };
        let Some(round) = round else {
            drop(claimed);
            event.record()?;
            let outcome = event.wait();
            // Before the event is given back, which may call the driver.
            held.release();
            return outcome;
        };
        if !is_recorded {
            event.record()?;
        }
        let user = claimed.publish(round, event);
        // The next leader need not wait until this one has waited.
        held.release();
        user.wait()
    }

    /// Takes those that sit and wait for `stream`. What is recorded from here on stands for all
    /// that they mean.
    fn claim_waiters(&self, source: &Bucket, stream: usize) -> Claimed<'_> {
        let asked = source.pending.swap(0, Ordering::Acquire);
        let mut taken = 0;
        for index in bits(asked) {
            let seat = &self.seats[index];
            // Acquire: what the caller submitted before it sat down comes before the record.
            let state = seat.state.load(Ordering::Acquire);
            // Another stream, if who asked has gone and the seat is the next one's.
            if state & STATE_MASK == WAITING
                && seat.stream.load(Ordering::Relaxed) == stream
                && seat.change(state, CLAIMED)
            {
                taken |= 1 << index;
            }
        }
        Claimed::new(self, taken)
    }

    #[cold]
    fn wait_for_leader<C: EventOps>(
        &self,
        source: &Bucket,
        stream: usize,
        calls: &C,
    ) -> Result<(), C::Error> {
        // For another stream nobody waits here.
        let same = source.stream.load(Ordering::Relaxed) == stream;
        let Some(index) = same.then(|| self.reserve_slot(stream)).flatten() else {
            return record_private(calls);
        };
        source.pending.fetch_or(1 << index, Ordering::Release);
        let seat = &self.seats[index];
        let mut turn = 0_u32;
        loop {
            // Acquire: the record, and what the round says of it, come before the wait.
            let state = seat.state.load(Ordering::Acquire);
            match state & STATE_MASK {
                READY => {
                    let round = seat.round.load(Ordering::Relaxed);
                    let event = self.rounds[round].event.load(Ordering::Relaxed);
                    seat.set(EMPTY);
                    return SharedRecordUser::new(self, round, event, calls).wait();
                }
                DECLINED => {
                    seat.set(EMPTY);
                    return record_private(calls);
                }
                WAITING => {
                    if let Some(held) = source.try_lock() {
                        // Who was taken while nobody held the source was served.
                        if seat.change(state, EMPTY) {
                            return self.combine(&held, stream, calls);
                        }
                    } else if turn >= self.spin_limit && seat.change(state, EMPTY) {
                        return record_private(calls);
                    }
                }
                // Taken: the record is being made.
                _ => {
                    #[cfg(all(test, gpu_stream_loom))]
                    drop(self.fair.as_ref().map(loom::sync::Mutex::lock));
                }
            }
            pause(turn);
            turn = turn.saturating_add(1);
        }
    }

    /// Takes a seat, if there is one nearby.
    fn reserve_slot(&self, stream: usize) -> Option<usize> {
        let first = thread_number();
        (first..first + 4).map(|place| place % WAITER_SLOTS).find(|&index| {
            let seat = &self.seats[index];
            let state = seat.state.load(Ordering::Relaxed);
            let next = (state & !STATE_MASK).wrapping_add(STATE_MASK + 1) | RESERVED;
            let free = state & STATE_MASK == EMPTY
                && seat
                    .state
                    .compare_exchange(state, next, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok();
            if free {
                seat.stream.store(stream, Ordering::Relaxed);
                // Release: what the caller submitted comes before what a leader records.
                seat.set(WAITING);
            }
            free
        })
    }
}

/// A record that serves the holder only.
#[inline]
fn record_uncontended<C: EventOps>(held: &BucketGuard, calls: &C) -> Result<(), C::Error> {
    let source = held.0;
    let event = match source.event.load(Ordering::Relaxed) {
        0 => {
            let event = calls.take()?;
            source.event.store(event, Ordering::Relaxed);
            event
        }
        event => event,
    };
    if let Err(error) = calls.record(event) {
        source.event.store(0, Ordering::Relaxed);
        held.release();
        calls.give(event);
        return Err(error);
    }
    calls.wait(event)
}

/// A record that serves one who holds nothing.
fn record_private<C: EventOps>(calls: &C) -> Result<(), C::Error> {
    let event = OwnEvent::take(calls)?;
    event.record()?;
    event.wait()
}

fn bits(mut set: usize) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = set.trailing_zeros();
        (set != 0).then(|| {
            set &= set - 1;
            lowest as usize
        })
    })
}

impl WaiterSlot {
    /// Changes what the seat says, if it is still what was seen.
    fn change(&self, seen: usize, mark: usize) -> bool {
        let new = seen & !STATE_MASK | mark;
        self.state.compare_exchange(seen, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Changes what the seat says, where nobody else does.
    fn set(&self, mark: usize) {
        let state = self.state.load(Ordering::Relaxed);
        self.state.store(state & !STATE_MASK | mark, Ordering::Release);
    }
}

/// A source that is held, until this is dropped.
struct BucketGuard<'a>(&'a Bucket, std::cell::Cell<bool>);

impl Bucket {
    #[inline]
    fn try_lock(&self) -> Option<BucketGuard<'_>> {
        // Acquire, here, and Release below: one holder's waits come before the next one's record.
        let exchanged = self.held.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed);
        exchanged.is_ok().then(|| BucketGuard(self, std::cell::Cell::new(true)))
    }
}

impl BucketGuard<'_> {
    #[inline]
    fn release(&self) {
        if self.1.replace(false) {
            self.0.held.store(0, Ordering::Release);
        }
    }
}

impl Drop for BucketGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        self.release();
    }
}
