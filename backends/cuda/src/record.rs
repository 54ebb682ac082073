//! What is known of an event's last record: [`LastRecord`].

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use gpu_stream_core::{KeepAlive, RawStream};

use crate::Cuda;

/// There was a record.
const RECORDED: u8 = 1;
/// The last record was made in a capture.
const CAPTURED: u8 = 2;
/// Some record was.
const EVER_CAPTURED: u8 = 4;

/// A record in a capture.
pub(crate) struct Captured {
    /// Alive as long as `owner` is, or, by the contract of `stream_from_raw`, as long as the event.
    pub(crate) stream: RawStream<Cuda>,
    /// The capture, if the driver has numbers for them.
    pub(crate) id: Option<u64>,
    #[allow(dead_code, reason = "it is there to be dropped")]
    pub(crate) owner: KeepAlive,
}

/// Whether an event was recorded, and in which capture the last record was made, if it was in one.
pub(crate) struct LastRecord {
    state: AtomicU8,
    /// Set if [`CAPTURED`] is.
    captured: Mutex<Option<Captured>>,
}

impl LastRecord {
    pub(crate) const fn none() -> Self {
        LastRecord { state: AtomicU8::new(0), captured: Mutex::new(None) }
    }

    /// One that was made outside of captures.
    pub(crate) const fn outside() -> Self {
        LastRecord { state: AtomicU8::new(RECORDED), captured: Mutex::new(None) }
    }

    /// Whether there was a record at all.
    #[inline]
    pub(crate) fn is_any(&self) -> bool {
        self.state.load(Ordering::Acquire) & RECORDED != 0
    }

    /// Whether the last one was made in a capture.
    #[inline]
    pub(crate) fn is_captured(&self) -> bool {
        self.state.load(Ordering::Acquire) & CAPTURED != 0
    }

    /// Whether any was.
    #[inline]
    pub(crate) fn was_ever_captured(&mut self) -> bool {
        *self.state.get_mut() & EVER_CAPTURED != 0
    }

    /// What `find` says of the capture that the last record was made in, if it was in one.
    pub(crate) fn of_capture<T>(&self, find: impl FnOnce(&Captured) -> T) -> Option<T> {
        self.captured.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(find)
    }

    /// A record was made, in a capture or outside.
    #[inline]
    pub(crate) fn made(&self, captured: Option<Captured>) {
        let state = self.state.load(Ordering::Acquire);
        // Most records of most events: not the first, and no capture, now or before.
        if captured.is_some() || state & (RECORDED | CAPTURED) != RECORDED {
            self.made_anew(captured);
        }
    }

    fn made_anew(&self, captured: Option<Captured>) {
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
        // Dropping an owner runs code of a user, who may ask this event.
        drop(last);
        drop(old);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_last_record_counts_and_its_owner_is_kept_until_the_next() {
        let owner = Arc::new(());
        let captured = |id| {
            let owner = KeepAlive::owner(Arc::clone(&owner));
            Some(Captured { stream: RawStream::from_bits(8), id: Some(id), owner })
        };
        let mut record = LastRecord::none();
        assert!(!record.is_any() && !record.is_captured() && !record.was_ever_captured());
        record.made(None);
        assert!(record.is_any() && !record.is_captured() && !record.was_ever_captured());
        for id in [3, 4] {
            record.made(captured(id));
            assert!(record.is_any() && record.is_captured() && record.was_ever_captured());
            assert_eq!(record.of_capture(|last| last.id), Some(Some(id)));
            assert_eq!(Arc::strong_count(&owner), 2);
        }
        record.made(None);
        assert!(record.is_any() && !record.is_captured() && record.was_ever_captured());
        assert_eq!(record.of_capture(|last| last.id), None);
        assert_eq!(Arc::strong_count(&owner), 1);
        assert!(LastRecord::outside().is_any() && !LastRecord::outside().is_captured());
    }
}
