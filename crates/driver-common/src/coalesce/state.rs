//! The shared memory of the protocol: [`Bucket`], [`WaiterSlot`], [`SharedRecord`].

use std::cell::Cell;

use crate::sync::{AtomicUsize, Ordering};

/// The number of buckets. If two streams share one, a contended caller of either makes its own record.
pub(super) const BUCKETS: usize =
    if cfg!(any(gpu_stream_loom, gpu_stream_shuttle)) { 1 } else { 256 };

/// The number of callers that can wait at the same time. At most the number of bits in [`Bucket::pending`].
pub(super) const WAITER_SLOTS: usize =
    if cfg!(any(gpu_stream_loom, gpu_stream_shuttle)) { 2 } else { 32 };

/// The default number of turns that a caller waits in its slot.
pub(super) const SPIN_LIMIT: u32 =
    if cfg!(any(gpu_stream_loom, gpu_stream_shuttle)) { 1 } else { 192 };

/// The slot is free.
pub(super) const EMPTY: usize = 0;
/// A caller has the slot, and has not published its stream yet.
const RESERVED: usize = 1;
/// The stream is published; the caller waits for a leader.
pub(super) const WAITING: usize = 2;
/// A leader has claimed the slot and is making the record.
pub(super) const CLAIMED: usize = 3;
/// The record is made; [`WaiterSlot::record`] is its index.
pub(super) const READY: usize = 4;
/// The leader has no record to share.
pub(super) const DECLINED: usize = 5;
/// The bits of the state. The higher bits are a generation counter: a leader that read an old state cannot claim the
/// slot's next owner by mistake (ABA).
pub(super) const STATE_MASK: usize = 7;

/// A hashed lock for the streams that callers wait for.
#[repr(align(128))]
#[derive(Default)]
pub(super) struct Bucket {
    /// 1 while a leader has the bucket.
    pub(super) held: AtomicUsize,
    /// The leader's stream. Written by the leader.
    pub(super) stream: AtomicUsize,
    /// The event for records that are not shared, or 0. Belongs to the leader.
    pub(super) event: AtomicUsize,
    /// One bit for each slot whose owner may wait for this stream.
    pub(super) pending: AtomicUsize,
}

/// The publication slot of a waiting caller.
#[repr(align(128))]
#[derive(Default)]
pub(super) struct WaiterSlot {
    pub(super) state: AtomicUsize,
    /// The stream that the caller waits for.
    pub(super) stream: AtomicUsize,
    /// The index of the [`SharedRecord`] that serves the caller.
    pub(super) record: AtomicUsize,
}

/// A record that several callers wait for.
#[repr(align(128))]
#[derive(Default)]
pub(super) struct SharedRecord {
    /// The number of callers that have not waited yet; 0 if the entry is free.
    pub(super) remaining: AtomicUsize,
    pub(super) event: AtomicUsize,
}

impl WaiterSlot {
    /// Tries to reserve an empty slot and to publish `stream` in it. Returns `true` on success.
    pub(super) fn try_reserve(&self, stream: usize) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        let next = (state & !STATE_MASK).wrapping_add(STATE_MASK + 1) | RESERVED;
        let free = state & STATE_MASK == EMPTY
            && self
                .state
                .compare_exchange(state, next, Ordering::Acquire, Ordering::Relaxed)
                .is_ok();
        if free {
            self.stream.store(stream, Ordering::Relaxed);
            // Release: what the caller submitted happens before what a leader records.
            self.set(WAITING);
        }
        free
    }

    /// Tries to change the state from `seen` to `new`. Returns `false` if it changed meanwhile.
    pub(super) fn change(&self, seen: usize, new: usize) -> bool {
        let new = seen & !STATE_MASK | new;
        self.state.compare_exchange(seen, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Sets the state, which no other thread changes now.
    pub(super) fn set(&self, new: usize) {
        let state = self.state.load(Ordering::Relaxed);
        self.state.store(state & !STATE_MASK | new, Ordering::Release);
    }
}

impl Bucket {
    /// Tries to become the leader of the bucket.
    #[inline]
    pub(super) fn try_lock(&self) -> Option<BucketGuard<'_>> {
        // Acquire here and Release in `release`: one leader's waits happen before the next leader's record.
        let exchanged = self.held.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed);
        exchanged.is_ok().then(|| BucketGuard(self, Cell::new(true)))
    }
}

/// The leadership of a bucket, until it is dropped or [released](Self::release).
pub(super) struct BucketGuard<'a>(&'a Bucket, Cell<bool>);

impl<'a> BucketGuard<'a> {
    #[inline]
    pub(super) fn bucket(&self) -> &'a Bucket {
        self.0
    }

    /// Unlocks the bucket, once.
    #[inline]
    pub(super) fn release(&self) {
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

/// Returns the indices of the bits that are set.
pub(super) fn bits(mut set: usize) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = set.trailing_zeros();
        (set != 0).then(|| {
            set &= set - 1;
            lowest as usize
        })
    })
}
