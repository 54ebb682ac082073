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
use crate::event::EventState;
use crate::owned_stream::create;
use crate::poll::query_error;
use crate::{HipError, HipEvent};

impl HipStream {
    /// Returns `true` if the event's last record was made on this stream, and no other record is possible.
    #[inline]
    fn is_own_record(&self, event: &HipEvent, state: &EventState) -> bool {
        event.ordinal() == self.device
            && state.is_record_of(self.raw, &self.owner)
            && !state.is_fixed()
    }

    /// Tries to wait for `event` on the fast path. Returns `None` if the slow path is needed.
    #[inline]
    pub(super) fn try_wait_fast(
        &self,
        event: &HipEvent,
        operation: &'static str,
    ) -> Option<Result<(), HipError>> {
        // The event may be from before a reset, as this stream may be.
        let driver = self.fast_driver().filter(|driver| self.is_seen_uncaptured(driver))?;
        let state = event.in_use();
        if state.is_captured() {
            return None;
        }
        Some(self.wait_uncaptured(driver, self.raw.as_ptr(), (event, &state), operation))
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
            let mine = unsafe { capture::capture_info(driver, raw, operation) }?;
            let state = event.in_use();
            if state.is_unrecorded() {
                return Ok(());
            }
            // An error if the capture is over.
            let theirs = event.capture_of_record(driver, &state, operation)?;
            match mine.map(|mine| (mine, theirs)) {
                None => self.wait_uncaptured(driver, raw, (event, &state), operation),
                Some(both) => self.wait_captured(driver, raw, both, (event, &state), operation),
            }
        })
    }

    /// Waits on a stream that is not captured. The caller has set the device of a default stream.
    #[inline]
    fn wait_uncaptured(
        &self,
        driver: &'static Driver,
        raw: Ptr,
        (event, state): (&HipEvent, &EventState),
        operation: &'static str,
    ) -> Result<(), HipError> {
        let is_captured = state.is_captured();
        if state.is_unrecorded() || !is_captured && self.is_own_record(event, state) {
            return Ok(());
        }
        if is_captured && self.raw.kind() == HandleKind::Default {
            let bits = state.raw().addr();
            let (waiter, waited_for) = (self.bits(), "event");
            let error = ContractError::DefaultStreamCapture { operation, waiter, waited_for, bits };
            return Err(error.into());
        }
        // The wait may make this stream part of a capture, and another thread may query it at any time.
        if is_captured || state.is_fixed() {
            self.capturable.set();
        }
        let outcome = wait_by_runtime(driver, raw, state, operation);
        // The handle may have become fixed since.
        if state.is_fixed() {
            self.capturable.set();
        }
        outcome
    }

    /// Waits inside of this stream's capture `mine`. `known` is the capture of the last record that this crate made. The
    /// caller has set the device of a default stream.
    #[cold]
    fn wait_captured(
        &self,
        driver: &'static Driver,
        raw: Ptr,
        (mine, known): (CaptureInfo, Option<CaptureInfo>),
        (event, state): (&HipEvent, &EventState),
        operation: &'static str,
    ) -> Result<(), HipError> {
        if driver.quirks.refuses_isolated_waits && state.is_fixed() {
            return match event.check_isolation(driver, state, self.bits(), operation)? {
                true => wait_by_runtime(driver, raw, state, operation),
                false => Ok(()),
            };
        }
        let (waiter, bits) = (self.bits(), state.raw().addr());
        let theirs = match state.is_fixed() && driver.quirks.adds_dependencies {
            true => capture_by_probe(driver, (event, state), operation)?,
            false => known,
        };
        let Some(theirs) = theirs else {
            let error = ContractError::capture_of_uncaptured(operation, waiter, "event", bits);
            return Err(error.into());
        };
        if !theirs.id.is_same(mine.id) {
            let error = ContractError::capture_of_another(operation, waiter, "event", bits);
            return Err(error.into());
        }
        if self.is_own_record(event, state) {
            return Ok(());
        }
        // SAFETY: `raw` is live: `self` keeps it alive. The caller has set the device of a default stream. The
        // nodes belong to the capture of both.
        if unsafe { capture::add_dependencies(driver, raw, &theirs.nodes) } {
            return Ok(());
        }
        wait_by_runtime(driver, raw, state, operation)
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
}

/// Calls `hipStreamWaitEvent`. The caller keeps the stream alive, and has set the device of a default stream.
#[inline]
fn wait_by_runtime(
    driver: &'static Driver,
    raw: Ptr,
    state: &EventState,
    operation: &'static str,
) -> Result<(), HipError> {
    // SAFETY:
    // - `raw` is live: the caller keeps it alive, and has set the device of a default stream.
    // - The event is live, and so is each stream that it may point to: `state` keeps them.
    // - The event may belong to any device. Flags must be 0.
    match unsafe { (driver.symbols.stream_wait_event)(raw, state.raw(), 0) } {
        HipCode::SUCCESS => Ok(()),
        code => Err(wait_error(driver, code, state.is_captured(), operation)),
    }
}

/// Returns the capture that the event's last record was made in, for an event that another library may have recorded.
#[cold]
fn capture_by_probe(
    driver: &'static Driver,
    (event, state): (&HipEvent, &EventState),
    operation: &'static str,
) -> Result<Option<CaptureInfo>, HipError> {
    // Destroyed once it is idle and in no capture.
    let (probe, _owner) = create(driver, event.ordinal(), 0, Default::default(), operation)?;
    wait_by_runtime(driver, probe.as_ptr(), state, operation)?;
    // SAFETY: the probe is live: `_owner` keeps it alive.
    unsafe { capture::capture_info(driver, probe.as_ptr(), operation) }
}

/// Converts the runtime's code for a wait for an event. `in_a_capture` is set if the event was recorded in a capture.
#[cold]
pub(super) fn wait_error(
    driver: &'static Driver,
    code: HipCode,
    in_a_capture: bool,
    operation: &'static str,
) -> HipError {
    driver.clear_last_error(code);
    let code = match code {
        // AMD's runtime does not look at the waiting stream: the event's stream is captured.
        HipCode::CAPTURE_ISOLATION if !driver.quirks.refuses_isolated_waits => {
            HipCode::CAPTURED_EVENT
        }
        code => code,
    };
    query_error(in_a_capture, code, operation, "hipStreamWaitEvent")
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
