//! What is known of an event's last record: [`LastRecord`].

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use gpu_stream_core::{KeepAlive, RawStream};
use gpu_stream_driver_common::thread_number;

use crate::{Cuda, host_func};

/// There was a record.
const RECORDED: u8 = 1;
/// The last record was made in a capture.
const CAPTURED: u8 = 2;
/// Some record was.
const EVER_CAPTURED: u8 = 4;

/// More than one thread records the event.
const SHARED: usize = usize::MAX;

/// A record in a capture.
#[derive(Clone)]
pub(crate) struct CapturedRecord {
    /// Alive as long as `owner` is, or, by the contract of `stream_from_raw`, as long as the event.
    pub(crate) stream: RawStream<Cuda>,
    /// The capture, if the driver has numbers for them.
    pub(crate) id: Option<u64>,
    pub(crate) owner: KeepAlive,
}

/// A stream, as far as two records can tell that they were made on one and the same.
///
/// The handle alone would not do: the driver uses it again. It does for a stream without an owner,
/// which lives as long as the event, by the contract of `stream_from_raw`. A stream with an owner has a
/// number that no other stream of the process has; two wrappings of one such stream differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark(u64);

/// Handles never have this bit.
const NUMBERED: u64 = 1 << 63;

impl Mark {
    /// Belongs to no stream.
    const NONE: Mark = Mark(0);

    /// Returns the mark of a stream without an owner.
    #[inline]
    pub(crate) fn of_handle(raw: RawStream<Cuda>) -> Self {
        Mark(raw.to_bits() as u64)
    }

    /// Returns the number that `number` holds, which it is given if it has none yet.
    #[inline]
    pub(crate) fn of_number(number: &AtomicU64) -> Self {
        match number.load(Ordering::Relaxed) {
            0 => Self::first(number),
            number => Mark(number),
        }
    }

    #[cold]
    fn first(number: &AtomicU64) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let new = NUMBERED | (LAST.fetch_add(1, Ordering::Relaxed) + 1);
        match number.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Mark(new),
            Err(other) => Mark(other),
        }
    }

    /// Returns `true` for the handle that means another stream on each thread.
    fn is_per_thread(self) -> bool {
        self.0 == RawStream::<Cuda>::PER_THREAD.to_bits() as u64
    }
}

/// Whether an event was recorded, by which stream, and in which capture the last record was made, if it
/// was in one.
pub(crate) struct LastRecord {
    state: AtomicU8,
    /// Set if [`CAPTURED`] is.
    captured: Mutex<Option<CapturedRecord>>,
    /// The thread that records the event; 0 if none does yet, [`SHARED`] if several do. The driver has
    /// the order of their records then, and `stream` has not.
    thread: AtomicUsize,
    /// The [`Mark`] of the stream.
    stream: AtomicU64,
}

impl LastRecord {
    pub(crate) const fn none() -> Self {
        let (thread, stream) = (AtomicUsize::new(0), AtomicU64::new(0));
        LastRecord { state: AtomicU8::new(0), captured: Mutex::new(None), thread, stream }
    }

    /// Returns one that was made outside of captures, by this thread.
    #[inline]
    pub(crate) fn outside(stream: Mark) -> Self {
        LastRecord {
            state: AtomicU8::new(RECORDED),
            captured: Mutex::new(None),
            thread: AtomicUsize::new(thread_number()),
            stream: AtomicU64::new(stream.0),
        }
    }

    /// Returns one that another process made.
    pub(crate) const fn elsewhere() -> Self {
        let (thread, stream) = (AtomicUsize::new(SHARED), AtomicU64::new(0));
        LastRecord { state: AtomicU8::new(RECORDED), captured: Mutex::new(None), thread, stream }
    }

    /// Returns `true` if there was a record at all.
    #[inline]
    pub(crate) fn is_any(&self) -> bool {
        self.state.load(Ordering::Acquire) & RECORDED != 0
    }

    /// Returns `true` if the last one was made in a capture.
    #[inline]
    pub(crate) fn is_captured(&self) -> bool {
        self.state.load(Ordering::Acquire) & CAPTURED != 0
    }

    /// Returns `true` if any was made in a capture.
    #[inline]
    pub(crate) fn was_ever_captured(&mut self) -> bool {
        *self.state.get_mut() & EVER_CAPTURED != 0
    }

    /// Returns the last record if it was made in a capture. The copy keeps the stream alive, and no lock
    /// is held: the driver may be asked. Drop its owner by [`host_func::drop_owner_later`].
    pub(crate) fn captured(&self) -> Option<CapturedRecord> {
        self.captured.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the number of the capture that the last record was made in: `None` if it was in none,
    /// `Some(None)` if the driver has no numbers for them.
    pub(crate) fn capture_id(&self) -> Option<Option<u64>> {
        let last = self.captured.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|captured| captured.id)
    }

    /// Returns `true` if the last record is certainly that of the stream.
    #[inline]
    pub(crate) fn is_by(&self, stream: Mark) -> bool {
        // Acquire: a thread that is seen to be the only one, or not, and what it recorded.
        let thread = self.thread.load(Ordering::Acquire);
        thread != SHARED
            && self.stream.load(Ordering::Acquire) == stream.0
            && stream != Mark::NONE
            && (!stream.is_per_thread() || thread == thread_number())
    }

    /// A record is about to be made by this thread. Before the driver is called: a thread that comes
    /// second has that known before its record can count.
    #[inline]
    pub(crate) fn begin(&self) {
        let me = thread_number();
        if self.thread.load(Ordering::Relaxed) != me {
            self.begin_elsewhere(me);
        }
    }

    #[cold]
    fn begin_elsewhere(&self, me: usize) {
        let (before, after) = (Ordering::AcqRel, Ordering::Relaxed);
        if let Err(other) = self.thread.compare_exchange(0, me, before, after)
            && other != me
        {
            self.thread.store(SHARED, Ordering::Release);
        }
    }

    /// The driver refused a record, which it may have made all the same.
    #[cold]
    pub(crate) fn failed(&self) {
        self.stream.store(Mark::NONE.0, Ordering::Release);
    }

    /// A record was made, in a capture or outside, after [`begin`](Self::begin).
    #[inline]
    pub(crate) fn set(&self, stream: Mark, captured: Option<CapturedRecord>) {
        self.stream.store(stream.0, Ordering::Release);
        let state = self.state.load(Ordering::Acquire);
        // Most records of most events: not the first, and no capture, now or before.
        if captured.is_some() || state & (RECORDED | CAPTURED) != RECORDED {
            self.set_slow(captured);
        }
    }

    fn set_slow(&self, captured: Option<CapturedRecord>) {
        if captured.is_none() && !self.is_captured() {
            self.state.fetch_or(RECORDED, Ordering::AcqRel);
            return;
        }
        let set = RECORDED | if captured.is_some() { CAPTURED | EVER_CAPTURED } else { 0 };
        let mut last = self.captured.lock().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *last, captured);
        self.state.fetch_or(set, Ordering::AcqRel);
        if last.is_none() {
            self.state.fetch_and(!CAPTURED, Ordering::AcqRel);
        }
        drop(last);
        if let Some(CapturedRecord { owner, .. }) = old {
            host_func::drop_owner_later(owner);
        }
    }

    /// Returns the owner that the last record keeps, where the event is dropped.
    pub(crate) fn take_owner(&mut self) -> KeepAlive {
        let last = self.captured.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        last.map_or(KeepAlive::none(), |captured| captured.owner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::host_func::DEFERRED;

    const STREAM: Mark = Mark(8);

    #[test]
    fn the_last_record_counts_and_its_owner_is_kept_until_the_next() {
        let owner = Arc::new(());
        let captured = |id| {
            let owner = KeepAlive::owner(Arc::clone(&owner));
            Some(CapturedRecord { stream: RawStream::from_bits(8), id: Some(id), owner })
        };
        // What was dropped goes at the end of a public call, of another test perhaps.
        let release = |shares| {
            while Arc::strong_count(&owner) > shares {
                DEFERRED.run();
            }
        };
        let mut record = LastRecord::none();
        assert!(!record.is_any() && !record.is_captured() && !record.was_ever_captured());
        record.set(STREAM, None);
        assert!(record.is_any() && !record.is_captured() && !record.was_ever_captured());
        for id in [3, 4] {
            record.set(STREAM, captured(id));
            assert!(record.is_any() && record.is_captured() && record.was_ever_captured());
            assert_eq!(record.capture_id(), Some(Some(id)));
            release(2);
        }
        record.set(STREAM, None);
        assert!(record.is_any() && !record.is_captured() && record.was_ever_captured());
        assert_eq!(record.capture_id(), None);
        release(1);
        let outside = LastRecord::outside(STREAM);
        assert!(outside.is_any() && !outside.is_captured() && outside.is_by(STREAM));
    }

    #[test]
    fn a_record_is_its_streams_while_one_thread_makes_them() {
        let record = LastRecord::none();
        let make = |mark| {
            record.begin();
            record.set(mark, None);
        };
        assert!(!record.is_by(STREAM) && !record.is_by(Mark::NONE));
        make(STREAM);
        assert!(record.is_by(STREAM) && !record.is_by(Mark(16)));
        record.failed();
        assert!(!record.is_by(STREAM) && !record.is_by(Mark::NONE));
        make(Mark(2));
        assert!(record.is_by(Mark(2)));
        std::thread::scope(|scope| {
            let elsewhere = scope.spawn(|| {
                assert!(!record.is_by(Mark(2)), "handle 2 is another stream here");
                make(STREAM);
            });
            elsewhere.join().expect("it does not panic");
        });
        assert!(!record.is_by(STREAM), "the order of two threads is the driver's to know");
        make(STREAM);
        assert!(!record.is_by(STREAM));
    }

    #[test]
    fn a_number_is_given_once_and_to_one_stream() {
        let numbers = [AtomicU64::new(0), AtomicU64::new(0)];
        let [first, second] = [Mark::of_number(&numbers[0]), Mark::of_number(&numbers[1])];
        assert_ne!(first, second);
        assert_eq!(Mark::of_number(&numbers[0]), first);
        assert!(first.0 > NUMBERED);
    }
}
