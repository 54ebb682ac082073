//! Coalesces concurrent records of one stream: [`RecordCoalescer`].
//!
//! Flat combining (Hendler, Incze, Shavit, Tzafrir, SPAA 2010): one of the callers, the *leader*, records the
//! stream once for all callers that have published a request. Each caller then makes its own stream wait for that
//! record. The driver serializes the records of one stream anyway. A record that begins *after* a caller arrived
//! covers everything that the caller has to wait for, namely the work that was submitted before its call.
//!
//! - A leader locks the [`Bucket`] of its stream: one exchange to lock it, one store to unlock it. An uncontended
//!   caller pays no more than that: it records, waits and unlocks.
//! - A caller that finds the bucket locked publishes its stream in a [`WaiterSlot`]. The next leader claims the
//!   waiting slots **before** it records. A slot that is published later waits for the next leader, or becomes it.
//! - Waiting is bounded. A caller that reaches the spin limit, or whose bucket is locked for another stream, makes a
//!   record of its own.
//!
//! Invariant: a shared record begins after each of its callers has published its slot.
//!
//! Every claim (bucket, slot, shared record, event) is released when its guard is dropped, so a function of
//! [`EventOps`] that fails or panics leaves no thread waiting. No slot is claimed while [`EventOps::acquire`] runs,
//! which may create an event.
//!
//! The events are private to this module. On CUDA an event that was recorded in a capture is
//! recorded again before the next wait for it. On HIP it is not used again.

mod claims;
#[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
mod failure_tests;
#[cfg(all(test, gpu_stream_loom))]
mod loom_tests;
#[cfg(all(test, gpu_stream_shuttle))]
mod shuttle_tests;
mod state;
#[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
mod tests;

use self::claims::{Claimed, OwnEvent, SharedRecordUser};
use self::state::{
    BUCKETS, Bucket, BucketGuard, CLAIMED, DECLINED, EMPTY, READY, SPIN_LIMIT, STATE_MASK,
    SharedRecord, WAITER_SLOTS, WAITING, WaiterSlot, bits,
};
use crate::sync::{Ordering, pause, thread_number};

/// The driver's functions for one pair of streams: the waiting stream and its source.
///
/// An event is a handle, and never 0.
pub trait EventOps {
    /// The error of a failed driver call.
    type Error;

    /// Returns an event of the source's device or context, which no other caller uses.
    ///
    /// # Errors
    /// No event is available.
    fn acquire(&self) -> Result<usize, Self::Error>;

    /// Takes back an event that is no longer needed.
    fn release(&self, event: usize);

    /// Returns `true` if one record of the source may serve several callers. Returns `false` while the source is
    /// capturing.
    fn can_coalesce(&self) -> bool;

    /// Records the event on the source.
    ///
    /// # Errors
    /// The driver's error. The event is then [released](Self::release).
    fn record(&self, event: usize) -> Result<(), Self::Error>;

    /// Makes the caller's stream wait for the event's record.
    ///
    /// # Errors
    /// The driver's error.
    fn wait(&self, event: usize) -> Result<(), Self::Error>;
}

/// The pending waits for the streams of one device or context.
///
/// Keeps one event in each of 256 buckets, which the streams' handles select. Meant to live as long as the process:
/// dropping it leaks those events.
pub struct RecordCoalescer {
    buckets: Box<[Bucket]>,
    slots: Box<[WaiterSlot]>,
    shared: Box<[SharedRecord]>,
    /// The number of turns that a caller waits in its slot before it makes its own record.
    spin_limit: u32,
    /// A seeded bug, which the tests must detect.
    #[cfg(test)]
    broken: Option<Broken>,
    /// Held by the leader. Claimed waiters block on it instead of spinning, because loom may schedule a spinning
    /// thread forever.
    #[cfg(all(test, gpu_stream_loom))]
    fair: Option<loom::sync::Mutex<()>>,
}

/// A seeded bug of the protocol.
#[cfg(test)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Broken {
    /// The leader records before it claims the waiting slots.
    RecordsTooEarly,
    /// The first user of a shared record releases the event.
    ReleasesTooEarly,
}

impl Default for RecordCoalescer {
    fn default() -> Self {
        RecordCoalescer::new()
    }
}

impl RecordCoalescer {
    /// Creates a coalescer without pending waits. Nothing is allocated later.
    pub fn new() -> Self {
        fn some<T: Default>(count: usize) -> Box<[T]> {
            std::iter::repeat_with(T::default).take(count).collect()
        }
        RecordCoalescer {
            buckets: some(BUCKETS),
            slots: some(WAITER_SLOTS),
            shared: some(WAITER_SLOTS),
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

    /// Makes the caller's stream wait for a record of `stream` (a handle) that is made during this call.
    ///
    /// The caller keeps both streams alive during the call. Each caller that shares the record does the same by its
    /// own call.
    ///
    /// # Errors
    /// The first error of `ops`.
    #[inline]
    pub fn wait_for<C: EventOps>(&self, stream: usize, ops: &C) -> Result<(), C::Error> {
        let bucket = self.bucket_of(stream);
        match bucket.try_lock() {
            Some(guard) => self.combine(&guard, stream, ops),
            None => self.wait_for_leader(bucket, stream, ops),
        }
    }

    #[inline]
    fn bucket_of(&self, stream: usize) -> &Bucket {
        // Handles are aligned addresses, so the lowest bits carry no information.
        let mixed = (stream >> 4).wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as usize);
        &self.buckets[(mixed >> (usize::BITS / 2)) % BUCKETS]
    }

    /// Records `stream` as the leader of its bucket.
    #[inline]
    fn combine<C: EventOps>(
        &self,
        guard: &BucketGuard,
        stream: usize,
        ops: &C,
    ) -> Result<(), C::Error> {
        let bucket = guard.bucket();
        if bucket.stream.load(Ordering::Relaxed) != stream {
            bucket.stream.store(stream, Ordering::Relaxed);
        }
        if bucket.pending.load(Ordering::Relaxed) != 0 {
            return self.combine_slow(guard, stream, ops);
        }
        record_uncontended(guard, ops)
    }

    /// Records once for the leader and for all slots that wait by now.
    #[cold]
    fn combine_slow<C: EventOps>(
        &self,
        guard: &BucketGuard,
        stream: usize,
        ops: &C,
    ) -> Result<(), C::Error> {
        #[cfg(all(test, gpu_stream_loom))]
        let _served = self.fair.as_ref().map(|fair| fair.lock().expect("no thread panics"));
        let event = OwnEvent::acquire(ops)?;
        let can_coalesce = ops.can_coalesce();
        #[cfg(test)]
        let is_recorded = self.is_broken(Broken::RecordsTooEarly);
        #[cfg(not(test))]
        let is_recorded = false;
        if is_recorded {
            event.record()?;
        }
        let claimed = self.claim_waiters(guard.bucket(), stream);
        let reserved =
            if can_coalesce && !claimed.is_empty() { claimed.reserve_record() } else { None };
        let Some(reserved) = reserved else {
            drop(claimed);
            event.record()?;
            let outcome = event.wait();
            // Before the event is released, which may call the driver.
            guard.release();
            return outcome;
        };
        if !is_recorded {
            event.record()?;
        }
        let user = claimed.publish(reserved, event);
        // The next leader need not wait until this one has waited.
        guard.release();
        user.wait()
    }

    /// Claims the slots that wait for `stream`. A record that begins after this call covers all of them.
    fn claim_waiters(&self, bucket: &Bucket, stream: usize) -> Claimed<'_> {
        let pending = bucket.pending.swap(0, Ordering::Acquire);
        let mut claimed = 0;
        for index in bits(pending) {
            let slot = &self.slots[index];
            // Acquire: what the waiter submitted before it published the slot happens before the record.
            let state = slot.state.load(Ordering::Acquire);
            // The stream differs if the waiter has left and the slot belongs to another caller.
            if state & STATE_MASK == WAITING
                && slot.stream.load(Ordering::Relaxed) == stream
                && slot.change(state, CLAIMED)
            {
                claimed |= 1 << index;
            }
        }
        Claimed::new(self, claimed)
    }

    /// Publishes a slot in a locked bucket, then waits for a leader or becomes it.
    #[cold]
    fn wait_for_leader<C: EventOps>(
        &self,
        bucket: &Bucket,
        stream: usize,
        ops: &C,
    ) -> Result<(), C::Error> {
        // A leader of another stream would not claim this caller.
        let same = bucket.stream.load(Ordering::Relaxed) == stream;
        let Some(index) = same.then(|| self.reserve_slot(stream)).flatten() else {
            return record_private(ops);
        };
        bucket.pending.fetch_or(1 << index, Ordering::Release);
        let slot = &self.slots[index];
        let mut turn = 0_u32;
        loop {
            // Acquire: the record, and the fields that describe it, happen before the wait.
            let state = slot.state.load(Ordering::Acquire);
            match state & STATE_MASK {
                READY => {
                    let record = slot.record.load(Ordering::Relaxed);
                    let event = self.shared[record].event.load(Ordering::Relaxed);
                    slot.set(EMPTY);
                    return SharedRecordUser::new(self, record, event, ops).wait();
                }
                DECLINED => {
                    slot.set(EMPTY);
                    return record_private(ops);
                }
                WAITING => {
                    if let Some(guard) = bucket.try_lock() {
                        // If this fails, a leader claimed the slot before it unlocked the bucket, and has served it.
                        if slot.change(state, EMPTY) {
                            return self.combine(&guard, stream, ops);
                        }
                    } else if turn >= self.spin_limit && slot.change(state, EMPTY) {
                        return record_private(ops);
                    }
                }
                // Claimed: the leader is making the record.
                _ => {
                    #[cfg(all(test, gpu_stream_loom))]
                    drop(self.fair.as_ref().map(loom::sync::Mutex::lock));
                }
            }
            pause(turn);
            turn = turn.saturating_add(1);
        }
    }

    /// Reserves one of the four slots next to the calling thread's number, and publishes `stream` in it. Returns
    /// `None` if none of them is empty.
    fn reserve_slot(&self, stream: usize) -> Option<usize> {
        let first = thread_number();
        (first..first + 4)
            .map(|index| index % WAITER_SLOTS)
            .find(|&index| self.slots[index].try_reserve(stream))
    }
}

/// Records with the bucket's own event, for the leader alone.
#[inline]
fn record_uncontended<C: EventOps>(guard: &BucketGuard, ops: &C) -> Result<(), C::Error> {
    let bucket = guard.bucket();
    let event = match bucket.event.load(Ordering::Relaxed) {
        0 => {
            let event = ops.acquire()?;
            bucket.event.store(event, Ordering::Relaxed);
            event
        }
        event => event,
    };
    if let Err(error) = ops.record(event) {
        bucket.event.store(0, Ordering::Relaxed);
        guard.release();
        ops.release(event);
        return Err(error);
    }
    ops.wait(event)
}

/// Records with a private event, for a caller that has locked nothing.
fn record_private<C: EventOps>(ops: &C) -> Result<(), C::Error> {
    let event = OwnEvent::acquire(ops)?;
    event.record()?;
    event.wait()
}
