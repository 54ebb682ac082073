//! What a [`CudaEvent`] is asked: by the program, and by a stream that would wait for it.

use std::cell::Cell;

use gpu_stream_core::{ContractError, EventStatus, RawStream};

use super::{CudaEvent, Origin};
use crate::driver::capture::{self, CaptureModeGuard};
use crate::driver::code::CudaCode;
use crate::driver::symbols::Ptr;
use crate::driver::{Context, ContextGuard, Driver, PrimaryContext, check, driver, loaded};
use crate::host_func;
use crate::record::CapturedRecord;
use crate::{Cuda, CudaError};

impl CudaEvent {
    /// Returns why the event cannot be asked, if its last record was made in a capture.
    #[inline]
    fn capture_error(&self, driver: &'static Driver, operation: &'static str) -> Option<CudaError> {
        if !self.is_captured() {
            return None;
        }
        self.find_capture_error(driver, operation)
    }

    #[cold]
    fn find_capture_error(
        &self,
        driver: &'static Driver,
        operation: &'static str,
    ) -> Option<CudaError> {
        let CapturedRecord { stream, id, owner } = self.record.captured()?;
        let now = self.capture_of(driver, stream, operation);
        // It may be the last one: the event can be recorded elsewhere by now.
        host_func::drop_owner_later(owner);
        Some(match now {
            Err(error) => error,
            Ok(now) if now.is_some() && now == id => {
                let what = "the stream that the event was last recorded on";
                CudaError::Capturing { operation, what }
            }
            Ok(_) => CudaError::CapturedEvent { operation },
        })
    }

    /// Returns the number of the capture that `stream` is in. The stream recorded the event in a
    /// capture, and the caller has its owner.
    fn capture_of(
        &self,
        driver: &'static Driver,
        stream: RawStream<Cuda>,
        operation: &'static str,
    ) -> Result<Option<u64>, CudaError> {
        let entered = self.context.map(|own| ContextGuard::enter(driver, own, operation));
        let _current = entered.transpose()?;
        // SAFETY: the stream is alive, as `CapturedRecord` says, or it is a default one, and the context is
        // current. Handle 2 means another stream on another thread; there, the capture is taken to be
        // over.
        Ok(unsafe { capture::id(driver, stream.as_ptr()) })
    }

    /// An error if the event was last recorded in a capture.
    #[inline]
    fn refuse_captured(
        &self,
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        self.capture_error(driver, operation).map_or(Ok(()), Err)
    }

    /// An error if the event was last recorded in a capture that is over. To wait for one that goes
    /// on is how another stream is drawn into the capture.
    #[inline]
    pub(crate) fn ensure_not_stale(
        &self,
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<(), CudaError> {
        match self.capture_error(driver, operation) {
            Some(CudaError::Capturing { .. }) | None => Ok(()),
            Some(error) => Err(error),
        }
    }

    /// Returns an error for a stream in `capture` that would wait for the event, unless the event is of
    /// that capture. `Ok(false)` says that there is nothing to wait for.
    pub(crate) fn check_isolation(
        &self,
        driver: &'static Driver,
        waiter: usize,
        capture: u64,
        operation: &'static str,
    ) -> Result<bool, CudaError> {
        let uncaptured =
            || ContractError::capture_of_uncaptured(operation, waiter, "event", self.bits()).into();
        if self.is_shared() {
            return match self.time_of_itself(driver, operation)? {
                // Which capture it is of is not told; the driver sees to it.
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

    /// Returns the driver's answer to a wait for the event as a result.
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

    /// Returns an error if the event went with its context: the driver would follow a handle that is
    /// gone.
    pub(crate) fn check_reset(&self, operation: &'static str) -> Result<(), CudaError> {
        self.primary.map_or(Ok(()), |primary| primary.check_alive(operation))
    }

    /// Returns the driver's answer to how long after itself the event came. This tells an event of a
    /// capture that goes on from others, which no other question does without breaking the capture.
    fn time_of_itself(
        &self,
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<CudaCode, CudaError> {
        let (elapsed, _) = elapsed_time(driver);
        let mut milliseconds = 0.0;
        let milliseconds = &raw mut milliseconds;
        // SAFETY: the first is a valid out-pointer; the event is alive.
        self.in_context(driver, operation, || unsafe {
            elapsed(milliseconds, self.as_ptr(), self.as_ptr())
        })
    }

    /// Calls `ask`, which needs no current context on today's drivers, and once more with one where
    /// it does.
    fn in_context(
        &self,
        driver: &'static Driver,
        operation: &'static str,
        ask: impl Fn() -> CudaCode,
    ) -> Result<CudaCode, CudaError> {
        match ask() {
            CudaCode::INVALID_CONTEXT => {
                let context = match self.context {
                    Some(context) => context,
                    None => driver.primary(self.device, operation)?.context,
                };
                let _current = ContextGuard::enter(driver, context, operation)?;
                Ok(ask())
            }
            code => Ok(code),
        }
    }

    /// As [`in_context`](Self::in_context), for a question that breaks captures of others in any mode but
    /// the relaxed one.
    fn query_runtime(
        &self,
        driver: &'static Driver,
        operation: &'static str,
        ask: impl Fn() -> CudaCode,
    ) -> Result<CudaCode, CudaError> {
        let _relaxed = CaptureModeGuard::enter(driver, operation)?;
        self.in_context(driver, operation, ask)
    }

    /// Looks at an event that another library may have recorded, before a question that would break
    /// the capture that the record was made in. Returns the status if this has told it.
    #[cold]
    fn look_at_shared(
        &self,
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<Option<EventStatus>, CudaError> {
        match self.time_of_itself(driver, operation)? {
            CudaCode::SUCCESS => Ok(Some(EventStatus::Complete)),
            CudaCode::NOT_READY => Ok(Some(EventStatus::Pending)),
            CudaCode::INVALID_HANDLE if self.options.is_timed() => {
                Ok(Some(EventStatus::Unrecorded))
            }
            CudaCode::CAPTURED_EVENT => {
                let what = "the stream that the event was last recorded on";
                Err(CudaError::Capturing { operation, what })
            }
            // An event without timing, or one of a capture that is over.
            _ => Ok(None),
        }
    }

    pub(super) fn ask_status(&self) -> Result<EventStatus, CudaError> {
        const OPERATION: &str = "Event::status";
        let driver = driver()?;
        self.check_reset(OPERATION)?;
        let is_shared = self.is_shared();
        if !is_shared {
            self.refuse_captured(driver, OPERATION)?;
        } else if let Some(status) = self.look_at_shared(driver, OPERATION)? {
            return Ok(status);
        }
        // SAFETY: the event is alive.
        let ask = || unsafe { (driver.symbols.event_query)(self.as_ptr()) };
        match self.query_runtime(driver, OPERATION, ask)? {
            CudaCode::SUCCESS if !is_shared && !self.record.is_any() => Ok(EventStatus::Unrecorded),
            CudaCode::SUCCESS => Ok(EventStatus::Complete),
            CudaCode::NOT_READY => Ok(EventStatus::Pending),
            CudaCode::INVALID_VALUE if is_shared => {
                Err(CudaError::CapturedEvent { operation: OPERATION })
            }
            code => Err(CudaError::Driver { operation: OPERATION, function: "cuEventQuery", code }),
        }
    }

    pub(super) fn wait_here(&self) -> Result<(), CudaError> {
        const OPERATION: &str = "Event::synchronize";
        host_func::ensure_outside_host_func(OPERATION)?;
        let driver = driver()?;
        self.check_reset(OPERATION)?;
        let is_shared = self.is_shared();
        if is_shared {
            self.look_at_shared(driver, OPERATION)?;
        } else {
            self.refuse_captured(driver, OPERATION)?;
        }
        // SAFETY: the event is alive.
        let ask = || unsafe { (driver.symbols.event_synchronize)(self.as_ptr()) };
        match self.query_runtime(driver, OPERATION, ask)? {
            CudaCode::INVALID_VALUE if is_shared => {
                Err(CudaError::CapturedEvent { operation: OPERATION })
            }
            code => check(code, OPERATION, "cuEventSynchronize"),
        }
    }

    pub(super) fn ask_elapsed(&self, start: &Self) -> Result<f32, CudaError> {
        const OPERATION: &str = "Event::elapsed_since";
        let driver = driver()?;
        start.check_reset(OPERATION)?;
        match (start.primary, self.primary) {
            (Some(one), Some(other)) if std::ptr::eq(one, other) => {}
            _ => self.check_reset(OPERATION)?,
        }
        for event in [start, self] {
            if !event.is_shared() {
                event.refuse_captured(driver, OPERATION)?;
            }
        }
        let (elapsed, function) = elapsed_time(driver);
        let milliseconds = Cell::new(0.0);
        // SAFETY: the first is a valid out-pointer; both events are alive. No capture minds.
        let ask = || unsafe { elapsed(milliseconds.as_ptr(), start.as_ptr(), self.as_ptr()) };
        match self.in_context(driver, OPERATION, ask)? {
            CudaCode::SUCCESS => Ok(milliseconds.get()),
            CudaCode::NOT_READY => {
                let start_is_pending = matches!(start.ask_status(), Ok(EventStatus::Pending));
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

    /// Returns an error that says what an event of another library lacks, where the driver says that
    /// one of the two has no time.
    #[cold]
    fn explain_elapsed(&self, start: &Self, code: CudaCode) -> Result<(), CudaError> {
        let is_foreign = |event: &&Self| event.origin == Origin::Foreign;
        let Some(foreign) = [start, self].into_iter().find(is_foreign) else { return Ok(()) };
        if code != CudaCode::INVALID_HANDLE && code != CudaCode::INVALID_VALUE {
            return Ok(());
        }
        let reason = "is an event of another library, and the driver has no time for it: it was made without timing, or \
                      was not recorded, which the driver does not tell apart; make it with timing, and record it outside \
                      of a capture";
        let (operation, bits) = ("Event::elapsed_since", foreign.bits());
        Err(ContractError::InvalidHandle { operation, bits, reason }.into())
    }

    /// Returns `true` if the driver says again that no work of the context will run any more.
    fn is_context_at_end(&self) -> bool {
        const OPERATION: &str = "CudaEvent::is_context_at_end";
        let Some(driver) = loaded() else { return false };
        if self.check_reset(OPERATION).is_err() {
            return true;
        }
        let answer = self.time_of_itself(driver, OPERATION);
        answer.is_ok_and(CudaCode::is_end_of_context)
    }

    /// The end of a public call: see [`host_func::end`].
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

/// Returns the driver's function for elapsed time, and its name.
fn elapsed_time(driver: &'static Driver) -> (ElapsedTime, &'static str) {
    let newer = driver.symbols.event_elapsed_v2;
    match newer.function {
        Some(function) => (function, newer.name),
        None => (driver.symbols.event_elapsed, "cuEventElapsedTime"),
    }
}
