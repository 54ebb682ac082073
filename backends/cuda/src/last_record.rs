//! An event's last record, as far as this crate made it: [`LastRecord`].

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use gpu_stream_core::{KeepAlive, RawStream};
use gpu_stream_driver_common::thread_number;

use crate::Cuda;
use crate::host_func::USER_CODE;

/// Flag: the event was recorded.
const RECORDED: u8 = 1;
/// Flag: the last record was made in a capture.
const CAPTURED: u8 = 2;
/// Flag: some record was made in a capture.
const EVER_CAPTURED: u8 = 4;

/// The value of `thread` if more than one thread records the event.
const SHARED: usize = usize::MAX;

/// A record in a capture.
#[derive(Clone)]
pub(crate) struct CapturedRecord {
    /// Alive as long as `owner` is; without an owner, as long as the event (contract of `stream_from_raw`).
    pub(crate) stream: RawStream<Cuda>,
    /// The capture's id; `None` if the driver did not tell one.
    pub(crate) id: Option<u64>,
    pub(crate) owner: KeepAlive,
}

/// The identity of a stream, which tells whether two records were made on one stream.
///
/// The handle alone is not enough, because the driver reuses it. It is enough for a stream without an
/// owner, which lives as long as the event (contract of `stream_from_raw`). A stream with an owner has a
/// number that no other stream of the process has. Two wrappings of one such stream differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark(u64);

/// Marks a number; no handle has this bit.
const NUMBERED: u64 = 1 << 63;

impl Mark {
    /// The mark of no stream.
    const NONE: Mark = Mark(0);

    /// Returns the mark of a stream without an owner.
    #[inline]
    pub(crate) fn of_handle(raw: RawStream<Cuda>) -> Self {
        Mark(raw.to_bits() as u64)
    }

    /// Returns the mark of a stream with an owner. Assigns `number` if it is 0.
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

/// The state of an event's last record: its stream, and its capture if it was made in one.
pub(crate) struct LastRecord {
    state: AtomicU8,
    /// `Some` if [`CAPTURED`] is set.
    captured: Mutex<Option<CapturedRecord>>,
    /// The thread that records the event; 0 if none does yet, [`SHARED`] if several do. With several
    /// threads only the driver knows the order of their records, and `stream` is meaningless.
    thread: AtomicUsize,
    /// The [`Mark`] of the stream.
    stream: AtomicU64,
}

impl LastRecord {
    /// Returns the state of an event that was not recorded.
    pub(crate) const fn none() -> Self {
        let (thread, stream) = (AtomicUsize::new(0), AtomicU64::new(0));
        LastRecord { state: AtomicU8::new(0), captured: Mutex::new(None), thread, stream }
    }

    /// Returns the state after a record by this thread, outside of a capture.
    #[inline]
    pub(crate) fn outside(stream: Mark) -> Self {
        LastRecord {
            state: AtomicU8::new(RECORDED),
            captured: Mutex::new(None),
            thread: AtomicUsize::new(thread_number()),
            stream: AtomicU64::new(stream.0),
        }
    }

    /// Returns the state of an event that another process or library may have recorded.
    pub(crate) const fn elsewhere() -> Self {
        let (thread, stream) = (AtomicUsize::new(SHARED), AtomicU64::new(0));
        LastRecord { state: AtomicU8::new(RECORDED), captured: Mutex::new(None), thread, stream }
    }

    /// Returns `true` if the event was recorded.
    #[inline]
    pub(crate) fn is_any(&self) -> bool {
        self.state.load(Ordering::Acquire) & RECORDED != 0
    }

    /// Returns `true` if the last record was made in a capture.
    #[inline]
    pub(crate) fn is_captured(&self) -> bool {
        self.state.load(Ordering::Acquire) & CAPTURED != 0
    }

    /// Returns `true` if any record was made in a capture.
    #[inline]
    pub(crate) fn was_ever_captured(&mut self) -> bool {
        *self.state.get_mut() & EVER_CAPTURED != 0
    }

    /// Returns the last record if it was made in a capture. The copy keeps the stream alive, and no lock is
    /// held, so the caller may call the driver. Its owner must be dropped at the end of the call.
    pub(crate) fn captured(&self) -> Option<CapturedRecord> {
        self.captured.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the id of the capture that the last record was made in. Returns `None` if it was made in
    /// none, and `Some(None)` if the driver did not tell an id.
    pub(crate) fn capture_id(&self) -> Option<Option<u64>> {
        let last = self.captured.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|captured| captured.id)
    }

    /// Returns `true` if the stream certainly made the last record.
    #[inline]
    pub(crate) fn is_by(&self, stream: Mark) -> bool {
        // Acquire: pairs with the stores of another thread's records.
        let thread = self.thread.load(Ordering::Acquire);
        thread != SHARED
            && self.stream.load(Ordering::Acquire) == stream.0
            && stream != Mark::NONE
            && (!stream.is_per_thread() || thread == thread_number())
    }

    /// Announces a record by this thread. Must be called before the driver: a second thread is then visible
    /// before its record can count.
    #[inline]
    pub(crate) fn begin(&self) {
        let me = thread_number();
        if self.thread.load(Ordering::Relaxed) != me {
            self.begin_elsewhere(me);
        }
    }

    /// Stores that this thread records the event, or that several threads do.
    #[cold]
    fn begin_elsewhere(&self, me: usize) {
        let (before, after) = (Ordering::AcqRel, Ordering::Relaxed);
        if let Err(other) = self.thread.compare_exchange(0, me, before, after)
            && other != me
        {
            self.thread.store(SHARED, Ordering::Release);
        }
    }

    /// Forgets the last record's stream: the driver returned an error, but may have made the record.
    #[cold]
    pub(crate) fn failed(&self) {
        self.stream.store(Mark::NONE.0, Ordering::Release);
    }

    /// Stores a successful record, in a capture or outside, after [`begin`](Self::begin).
    #[inline]
    pub(crate) fn set(&self, stream: Mark, captured: Option<CapturedRecord>) {
        self.stream.store(stream.0, Ordering::Release);
        let state = self.state.load(Ordering::Acquire);
        // The common case is a record that is not the first, with no capture now or before.
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
            USER_CODE.drop_owner_later(owner);
        }
    }

    /// Takes the owner that the last record keeps, for the drop of the event.
    pub(crate) fn take_owner(&mut self) -> KeepAlive {
        let last = self.captured.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        last.map_or(KeepAlive::none(), |captured| captured.owner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const STREAM: Mark = Mark(8);

    #[test]
    fn owner_of_a_captured_record_is_kept_until_the_next_record() {
        let owner = Arc::new(());
        let captured = |id| {
            let owner = KeepAlive::owner(Arc::clone(&owner));
            Some(CapturedRecord { stream: RawStream::from_bits(8), id: Some(id), owner })
        };
        // Deferred owners are dropped at the end of a public call, which may be another test's.
        let release = |references| {
            while Arc::strong_count(&owner) > references {
                USER_CODE.deferred.run();
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
    fn record_is_attributed_to_its_stream_while_one_thread_records() {
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
                assert!(!record.is_by(Mark(2)), "handle 2 names another stream on this thread");
                make(STREAM);
            });
            elsewhere.join().expect("no thread panics");
        });
        assert!(!record.is_by(STREAM), "only the driver knows the order of two threads");
        make(STREAM);
        assert!(!record.is_by(STREAM));
    }

    #[test]
    fn number_is_assigned_once_and_to_one_stream() {
        let numbers = [AtomicU64::new(0), AtomicU64::new(0)];
        let [first, second] = [Mark::of_number(&numbers[0]), Mark::of_number(&numbers[1])];
        assert_ne!(first, second);
        assert_eq!(Mark::of_number(&numbers[0]), first);
        assert!(first.0 > NUMBERED);
    }
}
