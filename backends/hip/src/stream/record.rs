//! Records of an event on a stream.
//!
//! Fast path: the stream is explicit and not captured. The slow path also serves default streams, captured
//! streams, and streams whose host functions may have panicked. A thread's default stream records by its helper.

use gpu_stream_core::{CaptureStatus, HandleKind};
use gpu_stream_driver_common::thread_number;

use super::HipStream;
use crate::driver::Driver;
use crate::driver::capture::{self, CaptureInfo};
use crate::driver::symbols::Ptr;
use crate::event::{CapturedRecord, RecordSource};
use crate::{HipError, HipEvent, per_thread};

impl HipStream {
    /// Calls `record` with the stream that records, on the fast path if possible.
    #[inline]
    pub(super) fn record_with<T>(
        &self,
        operation: &'static str,
        record: impl FnOnce(&'static Driver, &RecordSource<'_>) -> Result<T, HipError>,
    ) -> Result<T, HipError> {
        match self.try_source_fast() {
            Some(driver) => {
                // SAFETY: the stream is live: `self` keeps it alive.
                let source = unsafe { RecordSource::new(self.raw, &self.owner, None) };
                record(driver, &source)
            }
            None => self.with_source(operation, record),
        }
    }

    /// Records a pooled event on any stream, also on a captured one.
    pub(crate) fn record_event_slow(&self, operation: &'static str) -> Result<HipEvent, HipError> {
        self.with_source(operation, |driver, source| {
            HipEvent::recorded(driver, self.device, source, operation)
        })
    }

    /// Calls `record` with the stream that records: this one, or the helper of a thread's default stream.
    #[cold]
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
