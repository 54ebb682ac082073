//! Records of an event on a stream.
//!
//! Fast path: the stream is explicit and not captured. The slow path also serves default streams, captured
//! streams, and streams whose host functions may have panicked. A thread's default stream records by its helper.

use gpu_stream_core::HandleKind;
use gpu_stream_driver_common::captures::Capturable;

use super::HipStream;
use crate::driver::Driver;
use crate::event::{CapturedRecord, Record, capture_of};
use crate::{HipError, HipEvent, per_thread};

impl HipStream {
    /// Calls `record` with a record of this stream, on the fast path if possible. The stream is live, and its device is
    /// current if it is a default stream. `record` also gets what tells whether another thread can begin a capture of the
    /// stream meanwhile, or `None` if none can.
    #[inline]
    pub(super) fn record_with<T>(
        &self,
        operation: &'static str,
        record: impl FnOnce(&'static Driver, Record, Option<&Capturable>) -> Result<T, HipError>,
    ) -> Result<T, HipError> {
        match self.try_source_fast() {
            Some(driver) => record(driver, self.to_record(None), Some(&self.capturable)),
            None => self.record_with_slow(operation, record),
        }
    }

    /// Calls `record` as [`record_with`](Self::record_with) does, for any stream. A thread's default stream records by its
    /// helper.
    #[cold]
    fn record_with_slow<T>(
        &self,
        operation: &'static str,
        record: impl FnOnce(&'static Driver, Record, Option<&Capturable>) -> Result<T, HipError>,
    ) -> Result<T, HipError> {
        self.check_fault(operation)?;
        self.with_current(operation, |driver, raw| {
            // SAFETY: `raw` is live: `self` keeps it alive. `with_current` has set the device of a default stream.
            let captured = unsafe { capture_of(driver, raw, operation) }?;
            if self.raw.kind() == HandleKind::PerThread && captured.is_none() {
                let helper = per_thread::follow(driver, self.device, operation)?;
                let record_of_helper = Record { stream: helper.raw, owner: helper.owner, captured };
                return record(driver, record_of_helper, None);
            }
            // No other thread can name a thread's default stream, and no capture can have the default stream.
            let is_explicit = self.raw.kind() == HandleKind::Explicit;
            record(driver, self.to_record(captured), is_explicit.then_some(&self.capturable))
        })
    }

    fn to_record(&self, captured: Option<CapturedRecord>) -> Record {
        Record { stream: self.raw, owner: self.owner.clone(), captured }
    }

    /// Records a pooled event on any stream, also on a captured one.
    pub(crate) fn record_event_slow(&self, operation: &'static str) -> Result<HipEvent, HipError> {
        self.record_with_slow(operation, |driver, record, capturable| {
            // SAFETY: `record_with_slow` passes a live stream, whose device is current if it is a default stream.
            unsafe { HipEvent::recorded(driver, self.device, record, capturable, operation) }
        })
    }
}
