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
use crate::event::{CapturedRecord, Record};
use crate::{HipError, HipEvent, per_thread};

impl HipStream {
    /// Calls `record` with a record of this stream, on the fast path if possible. The stream is live, and its device is
    /// current if it is a default stream.
    #[inline]
    pub(super) fn record_with<T>(
        &self,
        operation: &'static str,
        record: impl FnOnce(&'static Driver, Record) -> Result<T, HipError>,
    ) -> Result<T, HipError> {
        match self.try_source_fast() {
            Some(driver) => record(driver, self.to_record(None)),
            None => self.record_with_slow(operation, record),
        }
    }

    /// Calls `record` as [`record_with`](Self::record_with) does, for any stream. A thread's default stream records by its
    /// helper.
    #[cold]
    fn record_with_slow<T>(
        &self,
        operation: &'static str,
        record: impl FnOnce(&'static Driver, Record) -> Result<T, HipError>,
    ) -> Result<T, HipError> {
        self.check_fault(operation)?;
        self.with_current(operation, |driver, raw| {
            // SAFETY: `raw` is live: `self` keeps it alive. `with_current` has set the device of a default stream.
            let captured = unsafe { capture_of(driver, raw, operation) }?;
            if self.raw.kind() == HandleKind::PerThread && captured.is_none() {
                let helper = per_thread::follow(driver, self.device, operation)?;
                return record(
                    driver,
                    Record { stream: helper.raw, owner: helper.owner, captured },
                );
            }
            record(driver, self.to_record(captured))
        })
    }

    fn to_record(&self, captured: Option<CapturedRecord>) -> Record {
        Record { stream: self.raw, owner: self.owner.clone(), captured }
    }

    /// Records a pooled event on any stream, also on a captured one.
    pub(crate) fn record_event_slow(&self, operation: &'static str) -> Result<HipEvent, HipError> {
        self.record_with_slow(operation, |driver, record| {
            // SAFETY: `record_with_slow` passes a live stream, whose device is current if it is a default stream.
            unsafe { HipEvent::recorded(driver, self.device, record, operation) }
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
