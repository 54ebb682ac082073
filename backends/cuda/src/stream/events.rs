//! Records and waits of a [`CudaStream`].
//!
//! Each has a fast path, for an explicit stream without a fault that is not captured, and a slow one
//! for all others and for what the driver refuses on the fast one.

use std::sync::atomic::Ordering;

use gpu_stream_core::{CaptureStatus, Event as _, EventOptions, HandleKind, Stream as _};

use super::CudaStream;
use crate::driver::capture::{self, Membership};
use crate::driver::code::CudaCode;
use crate::driver::{Context, Driver, check, driver, loaded};
use crate::host_func::PANICS;
use crate::record::{CapturedRecord, Mark};
use crate::{CudaError, CudaEvent};

impl CudaStream {
    /// Returns `true` if this is an explicit stream without a fault, whose context is not seen to be over.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.raw.kind() == HandleKind::Explicit
            && !self.may_be_gone()
            && (PANICS.is_clean(&self.seen) || self.is_found_clean())
    }

    /// Returns `true` if the stream has no panic, which a new wrapper looks up once.
    #[cold]
    fn is_found_clean(&self) -> bool {
        self.check_fault("CudaStream::is_found_clean").is_ok()
    }

    /// Returns the driver if the stream [is plain](Self::is_plain).
    #[inline]
    fn fast_driver(&self) -> Option<&'static Driver> {
        if self.is_plain() { loaded() } else { None }
    }

    /// Tells records of this stream from those of others.
    #[inline]
    pub(crate) fn mark(&self) -> Mark {
        if self.owner.is_owned() {
            Mark::of_number(&self.number)
        } else {
            Mark::of_handle(self.raw)
        }
    }

    /// Returns the number that a clone of the wrapper has: its own is given first, so that both are known
    /// for one stream.
    pub(super) fn number_for_clone(&self) -> u64 {
        if self.owner.is_owned() {
            Mark::of_number(&self.number);
        }
        self.number.load(Ordering::Relaxed)
    }

    /// Tries to record the event on the fast path. Returns `None` if the slow path is needed.
    #[inline]
    fn try_record_fast(&self, event: &CudaEvent) -> Option<CudaCode> {
        let driver = self.fast_driver()?;
        let context = Context::from_bits(self.context.load(Ordering::Relaxed));
        if event.may_be_gone() || context.is_some_and(|context| !event.belongs_to(context)) {
            return None;
        }
        let raw = self.raw.as_ptr();
        // SAFETY: the stream is alive.
        if unsafe { capture::may_be_capturing(driver, raw) } {
            return None;
        }
        event.record_begins();
        // SAFETY: the stream is alive, and so is the event; if the event is of another context than
        // the stream, the driver says so.
        let code = unsafe { (driver.symbols.event_record)(event.as_ptr(), raw) };
        if code == CudaCode::SUCCESS {
            event.recorded(self.mark(), None);
            return Some(code);
        }
        event.record_failed();
        (!code.is_for_slow_path()).then_some(code)
    }

    /// Tries to record an event of the pool on the fast path. Returns `None` if the slow path is
    /// needed.
    #[inline]
    fn try_record_event_fast(&self) -> Option<CudaEvent> {
        let (driver, raw, primary) =
            (self.fast_driver()?, self.raw.as_ptr(), self.known_or_assumed_primary()?);
        // SAFETY: the stream is alive.
        if unsafe { capture::may_be_capturing(driver, raw) } {
            return None;
        }
        let event = CudaEvent::from_pool_recorded(primary.take()?, primary, self.mark());
        // SAFETY: as above; the event is alive, and no other thread has it.
        let code = unsafe { (driver.symbols.event_record)(event.as_ptr(), raw) };
        if code != CudaCode::SUCCESS {
            return None;
        }
        self.learn_context(primary);
        Some(event)
    }

    /// Tries to wait on the fast path. Returns `None` if the slow path is needed.
    #[inline]
    fn try_wait_fast(&self, event: &CudaEvent) -> Option<CudaCode> {
        let (driver, raw) = (self.fast_driver()?, self.raw.as_ptr());
        if event.is_captured() || event.may_be_gone() {
            return None;
        }
        // SAFETY: the stream is alive.
        if unsafe { capture::may_be_capturing(driver, raw) } {
            return None;
        }
        if event.is_last_of(self) {
            // The stream's own record: it is behind that anyway.
            return Some(CudaCode::SUCCESS);
        }
        // SAFETY: the stream is alive, and so is the event, which may be of any context. Flags are
        // 0.
        let code = unsafe { (driver.symbols.stream_wait_event)(raw, event.as_ptr(), 0) };
        (!code.is_for_slow_path()).then_some(code)
    }

    #[inline]
    pub(super) fn record_any(&self, event: &CudaEvent) -> Result<(), CudaError> {
        const OPERATION: &str = "Stream::record";
        match self.try_record_fast(event) {
            Some(CudaCode::SUCCESS) => Ok(()),
            Some(code) => check(code, OPERATION, "cuEventRecord"),
            None => self.record_slow(event, OPERATION),
        }
    }

    #[inline]
    pub(super) fn record_event_any(&self) -> Result<CudaEvent, CudaError> {
        match self.try_record_event_fast() {
            Some(event) => Ok(event),
            None => self.record_event_slow("Stream::record_event"),
        }
    }

    #[inline]
    pub(super) fn wait_event_any(&self, event: &CudaEvent) -> Result<(), CudaError> {
        const OPERATION: &str = "Stream::wait_event";
        match self.try_wait_fast(event) {
            Some(CudaCode::SUCCESS) => Ok(()),
            Some(code) => event.check_wait(code, OPERATION),
            None => self.wait_event_slow(event, OPERATION),
        }
    }

    fn record_slow(&self, event: &CudaEvent, operation: &'static str) -> Result<(), CudaError> {
        event.device().check_is(self.device(), operation)?;
        self.check_fault(operation)?;
        event.record_begins();
        let recorded = self.with_current(operation, |driver, raw| {
            self.check_event(event, operation)?;
            // SAFETY: the stream is alive, and `with_current` has made current what a default one needs.
            let status = unsafe { capture::status(driver, raw, operation) }?;
            // SAFETY: as above, and the event is alive. A driver that refuses an event of another
            // context leaves a capture as it is.
            let code = unsafe { (driver.symbols.event_record)(event.as_ptr(), raw) };
            if code == CudaCode::INVALID_HANDLE {
                self.explain_context(event, operation)?;
            }
            check(code, operation, "cuEventRecord")?;
            Ok(match status {
                CaptureStatus::None => None,
                // SAFETY: as above.
                _ => Some(unsafe { capture::id(driver, raw) }),
            })
        });
        let captured = recorded.inspect_err(|_| event.record_failed())?;
        let captured =
            captured.map(|id| CapturedRecord { stream: self.raw, id, owner: self.owner.clone() });
        event.recorded(self.mark(), captured);
        Ok(())
    }

    pub(crate) fn record_event_slow(
        &self,
        operation: &'static str,
    ) -> Result<CudaEvent, CudaError> {
        // In the child of a fork there is none, though all else is known.
        driver()?;
        let Some(primary) = self.primary(operation)? else {
            let event = self.new_event_slow(EventOptions::new(), operation)?;
            self.record_slow(&event, operation)?;
            return Ok(event);
        };
        let mut event = CudaEvent::for_record(primary, operation)?;
        self.record_slow(&event, operation)?;
        event.is_for_pool();
        Ok(event)
    }

    pub(crate) fn wait_event_slow(
        &self,
        event: &CudaEvent,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        self.check_fault(operation)?;
        self.with_current(operation, |driver, raw| {
            self.check_event(event, operation)?;
            event.ensure_not_stale(driver, operation)?;
            // SAFETY: `with_current` has made current what a default stream needs.
            let member = unsafe { capture::membership(driver, raw, operation) }?;
            if let Membership::Active(capture) = member
                && !event.check_isolation(driver, self.bits(), capture, operation)?
            {
                return Ok(());
            }
            if event.is_last_of(self) && member != Membership::Broken {
                // The stream's own record, of this capture if it is in one.
                return Ok(());
            }
            // SAFETY: the stream is alive, and `with_current` has made current what a default one needs; the
            // event is alive, and may be of any context. Flags are 0.
            let code = unsafe { (driver.symbols.stream_wait_event)(raw, event.as_ptr(), 0) };
            event.check_wait(code, operation)
        })
    }
}
