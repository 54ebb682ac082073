//! Records of an event on a stream.
//!
//! Fast path: the stream is explicit and not captured. The slow path also serves default streams, captured
//! streams, and streams whose host functions may have panicked.

use gpu_stream_core::{CaptureStatus, Event as _, Stream as _};

use super::HipStream;
use crate::driver::capture::{self, CaptureInfo};
use crate::driver::symbols::Ptr;
use crate::driver::{Driver, driver};
use crate::event::{RecordSource, ReplacedRecord};
use crate::event_state::CapturedRecord;
use crate::{HipError, HipEvent};

impl HipStream {
    #[inline]
    fn record_source(&self) -> RecordSource<'_> {
        RecordSource { stream: self.raw, keeper: &self.keeper, captured: None }
    }

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
        let (driver, raw) = (self.try_source_fast()?, self.raw.as_ptr());
        // SAFETY: `raw` is live: `self` keeps it alive. The event is live: `HipEvent::record` keeps its owner. It
        // belongs to the stream's device.
        let record = |handle| unsafe { (driver.symbols.event_record)(handle, raw) };
        Some(
            event
                .record(driver, self.record_source(), operation, record)
                .map(ReplacedRecord::discard),
        )
    }

    /// Records `event` on any stream, also on a captured one.
    pub(super) fn record_slow(
        &self,
        event: &HipEvent,
        operation: &'static str,
    ) -> Result<(), HipError> {
        self.device().check_can_record(event.device(), operation)?;
        self.check_fault(operation)?;
        let replaced = self.with_current(operation, |driver, raw| {
            // SAFETY: `raw` is live: `self` keeps it alive. `with_current` has set the device of a default stream.
            let captured = unsafe { capture_of(driver, raw, operation) }?;
            // SAFETY: `raw` is live, for the same reasons. The event is live: `HipEvent::record` keeps its owner.
            // It belongs to the stream's device.
            let record = |handle| unsafe { (driver.symbols.event_record)(handle, raw) };
            let source = RecordSource { captured, ..self.record_source() };
            event.record(driver, source, operation, record)
        })?;
        replaced.discard();
        Ok(())
    }

    /// Tries to record a pooled event on the fast path. Returns `None` if the slow path is needed.
    #[inline]
    pub(super) fn try_record_event_fast(
        &self,
        operation: &'static str,
    ) -> Option<Result<HipEvent, HipError>> {
        let (driver, raw) = (self.try_source_fast()?, self.raw.as_ptr());
        let device = (driver, driver.device_state(self.device)?, self.device);
        // SAFETY: `raw` is live: `self` keeps it alive. The event is live: `HipEvent::recorded` owns it. It belongs
        // to the stream's device.
        let record = |handle| unsafe { (driver.symbols.event_record)(handle, raw) };
        Some(HipEvent::recorded(device, self.record_source(), operation, record))
    }

    /// Records a pooled event on any stream, also on a captured one.
    pub(crate) fn record_event_slow(&self, operation: &'static str) -> Result<HipEvent, HipError> {
        self.check_fault(operation)?;
        let entry = driver()?.device_state(self.device).expect("a stream's device is there");
        self.with_current(operation, |driver, raw| {
            // SAFETY: `raw` is live: `self` keeps it alive. `with_current` has set the device of a default stream.
            let captured = unsafe { capture_of(driver, raw, operation) }?;
            // SAFETY: `raw` is live, for the same reasons. The event is live: `HipEvent::recorded` owns it. It
            // belongs to the stream's device.
            let record = |handle| unsafe { (driver.symbols.event_record)(handle, raw) };
            let source = RecordSource { captured, ..self.record_source() };
            HipEvent::recorded((driver, entry, self.device), source, operation, record)
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
    // SAFETY: `stream` is live, or its device is current (caller contract).
    Ok(Some(match unsafe { capture::info(driver, stream) } {
        Some(CaptureInfo { id, nodes }) => CapturedRecord { id: Some(id), nodes: nodes.into() },
        None => CapturedRecord { id: None, nodes: [].into() },
    }))
}
