//! Driver calls that ask about a [`CudaEvent`], and the checks before a wait for it.

use std::cell::Cell;

use gpu_stream_core::{ContractError, EventStatus, RawStream};
use gpu_stream_driver_common::texts::FOREIGN_WITHOUT_TIME;

use super::{CudaEvent, Origin};
use crate::driver::capture::{self, CaptureModeGuard};
use crate::driver::check::check;
use crate::driver::code::CudaCode;
use crate::driver::context::{Context, ContextGuard};
use crate::driver::primary::PrimaryContext;
use crate::driver::symbols::{Ptr, Symbols};
use crate::driver::{driver, loaded};
use crate::host_func::{self, USER_CODE};
use crate::last_record::CapturedRecord;
use crate::{Cuda, CudaError};

impl CudaEvent {
    /// Returns the reason why the event cannot be queried, if its last record was made in a capture.
    #[inline]
    fn capture_error(
        &self,
        symbols: &'static Symbols,
        operation: &'static str,
    ) -> Option<CudaError> {
        if !self.is_captured() {
            return None;
        }
        self.find_capture_error(symbols, operation)
    }

    #[cold]
    fn find_capture_error(
        &self,
        symbols: &'static Symbols,
        operation: &'static str,
    ) -> Option<CudaError> {
        let CapturedRecord { stream, id, owner } = self.record.captured()?;
        let now = self.capture_of(symbols, stream, operation);
        // This may be the last reference: another thread can record the event meanwhile.
        USER_CODE.drop_owner_later(owner);
        Some(match now {
            Err(error) => error,
            Ok(now) if now.is_some() && now == id => {
                let what = "the stream that the event was last recorded on";
                CudaError::Capturing { operation, what }
            }
            Ok(_) => CudaError::CapturedEvent { operation },
        })
    }

    /// Returns the id of the capture that `stream` is in. The stream recorded the event in a capture, and
    /// the caller holds its owner.
    fn capture_of(
        &self,
        symbols: &'static Symbols,
        stream: RawStream<Cuda>,
        operation: &'static str,
    ) -> Result<Option<u64>, CudaError> {
        let entered = self.context.map(|own| ContextGuard::enter(symbols, own, operation));
        let _current = entered.transpose()?;
        // SAFETY: the stream is alive (contract of `CapturedRecord`), or it is a default one and the
        // context is current. Handle 2 names another stream on another thread; the capture then counts as
        // ended.
        Ok(unsafe { capture::id(symbols, stream.as_ptr()) })
    }

    /// Returns an error if the event was last recorded in a capture.
    #[inline]
    fn ensure_not_captured(
        &self,
        symbols: &'static Symbols,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        self.capture_error(symbols, operation).map_or(Ok(()), Err)
    }

    /// Returns an error if the event was last recorded in a capture that has ended. A wait for a record of
    /// an active capture is allowed: it draws another stream into the capture.
    #[inline]
    pub(crate) fn ensure_not_stale(
        &self,
        symbols: &'static Symbols,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        match self.capture_error(symbols, operation) {
            Some(CudaError::Capturing { .. }) | None => Ok(()),
            Some(error) => Err(error),
        }
    }

    /// Returns `true` if the last record was made in a capture that goes on.
    pub(crate) fn is_in_a_live_capture(
        &self,
        symbols: &'static Symbols,
        operation: &'static str,
    ) -> bool {
        matches!(self.capture_error(symbols, operation), Some(CudaError::Capturing { .. }))
    }

    /// Returns an error if a stream in `capture` cannot wait for the event, because the event is not part
    /// of that capture. Returns `Ok(false)` if there is nothing to wait for.
    pub(crate) fn check_isolation(
        &self,
        symbols: &'static Symbols,
        waiter: usize,
        capture: u64,
        operation: &'static str,
    ) -> Result<bool, CudaError> {
        let uncaptured =
            || ContractError::capture_of_uncaptured(operation, waiter, "event", self.bits()).into();
        if self.is_shared() {
            return match self.elapsed_since_itself(symbols, operation)? {
                // The driver does not tell which capture the event belongs to, and checks that itself.
                CudaCode::CAPTURED_EVENT => Ok(true),
                CudaCode::INVALID_HANDLE if self.options.is_timed() => Ok(false),
                _ => Err(uncaptured()),
            };
        }
        if !self.record.is_any() {
            return Ok(false);
        }
        match self.record.capture_id() {
            None => Err(uncaptured()),
            Some(Some(other)) if other != capture => {
                let bits = self.bits();
                Err(ContractError::capture_of_another(operation, waiter, "event", bits).into())
            }
            Some(_) => Ok(true),
        }
    }

    /// Converts the driver's code for a wait into a result.
    #[inline]
    pub(crate) fn check_wait(
        &self,
        code: CudaCode,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        if code == CudaCode::INVALID_VALUE && self.is_shared() {
            return Err(CudaError::CapturedEvent { operation });
        }
        check(code, operation, "cuStreamWaitEvent")
    }

    /// Returns an error if the event's context was reset: the driver would use a dangling handle.
    pub(crate) fn check_reset(&self, operation: &'static str) -> Result<(), CudaError> {
        self.primary.map_or(Ok(()), |primary| primary.check_alive(operation))
    }

    /// Calls the driver for the time between the event and itself. The code tells whether the event belongs
    /// to an active capture. No other driver function tells this without invalidating the capture.
    fn elapsed_since_itself(
        &self,
        symbols: &'static Symbols,
        operation: &'static str,
    ) -> Result<CudaCode, CudaError> {
        let (elapsed, _) = elapsed_time(symbols);
        let mut milliseconds = 0.0;
        let milliseconds = &raw mut milliseconds;
        // SAFETY: `milliseconds` is a valid out-pointer, and the event is alive.
        self.in_context(symbols, operation, || unsafe {
            elapsed(milliseconds, self.as_ptr(), self.as_ptr())
        })
    }

    /// Calls `call`. Repeats it with a context current if the driver needs one; today's drivers do not.
    fn in_context(
        &self,
        symbols: &'static Symbols,
        operation: &'static str,
        call: impl Fn() -> CudaCode,
    ) -> Result<CudaCode, CudaError> {
        match call() {
            CudaCode::INVALID_CONTEXT => {
                let context = match self.context {
                    Some(context) => context,
                    None => driver()?.primary(self.device, operation)?.context,
                };
                let _current = ContextGuard::enter(symbols, context, operation)?;
                Ok(call())
            }
            code => Ok(code),
        }
    }

    /// Calls `call` as [`in_context`](Self::in_context) does, in the relaxed capture mode. For functions
    /// that otherwise invalidate captures of other streams.
    fn in_relaxed_mode(
        &self,
        symbols: &'static Symbols,
        operation: &'static str,
        call: impl Fn() -> CudaCode,
    ) -> Result<CudaCode, CudaError> {
        let _relaxed = CaptureModeGuard::enter(symbols, operation)?;
        self.in_context(symbols, operation, call)
    }

    /// Returns the status of an event that another library may have recorded, as far as a call tells that
    /// cannot invalidate a capture. Returns `None` if another call is needed.
    #[cold]
    fn shared_status(
        &self,
        symbols: &'static Symbols,
        operation: &'static str,
    ) -> Result<Option<EventStatus>, CudaError> {
        match self.elapsed_since_itself(symbols, operation)? {
            CudaCode::SUCCESS => Ok(Some(EventStatus::Complete)),
            CudaCode::NOT_READY => Ok(Some(EventStatus::Pending)),
            CudaCode::INVALID_HANDLE if self.options.is_timed() => {
                Ok(Some(EventStatus::Unrecorded))
            }
            CudaCode::CAPTURED_EVENT => {
                let what = "the stream that the event was last recorded on";
                Err(CudaError::Capturing { operation, what })
            }
            // An event without timing, or one of a capture that has ended.
            _ => Ok(None),
        }
    }

    pub(super) fn status_for(&self, operation: &'static str) -> Result<EventStatus, CudaError> {
        let symbols = &driver()?.symbols;
        self.check_reset(operation)?;
        let is_shared = self.is_shared();
        if !is_shared {
            self.ensure_not_captured(symbols, operation)?;
        } else if let Some(status) = self.shared_status(symbols, operation)? {
            return Ok(status);
        }
        // SAFETY: `self` keeps the event alive.
        let call = || unsafe { (symbols.event_query)(self.as_ptr()) };
        match self.in_relaxed_mode(symbols, operation, call)? {
            CudaCode::SUCCESS if !is_shared && !self.record.is_any() => Ok(EventStatus::Unrecorded),
            CudaCode::SUCCESS => Ok(EventStatus::Complete),
            CudaCode::NOT_READY => Ok(EventStatus::Pending),
            CudaCode::INVALID_VALUE if is_shared => Err(CudaError::CapturedEvent { operation }),
            code => Err(CudaError::Driver { operation, function: "cuEventQuery", code }),
        }
    }

    pub(super) fn wait_on_host(&self) -> Result<(), CudaError> {
        const OPERATION: &str = "Event::synchronize";
        host_func::ensure_outside_host_func(OPERATION)?;
        let symbols = &driver()?.symbols;
        host_func::ensure_outside_callback(symbols, OPERATION)?;
        self.check_reset(OPERATION)?;
        let is_shared = self.is_shared();
        if is_shared {
            self.shared_status(symbols, OPERATION)?;
        } else {
            self.ensure_not_captured(symbols, OPERATION)?;
        }
        // SAFETY: `self` keeps the event alive.
        let call = || unsafe { (symbols.event_synchronize)(self.as_ptr()) };
        match self.in_relaxed_mode(symbols, OPERATION, call)? {
            CudaCode::INVALID_VALUE if is_shared => {
                Err(CudaError::CapturedEvent { operation: OPERATION })
            }
            code => check(code, OPERATION, "cuEventSynchronize"),
        }
    }

    pub(super) fn elapsed_since_start(&self, start: &Self) -> Result<f32, CudaError> {
        const OPERATION: &str = "Event::elapsed_since";
        let symbols = &driver()?.symbols;
        start.check_reset(OPERATION)?;
        match (start.primary, self.primary) {
            (Some(one), Some(other)) if std::ptr::eq(one, other) => {}
            _ => self.check_reset(OPERATION)?,
        }
        for event in [start, self] {
            if !event.is_shared() {
                event.ensure_not_captured(symbols, OPERATION)?;
            }
        }
        let (elapsed, function) = elapsed_time(symbols);
        let milliseconds = Cell::new(0.0);
        // SAFETY: `milliseconds` is a valid out-pointer, and both events are alive. The call leaves
        // captures intact.
        let call = || unsafe { elapsed(milliseconds.as_ptr(), start.as_ptr(), self.as_ptr()) };
        match self.in_context(symbols, OPERATION, call)? {
            CudaCode::SUCCESS => Ok(milliseconds.get()),
            CudaCode::NOT_READY => {
                let start_is_pending =
                    matches!(start.status_for(OPERATION), Ok(EventStatus::Pending));
                let which = if start_is_pending { "start" } else { "end" };
                Err(ContractError::EventPending { which }.into())
            }
            code => {
                self.explain_elapsed(start, code)?;
                check(code, OPERATION, function)?;
                Ok(milliseconds.get())
            }
        }
    }

    /// Returns an error that tells what a foreign event lacks, if the driver has no time for one of the
    /// two.
    #[cold]
    fn explain_elapsed(&self, start: &Self, code: CudaCode) -> Result<(), CudaError> {
        let is_foreign = |event: &&Self| event.origin == Origin::Foreign;
        let Some(foreign) = [start, self].into_iter().find(is_foreign) else { return Ok(()) };
        if code != CudaCode::INVALID_HANDLE && code != CudaCode::INVALID_VALUE {
            return Ok(());
        }
        let (operation, reason) = ("Event::elapsed_since", FOREIGN_WITHOUT_TIME);
        let bits = foreign.bits();
        Err(ContractError::InvalidHandle { operation, bits, reason }.into())
    }

    /// Returns `true` if a second driver call confirms that no work of the context will run any more.
    fn is_context_at_end(&self) -> bool {
        const OPERATION: &str = "CudaEvent::is_context_at_end";
        let Some(driver) = loaded() else { return false };
        if self.check_reset(OPERATION).is_err() {
            return true;
        }
        let answer = self.elapsed_since_itself(&driver.symbols, OPERATION);
        answer.is_ok_and(CudaCode::is_end_of_context)
    }

    /// Ends a public call: see [`host_func::end`].
    #[inline]
    pub(super) fn end<T>(&self, outcome: Result<T, CudaError>) -> Result<T, CudaError> {
        host_func::end(outcome, || {
            let scope =
                self.primary.map(PrimaryContext::scope).or(self.context.map(Context::to_bits));
            scope.filter(|_| self.is_context_at_end())
        })
    }
}

type ElapsedTime = unsafe extern "C" fn(*mut f32, Ptr, Ptr) -> CudaCode;

/// Returns the driver's newest function for elapsed time, and its name.
fn elapsed_time(symbols: &'static Symbols) -> (ElapsedTime, &'static str) {
    let newer = symbols.event_elapsed_v2;
    match newer.function {
        Some(function) => (function, newer.name),
        None => (symbols.event_elapsed, "cuEventElapsedTime"),
    }
}
