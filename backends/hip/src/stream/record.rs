//! Records of a stream.

use gpu_stream_core::{CaptureStatus, Event as _, Stream as _};

use super::HipStream;
use crate::driver::Driver;
use crate::driver::capture::{self, CaptureInfo};
use crate::driver::driver;
use crate::driver::symbols::Ptr;
use crate::event::{On, ReplacedRecord};
use crate::owned_event::CapturedRecord;
use crate::{HipError, HipEvent};

impl HipStream {
    #[inline]
    fn on(&self) -> On<'_> {
        On { stream: self.raw, keeper: &self.keeper, before: None }
    }

    /// Returns the capture that the stream is in, if it is in one. Asked behind a record, since a
    /// capture may have begun after the check before it.
    #[inline]
    fn capture_id_after_record(&self, driver: &'static Driver) -> Option<CapturedRecord> {
        let raw = self.raw.as_ptr();
        // SAFETY: the stream is alive, and what a default one needs is current.
        unsafe { capture::capture_started(driver, raw).then(|| captured(driver, raw)) }
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
        // SAFETY: the stream is alive, and so is the event, which is of its device.
        let record = |handle| unsafe { (driver.symbols.event_record)(handle, raw) };
        let captured = || self.capture_id_after_record(driver);
        Some(
            event
                .record(driver, self.on(), operation, record, captured)
                .map(ReplacedRecord::discard),
        )
    }

    pub(super) fn record_slow(
        &self,
        event: &HipEvent,
        operation: &'static str,
    ) -> Result<(), HipError> {
        self.device().check_can_record(event.device(), operation)?;
        self.check_fault(operation)?;
        let replaced = self.with_current(operation, |driver, raw| {
            // SAFETY: the stream is alive, and `with_current` has made current what a default one needs.
            let before = unsafe { captured_before(driver, raw, operation) }?;
            // SAFETY: as above; the event is alive, and of the stream's device.
            let record = |handle| unsafe { (driver.symbols.event_record)(handle, raw) };
            let captured = || self.capture_id_after_record(driver);
            let on = On { stream: self.raw, keeper: &self.keeper, before: before.as_ref() };
            event.record(driver, on, operation, record, captured)
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
        let of = (driver, driver.device_state(self.device)?, self.device);
        // SAFETY: the stream is alive, and so is the event, which is of its device.
        let record = |handle| unsafe { (driver.symbols.event_record)(handle, raw) };
        let captured = || self.capture_id_after_record(driver);
        Some(HipEvent::recorded(of, self.on(), operation, record, captured))
    }

    pub(crate) fn record_event_slow(&self, operation: &'static str) -> Result<HipEvent, HipError> {
        self.check_fault(operation)?;
        let entry = driver()?.device_state(self.device).expect("a stream's device is there");
        self.with_current(operation, |driver, raw| {
            // SAFETY: the stream is alive, and `with_current` has made current what a default one needs.
            let before = unsafe { captured_before(driver, raw, operation) }?;
            // SAFETY: as above; the event is alive, and of the stream's device.
            let record = |handle| unsafe { (driver.symbols.event_record)(handle, raw) };
            let captured = || self.capture_id_after_record(driver);
            let on = On { stream: self.raw, keeper: &self.keeper, before: before.as_ref() };
            HipEvent::recorded((driver, entry, self.device), on, operation, record, captured)
        })
    }
}

/// Returns what a record in the capture of the stream stands for.
///
/// # Safety
/// As [`capture::status`].
unsafe fn captured(driver: &'static Driver, stream: Ptr) -> CapturedRecord {
    // SAFETY: the caller promises the same.
    match unsafe { capture::info(driver, stream) } {
        Some(CaptureInfo { id, nodes }) => CapturedRecord { id: Some(id), nodes: nodes.into() },
        None => CapturedRecord { id: None, nodes: [].into() },
    }
}

/// Returns the capture that the stream is in before a record.
///
/// # Safety
/// As [`capture::status`].
unsafe fn captured_before(
    driver: &'static Driver,
    stream: Ptr,
    operation: &'static str,
) -> Result<Option<CapturedRecord>, HipError> {
    // SAFETY: the caller promises the same.
    Ok(match unsafe { capture::status(driver, stream, operation) }? {
        CaptureStatus::None => None,
        // SAFETY: the caller promises the same.
        _ => Some(unsafe { captured(driver, stream) }),
    })
}
