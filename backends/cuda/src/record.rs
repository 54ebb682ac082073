//! Records and waits of a [`CudaStream`].
//!
//! Each has a fast path and a slow path. The fast path needs an explicit stream that has no fault and is not being
//! captured. The slow path handles all other streams, and what the driver rejects on the fast path.

use gpu_stream_core::{CaptureStatus, ContractError, Event as _, EventOptions};
use gpu_stream_driver_common::captures::Membership;

use crate::driver::capture;
use crate::driver::check::check;
use crate::driver::code::CudaCode;
use crate::driver::symbols::Symbols;
use crate::driver::{driver, loaded};
use crate::last_record::CapturedRecord;
use crate::{CudaError, CudaEvent, CudaStream};

impl CudaStream {
    /// Returns the driver's functions if the fast path is possible: the stream [is plain](Self::is_plain) and is not
    /// being captured.
    #[inline]
    fn fast_symbols(&self) -> Option<&'static Symbols> {
        let symbols = if self.is_plain() { &loaded()?.symbols } else { return None };
        // SAFETY: `self` keeps the stream alive.
        let is_captured = unsafe { capture::may_be_capturing(symbols, self.as_ptr()) };
        (!is_captured).then_some(symbols)
    }

    /// Tries to record the event on the fast path. Returns `None` if the slow path is needed.
    #[inline]
    fn try_record_fast(&self, event: &CudaEvent) -> Option<CudaCode> {
        if event.may_be_gone() || self.is_known_to_differ(event) {
            return None;
        }
        let symbols = self.fast_symbols()?;
        event.record_begins();
        // SAFETY: the stream and the event are alive. If their contexts differ, the driver returns an error.
        let code = unsafe { (symbols.event_record)(event.as_ptr(), self.as_ptr()) };
        if code == CudaCode::SUCCESS {
            event.recorded(self.mark(), None);
            return Some(code);
        }
        event.record_failed();
        (!code.is_for_slow_path()).then_some(code)
    }

    /// Tries to record a pooled event on the fast path. Returns `None` if the slow path is needed.
    #[inline]
    fn try_record_event_fast(&self) -> Option<CudaEvent> {
        let primary = self.known_or_assumed_primary()?;
        let symbols = self.fast_symbols()?;
        let event = CudaEvent::from_pool_recorded(primary.take()?, primary, self.mark());
        // SAFETY: the stream is alive, and so is the event, which no other thread has. If their contexts differ, the
        // driver returns an error.
        let code = unsafe { (symbols.event_record)(event.as_ptr(), self.as_ptr()) };
        if code != CudaCode::SUCCESS {
            return None;
        }
        self.learn_context(primary);
        Some(event)
    }

    /// Tries to wait on the fast path. Returns `None` if the slow path is needed.
    #[inline]
    fn try_wait_fast(&self, event: &CudaEvent) -> Option<CudaCode> {
        if event.is_captured() || event.may_be_gone() {
            return None;
        }
        let symbols = self.fast_symbols()?;
        if self.made_last_record_of(event) {
            // The stream's own record: later work of the stream follows it anyway.
            return Some(CudaCode::SUCCESS);
        }
        // SAFETY: the stream and the event are alive. The event may belong to any context. The flags must be 0.
        let code = unsafe { (symbols.stream_wait_event)(self.as_ptr(), event.as_ptr(), 0) };
        (!code.is_for_slow_path()).then_some(code)
    }

    /// Returns `true` if the stream certainly made the event's last record.
    #[inline]
    fn made_last_record_of(&self, event: &CudaEvent) -> bool {
        event.is_last_record_by(self.mark(), self.own_device())
    }

    /// Records the event.
    #[inline]
    pub(crate) fn record_any(&self, event: &CudaEvent) -> Result<(), CudaError> {
        const OPERATION: &str = "Stream::record";
        match self.try_record_fast(event) {
            Some(CudaCode::SUCCESS) => Ok(()),
            Some(code) => check(code, OPERATION, "cuEventRecord"),
            None => self.record_slow(event, OPERATION),
        }
    }

    /// Records a new event.
    #[inline]
    pub(crate) fn record_event_any(&self) -> Result<CudaEvent, CudaError> {
        match self.try_record_event_fast() {
            Some(event) => Ok(event),
            None => self.record_event_slow("Stream::record_event"),
        }
    }

    /// Makes the stream wait for the event.
    #[inline]
    pub(crate) fn wait_event_any(&self, event: &CudaEvent) -> Result<(), CudaError> {
        const OPERATION: &str = "Stream::wait_event";
        match self.try_wait_fast(event) {
            Some(CudaCode::SUCCESS) => Ok(()),
            Some(code) => event.check_wait(code, OPERATION),
            None => self.wait_event_slow(event, OPERATION),
        }
    }

    /// Records the event on any stream, captured ones included.
    fn record_slow(&self, event: &CudaEvent, operation: &'static str) -> Result<(), CudaError> {
        self.own_device().check_can_record(event.device(), operation)?;
        self.check_fault(operation)?;
        event.record_begins();
        let recorded = self.with_current(operation, |symbols, raw| {
            self.check_event(event, operation)?;
            // SAFETY: `self` keeps the stream alive, and `with_current` sets the context that a default one needs.
            let status = unsafe { capture::status(symbols, raw, operation) }?;
            // SAFETY: the stream and the event are alive. A driver that rejects an event of another context leaves a
            // capture intact.
            let code = unsafe { (symbols.event_record)(event.as_ptr(), raw) };
            if code == CudaCode::INVALID_HANDLE {
                self.explain_context(event, operation)?;
            }
            check(code, operation, "cuEventRecord")?;
            Ok(match status {
                CaptureStatus::None => None,
                // SAFETY: the stream is alive, and its context is current if it needs one.
                _ => Some(unsafe { capture::id(symbols, raw) }),
            })
        });
        let captured = recorded.inspect_err(|_| event.record_failed())?;
        let captured = captured.map(|id| {
            let (stream, owner) = self.raw_with_owner();
            CapturedRecord { stream, id, owner }
        });
        event.recorded(self.mark(), captured);
        Ok(())
    }

    /// Records a new event on any stream, captured ones included.
    pub(crate) fn record_event_slow(
        &self,
        operation: &'static str,
    ) -> Result<CudaEvent, CudaError> {
        // Returns an error in the child of a fork, although the context is known there.
        driver()?;
        let Some(primary) = self.primary(operation)? else {
            let event = self.new_event_slow(EventOptions::new(), operation)?;
            self.record_slow(&event, operation)?;
            return Ok(event);
        };
        let mut event = CudaEvent::for_record(primary, operation)?;
        self.record_slow(&event, operation)?;
        event.allow_pooling();
        Ok(event)
    }

    /// Makes any stream wait for the event, captured ones included.
    pub(crate) fn wait_event_slow(
        &self,
        event: &CudaEvent,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        self.check_fault(operation)?;
        self.with_current(operation, |symbols, raw| {
            self.check_event(event, operation)?;
            event.ensure_not_stale(symbols, operation)?;
            // SAFETY: `self` keeps the stream alive, and `with_current` sets the context that a default one needs.
            let member = unsafe { capture::membership(symbols, raw, operation) }?;
            if let Membership::Active(capture) = member
                && !event.check_isolation(symbols, self.bits(), capture, operation)?
            {
                return Ok(());
            }
            if self.is_default() && event.is_in_a_live_capture(symbols, operation) {
                // The driver would answer 906 and break the capture.
                let (waiter, waited_for, bits) = (self.bits(), "event", event.bits());
                let error =
                    ContractError::DefaultStreamCapture { operation, waiter, waited_for, bits };
                return Err(error.into());
            }
            if self.made_last_record_of(event) && member != Membership::Broken {
                // The stream's own record, of this capture if the stream is being captured.
                return Ok(());
            }
            // SAFETY: the stream and the event are alive, and the stream's context is current if it needs one. The event
            // may belong to any context. The flags must be 0.
            let code = unsafe { (symbols.stream_wait_event)(raw, event.as_ptr(), 0) };
            event.check_wait(code, operation)
        })
    }
}
