//! Waits of a stream for an event, outside of captures and inside.
//!
//! | the waiting stream | the event's last record | |
//! |---|---|---|
//! | not captured | outside of captures | the runtime's wait |
//! | not captured | in a capture that goes on | draws the stream into that capture |
//! | any | in a capture that is over | refused |
//! | any | on this very stream, in the same capture or none | nothing: no call |
//! | captured | in the same capture | its nodes are added to the stream's |
//! | the default stream | in a capture that goes on | refused: it cannot be captured |
//! | captured | outside, or in another capture | refused: a graph has no such order, and HIP says success |
//!
//! Where others have the handle, only the runtime knows the last record. There a captured stream lets
//! a *probe* stream wait first, and sees which capture that was drawn into.

use gpu_stream_core::{CaptureStatus, ContractError, Error as _, ErrorKind, HandleKind};

use super::{HipStream, create};
use crate::driver::Driver;
use crate::driver::capture::{self, CaptureInfo};
use crate::driver::code::HipCode;
use crate::driver::is_on_cuda;
use crate::driver::symbols::Ptr;
use crate::owned_event::Stand;
use crate::{HipError, HipEvent, event};

impl HipStream {
    /// Returns `true` if the record was made on this stream, outside of captures, and nothing else can
    /// have moved the event since. What keeps the record's stream alive keeps its handle from being
    /// used again.
    #[inline]
    fn is_own_record(&self, stand: &Stand) -> bool {
        stand.last.as_ref().is_some_and(|last| {
            last.stream == self.raw
                && last.keeper.is_same(&self.keeper)
                && stand.possibly_referenced.is_empty()
                && !stand.handle.is_escaped()
        })
    }

    /// Tries to wait for `event` on the fast path. Returns `None` if the slow path is needed.
    #[inline]
    pub(super) fn try_wait_fast(
        &self,
        event: &HipEvent,
        operation: &'static str,
    ) -> Option<Result<(), HipError>> {
        let driver = self.try_source_fast()?;
        let stand = event.in_use();
        if !stand.can_query_directly() {
            return None;
        }
        if stand.is_unrecorded() || self.is_own_record(&stand) && event.ordinal() == self.device {
            return Some(Ok(()));
        }
        let raw = self.raw.as_ptr();
        // SAFETY: the stream is alive, and so is the event, and what it points to; it may be of any
        // device. Flags are 0.
        let code = unsafe { (driver.symbols.stream_wait_event)(raw, stand.raw(), 0) };
        Some(match code {
            HipCode::SUCCESS => Ok(()),
            code => Err(self.wait_error(driver, code, false, operation)),
        })
    }

    pub(crate) fn wait_event_slow(
        &self,
        event: &HipEvent,
        operation: &'static str,
    ) -> Result<(), HipError> {
        self.check_fault(operation)?;
        self.with_current(operation, |driver, raw| {
            // SAFETY: `with_current` has made current what a default stream needs.
            unsafe { self.ensure_default_not_capturing(driver, raw, operation) }?;
            let stand = event.in_use();
            if stand.is_unrecorded() {
                return Ok(());
            }
            event.ensure_not_stale(driver, &stand, operation)?;
            // SAFETY: the stream is alive, and `with_current` has made current what a default one needs.
            match unsafe { capture::capture_info(driver, raw, operation) }? {
                None => self.wait_uncaptured(driver, raw, (event, &stand), operation),
                Some(mine) => self.wait_captured(driver, raw, &mine, (event, &stand), operation),
            }
        })
    }

    /// Waits by the runtime's own call.
    fn wait_by_runtime(
        &self,
        driver: &'static Driver,
        raw: Ptr,
        stand: &Stand,
        operation: &'static str,
    ) -> Result<(), HipError> {
        let waited = stand.with_guards(|| {
            // SAFETY: the stream is alive, and what a default one needs is current; the event is
            // alive, and so is what it points to; it may be of any device. Flags are 0.
            unsafe { (driver.symbols.stream_wait_event)(raw, stand.raw(), 0) }
        });
        match waited {
            Ok(HipCode::SUCCESS) => Ok(()),
            Ok(code) => Err(self.wait_error(driver, code, stand.is_captured(), operation)),
            // What the event stands for is over: there is nothing to wait for.
            Err(end) => end.answer(operation),
        }
    }

    fn wait_uncaptured(
        &self,
        driver: &'static Driver,
        raw: Ptr,
        (event, stand): (&HipEvent, &Stand),
        operation: &'static str,
    ) -> Result<(), HipError> {
        let is_own = self.is_own_record(stand) && event.ordinal() == self.device;
        if is_own && !stand.is_captured() {
            return Ok(());
        }
        if self.raw.kind() == HandleKind::Default
            && self.is_in_capture(driver, event, stand, operation)?
        {
            let bits = stand.handle.raw.to_bits();
            return Err(HipError::DefaultStreamCapture { operation, what: "event", bits });
        }
        self.wait_by_runtime(driver, raw, stand, operation)
    }

    /// Returns `true` if the event was recorded in a capture that goes on. Also returns `false` if others
    /// may have recorded it, and the runtime itself refuses a wait of the default stream for it.
    fn is_in_capture(
        &self,
        driver: &'static Driver,
        event: &HipEvent,
        stand: &Stand,
        operation: &'static str,
    ) -> Result<bool, HipError> {
        if stand.is_captured() {
            return Ok(true);
        }
        if !stand.handle.is_escaped() || !driver.quirks.captures_default {
            return Ok(false);
        }
        // The runtime says so of every event whose stream is captured, and only a wait tells the record.
        match event.is_done(driver, stand, operation) {
            Err(error) if is_captured_answer(&error) => {
                let (probe, _owner) =
                    create(driver, event.ordinal(), Default::default(), operation)?;
                self.wait_by_runtime(driver, probe.as_ptr(), stand, operation)?;
                // SAFETY: the probe is alive: `_owner` keeps it.
                let status = unsafe { capture::status(driver, probe.as_ptr(), operation) }?;
                Ok(status != CaptureStatus::None)
            }
            _ => Ok(false),
        }
    }

    /// Waits inside of the capture `mine` of this stream.
    #[cold]
    fn wait_captured(
        &self,
        driver: &'static Driver,
        raw: Ptr,
        mine: &CaptureInfo,
        (event, stand): (&HipEvent, &Stand),
        operation: &'static str,
    ) -> Result<(), HipError> {
        if is_on_cuda(driver.version) && stand.handle.is_escaped() {
            // CUDA tells each case itself.
            return self.wait_by_runtime(driver, raw, stand, operation);
        }
        let bits = stand.handle.raw.to_bits();
        let uncaptured = || {
            let waiter = self.bits();
            Err(ContractError::capture_of_uncaptured(operation, waiter, "event", bits).into())
        };
        if stand.handle.is_escaped() && driver.quirks.adds_dependencies {
            return self.wait_by_probe(driver, raw, mine, (event, stand), operation);
        }
        let Some(captured) = stand.last.as_ref().and_then(|last| last.captured.as_ref()) else {
            return uncaptured();
        };
        match event.live_capture(driver, stand, operation) {
            Some(theirs) if theirs.is_same(mine.id) => {}
            Some(_) => {
                let waiter = self.bits();
                return Err(
                    ContractError::capture_of_another(operation, waiter, "event", bits).into()
                );
            }
            None => return Err(HipError::CapturedEvent { operation }),
        }
        if self.is_own_record(stand) && event.ordinal() == self.device {
            return Ok(());
        }
        // SAFETY: the stream is alive, and what a default one needs is current; the nodes are of the
        // capture that both are in.
        if unsafe { capture::add_dependencies(driver, raw, &captured.nodes) } {
            return Ok(());
        }
        self.wait_by_runtime(driver, raw, stand, operation)?;
        // SAFETY: the stream is alive, and what a default one needs is current.
        unsafe { capture::renumbered(driver, raw, mine.id) };
        Ok(())
    }

    /// Waits, inside of the capture `mine`, for an event that others may have recorded.
    #[cold]
    fn wait_by_probe(
        &self,
        driver: &'static Driver,
        raw: Ptr,
        mine: &CaptureInfo,
        (event, stand): (&HipEvent, &Stand),
        operation: &'static str,
    ) -> Result<(), HipError> {
        // Destroyed when it is idle and no capture has it any more.
        let (probe, _owner) = create(driver, event.ordinal(), Default::default(), operation)?;
        self.wait_by_runtime(driver, probe.as_ptr(), stand, operation)?;
        let (waiter, bits) = (self.bits(), stand.handle.raw.to_bits());
        // SAFETY: the probe is alive.
        match unsafe { capture::capture_info(driver, probe.as_ptr(), operation) }? {
            None => {
                Err(ContractError::capture_of_uncaptured(operation, waiter, "event", bits).into())
            }
            Some(theirs) if !theirs.id.is_same(mine.id) => {
                Err(ContractError::capture_of_another(operation, waiter, "event", bits).into())
            }
            Some(theirs) => {
                // SAFETY: the stream is alive, and what a default one needs is current; the nodes are
                // of the capture that both are in.
                if unsafe { capture::add_dependencies(driver, raw, &theirs.nodes) } {
                    return Ok(());
                }
                self.wait_by_runtime(driver, raw, stand, operation)
            }
        }
    }

    /// Waits for all work of `source` if this stream is captured. Returns `Ok(false)` if that takes an
    /// event.
    pub(crate) fn wait_in_capture(
        &self,
        source: &HipStream,
        operation: &'static str,
    ) -> Result<bool, HipError> {
        self.check_fault(operation)?;
        source.check_fault(operation)?;
        let info = |stream: &HipStream| {
            stream.with_current(operation, |driver, raw| {
                // SAFETY: the stream is alive, and `with_current` has made current what a default one needs.
                unsafe { capture::capture_info(driver, raw, operation) }
            })
        };
        let (waiter, bits) = (self.bits(), source.bits());
        let status = |stream: &HipStream| {
            stream.with_current(operation, |driver, raw| {
                // SAFETY: the stream is alive, and `with_current` has made current what a default one needs.
                unsafe { capture::status(driver, raw, operation) }
            })
        };
        let Some(mine) = info(self)? else {
            if self.raw.kind() == HandleKind::Default && status(source)? != CaptureStatus::None {
                return Err(HipError::DefaultStreamCapture { operation, what: "stream", bits });
            }
            return Ok(false);
        };
        match info(source)? {
            None if status(source)? != CaptureStatus::None => {
                // Broken, or it began just now: the record says which.
                Ok(false)
            }
            None => {
                Err(ContractError::capture_of_uncaptured(operation, waiter, "stream", bits).into())
            }
            Some(theirs) if !theirs.id.is_same(mine.id) => {
                Err(ContractError::capture_of_another(operation, waiter, "stream", bits).into())
            }
            Some(theirs) => self.with_current(operation, |driver, raw| {
                // SAFETY: the stream is alive, and `with_current` has made current what a default one needs; the
                // nodes are of the capture that both are in.
                Ok(unsafe { capture::add_dependencies(driver, raw, &theirs.nodes) })
            }),
        }
    }

    /// Returns the error for what the runtime answered to a wait of this stream for an event, whose
    /// last record was made in a capture or not. A default stream has its device current.
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
                // SAFETY: the stream is alive, and what a default one needs is current.
                match unsafe { capture::status(driver, self.raw.as_ptr(), operation) } {
                    // This stream is not captured, so the event's is: it is said of the event then,
                    // and by the code for that.
                    Ok(CaptureStatus::None) => HipCode::CAPTURED_EVENT,
                    Ok(_) => HipCode::CAPTURE_ISOLATION,
                    Err(error) => return error,
                }
            }
            code => code,
        };
        event::refused(in_a_capture, code, operation, "hipStreamWaitEvent")
    }
}

/// Returns `true` if the runtime said of an event that its stream is captured.
fn is_captured_answer(error: &HipError) -> bool {
    error.kind() == ErrorKind::Capturing
        || matches!(error, HipError::Driver { code: HipCode::CAPTURED_EVENT, .. })
}
