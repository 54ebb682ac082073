//! Records of an event on a stream.
//!
//! Fast path: the stream is explicit and not captured. The slow path also serves default streams, captured
//! streams, and streams whose host functions may have panicked. A thread's default stream records by its helper.

use gpu_stream_core::{CaptureStatus, Event as _, HandleKind, Stream as _};
use gpu_stream_driver_common::thread_number;

use super::HipStream;
use crate::driver::Driver;
use crate::driver::capture::{self, CaptureInfo};
use crate::driver::symbols::Ptr;
use crate::event::{CapturedRecord, RecordSource};
use crate::{HipError, HipEvent, per_thread};

impl HipStream {
    /// Tries to record `event` on the fast path. Returns `None` if the slow path is needed.
    #[inline]
    pub(super) fn try_record_fast(
        &self,
        event: &HipEvent,
        operation: &'static str,
    ) -> Option<Result<(), HipError>> {
        if event.ordinal() != self.device {
            return None;
        }
        let driver = self.try_source_fast()?;
        // SAFETY: the stream is live: `self` keeps it alive.
        let source = unsafe { RecordSource::new(self.raw, &self.owner, None) };
        Some(event.record(driver, &source, operation))
    }

    /// Records `event` on any stream, also on a captured one.
    pub(super) fn record_slow(
        &self,
        event: &HipEvent,
        operation: &'static str,
    ) -> Result<(), HipError> {
        self.device().check_can_record(event.device(), operation)?;
        self.with_source(operation, |driver, source| event.record(driver, source, operation))
    }

    /// Tries to record a pooled event on the fast path. Returns `None` if the slow path is needed.
    #[inline]
    pub(super) fn try_record_event_fast(
        &self,
        operation: &'static str,
    ) -> Option<Result<HipEvent, HipError>> {
        let driver = self.try_source_fast()?;
        // SAFETY: the stream is live: `self` keeps it alive.
        let source = unsafe { RecordSource::new(self.raw, &self.owner, None) };
        Some(HipEvent::recorded(driver, self.device, &source, operation))
    }

    /// Records a pooled event on any stream, also on a captured one.
    pub(crate) fn record_event_slow(&self, operation: &'static str) -> Result<HipEvent, HipError> {
        self.with_source(operation, |driver, source| {
            HipEvent::recorded(driver, self.device, source, operation)
        })
    }

    /// Calls `record` with the stream that records: this one, or the helper of a thread's default stream.
    fn with_source<T>(
        &self,
        operation: &'static str,
        record: impl FnOnce(&'static Driver, &RecordSource<'_>) -> Result<T, HipError>,
    ) -> Result<T, HipError> {
        self.check_fault(operation)?;
        self.with_current(operation, |driver, raw| {
            // SAFETY: `raw` is live: `self` keeps it alive. `with_current` has set the device of a default stream.
            let captured = unsafe { capture_of(driver, raw, operation) }?;
            if self.raw.kind() == HandleKind::PerThread && captured.is_none() {
                let helper = per_thread::follow(driver, self.device, operation)?;
                // SAFETY: the helper is live: its owner keeps it alive.
                let source = unsafe { RecordSource::new(helper.raw, &helper.owner, None) };
                return record(driver, &source);
            }
            // SAFETY: the stream is live, and its device is current, for the same reasons.
            let source = unsafe { RecordSource::new(self.raw, &self.owner, captured) };
            record(driver, &source)
        })
    }
}

/// Returns what a record stands for if the stream is captured.
///
/// # Safety
/// - `stream` is a live stream, or 0 or 2 with the intended device current.
unsafe fn capture_of(
    driver: &'static Driver,
    stream: Ptr,
    operation: &'static str,
) -> Result<Option<CapturedRecord>, HipError> {
    // SAFETY: `stream` is live, or its device is current (caller contract).
    if unsafe { capture::status(driver, stream, operation) }? == CaptureStatus::None {
        return Ok(None);
    }
    let thread = thread_number();
    // SAFETY: `stream` is live, or its device is current (caller contract).
    Ok(Some(match unsafe { capture::info(driver, stream) } {
        Some(CaptureInfo { id, nodes }) => CapturedRecord { id: Some(id), nodes, thread },
        None => CapturedRecord { id: None, nodes: Vec::new(), thread },
    }))
}
