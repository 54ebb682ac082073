//! Records and waits of a [`CudaStream`].
//!
//! Each has a fast path and a slow path. The fast path needs an explicit stream that has no fault and is not being
//! captured. The slow path handles all other streams, and what the driver rejects on the fast path.

use gpu_stream_core::{CaptureStatus, ContractError, Event as _, EventOptions};
use gpu_stream_driver_common::captures::Membership;

use crate::driver::{Symbols, capture_id, check, driver, loaded, may_be_capturing};
use crate::error::{Result, invalid_handle};
use crate::{CudaCode, CudaEvent, CudaStream};

impl CudaStream {
    /// Returns the driver's functions if the fast path is possible: the stream [is plain](Self::is_plain) and is not
    /// being captured.
    #[inline]
    fn fast_symbols(&self) -> Option<&'static Symbols> {
        let symbols = if self.is_plain() { &loaded()?.symbols } else { return None };
        // SAFETY: `self` keeps the stream alive.
        let is_captured = unsafe { may_be_capturing(symbols, self.as_ptr()) };
        (!is_captured).then_some(symbols)
    }

    /// Returns `true` if the stream is certainly not being captured, as far as the fast path can tell. Does not check for a
    /// reset of the context, like a record on the fast path.
    #[inline]
    pub(crate) fn is_not_capturing_fast(&self) -> bool {
        self.fast_symbols().is_some()
    }

    /// Tries to record the event on the fast path. Returns `None` if the slow path is needed.
    #[inline]
    fn try_record_fast(&self, event: &CudaEvent) -> Option<CudaCode> {
        let is_of_another = |context| !event.belongs_to(context);
        if event.may_be_gone() || self.known_context().is_some_and(is_of_another) {
            return None;
        }
        let symbols = self.fast_symbols()?;
        event.record.begin();
        // SAFETY: the stream and the event are alive. If their contexts differ, the driver returns an error.
        let code = unsafe { (symbols.event_record)(event.as_ptr(), self.as_ptr()) };
        if code == CudaCode::SUCCESS {
            event.record.set(self.mark(), None);
            return Some(code);
        }
        event.record.failed();
        (!code.is_for_slow_path()).then_some(code)
    }

    /// Tries to record a pooled event on the fast path. Returns `None` if the slow path is needed.
    #[inline]
    pub(crate) fn try_record_event_fast(&self) -> Option<CudaEvent> {
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
    pub(crate) fn record_any(&self, event: &CudaEvent) -> Result<()> {
        const OPERATION: &str = "Stream::record";
        match self.try_record_fast(event) {
            Some(code) => check(code, OPERATION, "cuEventRecord"),
            None => self.record_slow(event, OPERATION),
        }
    }

    /// Makes the stream wait for the event.
    #[inline]
    pub(crate) fn wait_event_any(&self, event: &CudaEvent) -> Result<()> {
        const OPERATION: &str = "Stream::wait_event";
        match self.try_wait_fast(event) {
            Some(code) => event.check_wait(code, OPERATION),
            None => self.wait_event_slow(event, OPERATION),
        }
    }

    /// Records the event on any stream, captured ones included.
    fn record_slow(&self, event: &CudaEvent, operation: &'static str) -> Result<()> {
        self.own_device().check_can_record(event.device(), operation)?;
        self.check_fault(operation)?;
        event.record.begin();
        let recorded = self.with_current(operation, |call, raw| {
            self.check_event(event, operation)?;
            // SAFETY: `self` keeps the stream alive, and `with_current` sets the context that a default one needs.
            let status = unsafe { call.capture_status(raw) }?;
            // SAFETY: the stream and the event are alive. A driver that rejects an event of another context leaves a
            // capture intact.
            let code = unsafe { (call.symbols().event_record)(event.as_ptr(), raw) };
            if code == CudaCode::INVALID_HANDLE && !event.is_certainly_of(self.context(operation)?) {
                let reason = "is an event of another context than the stream's, which cannot record it; make the event \
                              with `Stream::new_event` of that stream";
                return Err(invalid_handle(operation, event.bits(), reason));
            }
            call.check(code, "cuEventRecord")?;
            Ok(match status {
                CaptureStatus::None => None,
                // SAFETY: the stream is alive, and its context is current if it needs one.
                _ => Some(unsafe { capture_id(call.symbols(), raw) }),
            })
        });
        let captured = recorded.inspect_err(|_| event.record.failed())?;
        event.record.set(self.mark(), captured.map(|id| self.captured_record(id)));
        Ok(())
    }

    /// Records a new event on any stream, captured ones included.
    pub(crate) fn record_event_slow(&self, operation: &'static str) -> Result<CudaEvent> {
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
    pub(crate) fn wait_event_slow(&self, event: &CudaEvent, operation: &'static str) -> Result<()> {
        self.check_fault(operation)?;
        self.with_current(operation, |call, raw| {
            self.check_event(event, operation)?;
            event.ensure_not_stale(call)?;
            // SAFETY: `self` keeps the stream alive, and `with_current` sets the context that a default one needs.
            let member = unsafe { call.membership(raw) }?;
            if let Membership::Active(capture) = member
                && !event.check_isolation(call, self.bits(), capture)?
            {
                return Ok(());
            }
            if self.is_default() && event.is_in_a_live_capture(call) {
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
            let code = unsafe { (call.symbols().stream_wait_event)(raw, event.as_ptr(), 0) };
            event.check_wait(code, operation)
        })
    }

    /// Returns an error if the event's context was reset. Makes no call if the event belongs to this stream's context,
    /// which [`with_current`](Self::with_current) has found alive.
    fn check_event(&self, event: &CudaEvent, operation: &'static str) -> Result<()> {
        match (self.known_primary(), event.primary()) {
            (Some(own), Some(of_event)) if std::ptr::eq(own, of_event) => Ok(()),
            _ => event.check_reset(operation),
        }
    }
}
