//! Waits of a stream for an event, outside of captures and inside.
//!
//! | the waiting stream | the event's last record | |
//! |---|---|---|
//! | not captured | outside of captures | the runtime's wait |
//! | not captured | in a capture that goes on | makes the stream part of that capture |
//! | any | in a capture that is over | refused |
//! | any | on this very stream, in the same capture or none | no call |
//! | captured | in the same capture | its nodes are added to the stream's |
//! | the default stream | in a capture that goes on | refused: it cannot be captured |
//! | captured | outside, or in another capture | refused: a graph has no such order, and HIP reports success |
//!
//! If the event's handle is known outside of this crate, only the runtime knows the last record. Then, on
//! a captured stream from HIP 5.7 on, a *probe* stream waits first, and the capture that it is drawn into is the record's.

use gpu_stream_core::{CaptureStatus, ContractError, HandleKind};
use gpu_stream_driver_common::captures::{CaptureStream, Membership, check_streams};

use super::HipStream;
use crate::code::HipCode;
use crate::driver::Driver;
use crate::driver::capture::{self, CaptureInfo};
use crate::driver::symbols::Ptr;
use crate::event::{EventState, InUse};
use crate::owned_stream::create;
use crate::poll::query_error;
use crate::{HipError, HipEvent};

impl HipStream {
    /// Returns `true` if the event's last record was made on this stream, and no other record is possible.
    #[inline]
    fn is_own_record(&self, event: &HipEvent, state: &InUse) -> bool {
        event.ordinal() == self.device
            && state.is_record_of(self.raw, &self.owner)
            && !state.is_escaped
    }

    /// Tries to wait for `event` on the fast path. Returns `None` if the slow path is needed.
    #[inline]
    pub(super) fn try_wait_fast(
        &self,
        event: &HipEvent,
        operation: &'static str,
    ) -> Option<Result<(), HipError>> {
        let driver = self.try_source_fast()?;
        let state = event.in_use();
        if state.is_captured() {
            return None;
        }
        if state.is_unrecorded() || self.is_own_record(event, &state) {
            return Some(Ok(()));
        }
        let raw = self.raw.as_ptr();
        // SAFETY:
        // - `raw` is live: `self` keeps it alive.
        // - The event is live, and so is the stream that it points to: `state` keeps both.
        // - The event may belong to any device. Flags must be 0.
        let code = unsafe { (driver.symbols.stream_wait_event)(raw, state.raw(), 0) };
        Some(match code {
            HipCode::SUCCESS => Ok(()),
            code => Err(self.wait_error(driver, code, false, operation)),
        })
    }

    /// Waits for `event` on any stream, also on a captured one.
    pub(crate) fn wait_event_slow(
        &self,
        event: &HipEvent,
        operation: &'static str,
    ) -> Result<(), HipError> {
        self.check_fault(operation)?;
        self.with_current(operation, |driver, raw| {
            // SAFETY: `raw` is live: `self` keeps it alive. `with_current` has set the device of a default stream.
            unsafe { self.ensure_default_not_capturing(driver, raw, operation) }?;
            let state = event.in_use();
            if state.is_unrecorded() {
                return Ok(());
            }
            event.ensure_not_stale(driver, &state, operation)?;
            // SAFETY: `raw` is live, for the same reasons.
            match unsafe { capture::capture_info(driver, raw, operation) }? {
                None => self.wait_uncaptured(driver, raw, (event, &state), operation),
                Some(mine) => self.wait_captured(driver, raw, &mine, (event, &state), operation),
            }
        })
    }

    /// Calls `hipStreamWaitEvent`.
    fn wait_by_runtime(
        &self,
        driver: &'static Driver,
        raw: Ptr,
        state: &EventState,
        operation: &'static str,
    ) -> Result<(), HipError> {
        // SAFETY:
        // - `raw` is live: the caller keeps it alive, and has set the device of a default stream.
        // - The event is live, and so is each stream that it may point to: `state` keeps them.
        // - The event may belong to any device. Flags must be 0.
        let code = unsafe { (driver.symbols.stream_wait_event)(raw, state.raw(), 0) };
        match code {
            HipCode::SUCCESS => Ok(()),
            code => Err(self.wait_error(driver, code, state.is_captured(), operation)),
        }
    }

    /// Waits on a stream that is not captured.
    fn wait_uncaptured(
        &self,
        driver: &'static Driver,
        raw: Ptr,
        (event, state): (&HipEvent, &InUse),
        operation: &'static str,
    ) -> Result<(), HipError> {
        let is_own = self.is_own_record(event, state);
        if is_own && !state.is_captured() {
            return Ok(());
        }
        if self.raw.kind() == HandleKind::Default && state.is_captured() {
            let bits = state.raw().addr();
            let (waiter, waited_for) = (self.bits(), "event");
            let error = ContractError::DefaultStreamCapture { operation, waiter, waited_for, bits };
            return Err(error.into());
        }
        self.wait_by_runtime(driver, raw, state, operation)
    }

    /// Waits inside of this stream's capture `mine`.
    #[cold]
    fn wait_captured(
        &self,
        driver: &'static Driver,
        raw: Ptr,
        mine: &CaptureInfo,
        (event, state): (&HipEvent, &InUse),
        operation: &'static str,
    ) -> Result<(), HipError> {
        if driver.quirks.refuses_isolated_waits && state.is_escaped {
            // CUDA itself reports each case.
            return self.wait_by_runtime(driver, raw, state, operation);
        }
        let bits = state.raw().addr();
        let uncaptured = || {
            let waiter = self.bits();
            Err(ContractError::capture_of_uncaptured(operation, waiter, "event", bits).into())
        };
        if state.is_escaped && driver.quirks.adds_dependencies {
            return self.wait_by_probe(driver, raw, mine, (event, state), operation);
        }
        let Some(captured) = state.last.as_ref().and_then(|last| last.captured.as_ref()) else {
            return uncaptured();
        };
        match event.live_capture(driver, state, operation) {
            Some(theirs) if theirs.is_same(mine.id) => {}
            Some(_) => {
                let waiter = self.bits();
                return Err(
                    ContractError::capture_of_another(operation, waiter, "event", bits).into()
                );
            }
            None => return Err(HipError::CapturedEvent { operation }),
        }
        if self.is_own_record(event, state) {
            return Ok(());
        }
        // SAFETY: `raw` is live: `self` keeps it alive. The caller has set the device of a default stream. The
        // nodes belong to the capture of both.
        if unsafe { capture::add_dependencies(driver, raw, &captured.nodes) } {
            return Ok(());
        }
        self.wait_by_runtime(driver, raw, state, operation)
    }

    /// Waits, inside of the capture `mine`, for an event that another library may have recorded.
    #[cold]
    fn wait_by_probe(
        &self,
        driver: &'static Driver,
        raw: Ptr,
        mine: &CaptureInfo,
        (event, state): (&HipEvent, &InUse),
        operation: &'static str,
    ) -> Result<(), HipError> {
        // Destroyed once it is idle and in no capture.
        let (probe, _owner) = create(driver, event.ordinal(), 0, Default::default(), operation)?;
        self.wait_by_runtime(driver, probe.as_ptr(), state, operation)?;
        let (waiter, bits) = (self.bits(), state.raw().addr());
        // SAFETY: the probe is live: `_owner` keeps it alive.
        match unsafe { capture::capture_info(driver, probe.as_ptr(), operation) }? {
            None => {
                Err(ContractError::capture_of_uncaptured(operation, waiter, "event", bits).into())
            }
            Some(theirs) if !theirs.id.is_same(mine.id) => {
                Err(ContractError::capture_of_another(operation, waiter, "event", bits).into())
            }
            Some(theirs) => {
                // SAFETY: `raw` is live: `self` keeps it alive. The caller has set the device of a default
                // stream. The nodes belong to the capture of both.
                if unsafe { capture::add_dependencies(driver, raw, &theirs.nodes) } {
                    return Ok(());
                }
                self.wait_by_runtime(driver, raw, state, operation)
            }
        }
    }

    /// Waits for all work of `source` if both streams are in one capture. Returns `Ok(false)` if the wait
    /// needs an event.
    ///
    /// # Errors
    /// [`Capturing`](gpu_stream_core::ErrorKind::Capturing) if the wait cannot be part of the capture.
    pub(crate) fn wait_in_capture(
        &self,
        source: &HipStream,
        operation: &'static str,
    ) -> Result<bool, HipError> {
        self.check_fault(operation)?;
        source.check_fault(operation)?;
        match check_streams(&CaptureMember(self), &CaptureMember(source), operation)? {
            None => Ok(false),
            Some(theirs) => self.with_current(operation, |driver, raw| {
                // SAFETY: `raw` is live: `self` keeps it alive. `with_current` has set the device of a default
                // stream. The nodes belong to the capture of both.
                Ok(unsafe { capture::add_dependencies(driver, raw, &theirs.nodes) })
            }),
        }
    }

    /// Converts the runtime's code for a wait of this stream for an event. The caller has set the device of a
    /// default stream.
    #[cold]
    pub(crate) fn wait_error(
        &self,
        driver: &'static Driver,
        code: HipCode,
        in_a_capture: bool,
        operation: &'static str,
    ) -> HipError {
        driver.clear_last_error(code);
        let code = match code {
            HipCode::CAPTURE_ISOLATION => {
                // SAFETY: `raw` is live: `self` keeps it alive. The caller has set the device of a default stream.
                match unsafe { capture::status(driver, self.raw.as_ptr(), operation) } {
                    // This stream is not captured, so the event's stream is.
                    Ok(CaptureStatus::None) => HipCode::CAPTURED_EVENT,
                    Ok(_) => HipCode::CAPTURE_ISOLATION,
                    Err(error) => return error,
                }
            }
            code => code,
        };
        query_error(in_a_capture, code, operation, "hipStreamWaitEvent")
    }
}

/// A stream and its capture, for the rules that all backends share.
struct CaptureMember<'s>(&'s HipStream);

impl CaptureStream for CaptureMember<'_> {
    type Capture = CaptureInfo;
    type Error = HipError;

    fn bits(&self) -> usize {
        self.0.bits()
    }

    fn is_default(&self) -> bool {
        self.0.raw.kind() == HandleKind::Default
    }

    fn membership(&self, operation: &'static str) -> Result<Membership<CaptureInfo>, HipError> {
        self.0.with_current(operation, |driver, raw| {
            // SAFETY: `raw` is live: the stream is borrowed. `with_current` has set the device of a default stream.
            unsafe {
                if capture::status(driver, raw, operation)? == CaptureStatus::None {
                    return Ok(Membership::None);
                }
                let info = capture::capture_info(driver, raw, operation)?;
                Ok(info.map_or(Membership::Broken, Membership::Active))
            }
        })
    }

    fn is_same(one: &CaptureInfo, other: &CaptureInfo) -> bool {
        one.id.is_same(other.id)
    }
}
