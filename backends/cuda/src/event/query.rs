//! Driver calls that query a [`CudaEvent`], and the checks before a wait for it.

use std::cell::Cell;

use gpu_stream_core::{ContractError, Error as _, ErrorKind, EventStatus};
use gpu_stream_driver_common::host_func::ensure_outside;
use gpu_stream_driver_common::texts::FOREIGN_WITHOUT_TIME;

use super::{CudaEvent, Origin};
use crate::driver::{Context, DriverCall, PrimaryContext, Ptr, Symbols, capture_id, check};
use crate::error::{BoxedError, Result, invalid_handle};
use crate::host_func::{self, USER_CODE};
use crate::last_record::CapturedRecord;
use crate::{CudaCode, CudaError};

impl CudaEvent {
    /// Returns an error if the event was last recorded in a capture.
    #[inline]
    fn ensure_not_captured(&self, call: DriverCall) -> Result<()> {
        if self.is_captured() { self.find_capture_error(call) } else { Ok(()) }
    }

    /// Returns the reason why the event cannot be queried, if its last record was made in a capture.
    #[cold]
    fn find_capture_error(&self, call: DriverCall) -> Result<()> {
        let Some(CapturedRecord { stream, id, owner }) = self.record.captured() else {
            return Ok(());
        };
        let current = self.context.map(|own| call.enter(own)).transpose();
        // SAFETY: the stream is alive: `owner` keeps it, or the contract of `stream_from_raw`. The context of a default
        // stream is current. Handle 2 names another stream on another thread; the capture then counts as ended.
        let now = current.map(|_current| unsafe { capture_id(call.symbols(), stream.as_ptr()) });
        // This may be the last reference: another thread can record the event meanwhile.
        USER_CODE.drop_owner_later(owner);
        let now = now?;
        Err(if now.is_some() && now == id {
            call.capturing(RECORDER)
        } else {
            CudaError::CapturedEvent { operation: call.operation }.into()
        })
    }

    /// Returns an error if the event was last recorded in a capture that has ended. A wait for a record of an active
    /// capture is allowed: it draws another stream into the capture.
    #[inline]
    pub(crate) fn ensure_not_stale(&self, call: DriverCall) -> Result<()> {
        match self.ensure_not_captured(call) {
            Err(error) if is_capturing(&error) => Ok(()),
            checked => checked,
        }
    }

    /// Returns `true` if the last record was made in a capture that goes on.
    pub(crate) fn is_in_a_live_capture(&self, call: DriverCall) -> bool {
        self.ensure_not_captured(call).is_err_and(|error| is_capturing(&error))
    }

    /// Returns an error if a stream in `capture` cannot wait for the event, because the event is not part of that
    /// capture. Returns `Ok(false)` if there is nothing to wait for.
    pub(crate) fn check_isolation(
        &self,
        call: DriverCall,
        waiter: usize,
        capture: u64,
    ) -> Result<bool> {
        let (operation, bits) = (call.operation, self.bits());
        let uncaptured =
            || ContractError::capture_of_uncaptured(operation, waiter, "event", bits).into();
        if self.is_shared() {
            return match self.elapsed_since_itself(call)? {
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
                Err(ContractError::capture_of_another(operation, waiter, "event", bits).into())
            }
            Some(_) => Ok(true),
        }
    }

    /// Returns `true` if `code`, the driver's answer to a query, means that the last record was made in a capture that has ended:
    /// other code has made it, or another thread captured the stream for the time of the record.
    #[inline]
    fn is_of_past_capture(&self, code: CudaCode) -> bool {
        code == CudaCode::INVALID_VALUE && (self.is_shared() || self.record.is_any())
    }

    /// Converts the driver's code for a wait into a result.
    #[inline]
    pub(crate) fn check_wait(&self, code: CudaCode, operation: &'static str) -> Result<()> {
        if code == CudaCode::INVALID_VALUE && (self.is_shared() || self.was_captured(operation)) {
            return Err(CudaError::CapturedEvent { operation }.into());
        }
        check(code, operation, "cuStreamWaitEvent")
    }

    /// Returns `true` if a query says that the last record was made in a capture that has ended.
    #[cold]
    fn was_captured(&self, operation: &'static str) -> bool {
        let ask = |call: DriverCall| self.ask_uncaptured(call, call.symbols().event_query);
        matches!(DriverCall::begin(operation).and_then(ask), Err(error) if error.kind() == ErrorKind::InvalidEvent)
    }

    /// Returns an error if the event's context was reset: the driver would use a dangling handle.
    pub(crate) fn check_reset(&self, operation: &'static str) -> Result<()> {
        self.primary.map_or(Ok(()), |primary| primary.check_alive(operation))
    }

    /// Calls the driver for the time between the event and itself. The code tells whether the event belongs to an
    /// active capture. No other driver function tells this without invalidating the capture.
    fn elapsed_since_itself(&self, call: DriverCall) -> Result<CudaCode> {
        let (elapsed, _) = elapsed_time(call.symbols());
        let milliseconds = Cell::new(0.0);
        // SAFETY: `milliseconds` is a valid out-pointer, and the event is alive.
        let read = || unsafe { elapsed(milliseconds.as_ptr(), self.as_ptr(), self.as_ptr()) };
        self.with_current(call, read)
    }

    /// Calls `read`. Repeats it with a context current if the driver needs one; today's drivers do not.
    #[inline]
    fn with_current(&self, call: DriverCall, read: impl Fn() -> CudaCode) -> Result<CudaCode> {
        let mut current = None;
        // One call site, so that `read` is inlined.
        loop {
            match read() {
                CudaCode::INVALID_CONTEXT if current.is_none() => {
                    current = Some(call.enter(self.own_context(call)?)?);
                }
                code => return Ok(code),
            }
        }
    }

    /// Returns the event's context. That of a foreign event is not known; any context of its device serves a call.
    #[cold]
    fn own_context(&self, call: DriverCall) -> Result<Context> {
        match self.context {
            Some(context) => Ok(context),
            None => Ok(call.primary(self.device)?.context),
        }
    }

    /// Calls a function of the driver for the event as [`with_current`](Self::with_current) does, in the relaxed capture
    /// mode: the function otherwise invalidates captures of other streams.
    ///
    /// # Errors
    /// The event was last recorded in a capture.
    #[inline(always)]
    fn ask_uncaptured(&self, call: DriverCall, function: AskEvent) -> Result<CudaCode> {
        let _relaxed = call.relaxed()?;
        // SAFETY: `self` keeps the event alive.
        match self.with_current(call, || unsafe { function(self.as_ptr()) })? {
            code if self.is_of_past_capture(code) => {
                Err(CudaError::CapturedEvent { operation: call.operation }.into())
            }
            code => Ok(code),
        }
    }

    /// Returns the status of an event that another library may have recorded, as far as a call tells that cannot
    /// invalidate a capture. Returns `None` if another call is needed.
    #[cold]
    fn shared_status(&self, call: DriverCall) -> Result<Option<EventStatus>> {
        Ok(match self.elapsed_since_itself(call)? {
            CudaCode::SUCCESS => Some(EventStatus::Complete),
            CudaCode::NOT_READY => Some(EventStatus::Pending),
            CudaCode::INVALID_HANDLE if self.options.is_timed() => Some(EventStatus::Unrecorded),
            CudaCode::CAPTURED_EVENT => return Err(call.capturing(RECORDER)),
            // An event without timing, or one of a capture that has ended.
            _ => None,
        })
    }

    pub(super) fn status_for(&self, operation: &'static str) -> Result<EventStatus> {
        let call = DriverCall::begin(operation)?;
        self.check_reset(operation)?;
        if !self.is_shared() {
            self.ensure_not_captured(call)?;
        } else if let Some(status) = self.shared_status(call)? {
            return Ok(status);
        }
        match self.ask_uncaptured(call, call.symbols().event_query)? {
            CudaCode::SUCCESS if self.record.is_any() || self.is_shared() => {
                Ok(EventStatus::Complete)
            }
            CudaCode::SUCCESS => Ok(EventStatus::Unrecorded),
            CudaCode::NOT_READY => Ok(EventStatus::Pending),
            code => Err(call.error(code, "cuEventQuery")),
        }
    }

    pub(super) fn wait_on_host(&self) -> Result<()> {
        const OPERATION: &str = "Event::synchronize";
        ensure_outside(OPERATION)?;
        let call = DriverCall::begin(OPERATION)?;
        call.ensure_outside_callback()?;
        self.check_reset(OPERATION)?;
        if self.is_shared() {
            self.shared_status(call)?;
        } else {
            self.ensure_not_captured(call)?;
        }
        let code = self.ask_uncaptured(call, call.symbols().event_synchronize)?;
        call.check(code, "cuEventSynchronize")
    }

    pub(super) fn elapsed_since_start(&self, start: &Self) -> Result<f32> {
        let call = DriverCall::begin("Event::elapsed_since")?;
        start.check_reset(call.operation)?;
        match (start.primary, self.primary) {
            (Some(one), Some(other)) if std::ptr::eq(one, other) => {}
            _ => self.check_reset(call.operation)?,
        }
        for event in [start, self] {
            if !event.is_shared() {
                event.ensure_not_captured(call)?;
            }
        }
        let (elapsed, function) = elapsed_time(call.symbols());
        let milliseconds = Cell::new(0.0);
        // SAFETY: `milliseconds` is a valid out-pointer, and both events are alive. The call leaves captures intact.
        let read = || unsafe { elapsed(milliseconds.as_ptr(), start.as_ptr(), self.as_ptr()) };
        match self.with_current(call, read)? {
            CudaCode::SUCCESS => Ok(milliseconds.get()),
            CudaCode::NOT_READY => {
                let start = start.status_for(call.operation);
                let which = if matches!(start, Ok(EventStatus::Pending)) { "start" } else { "end" };
                Err(ContractError::EventPending { which }.into())
            }
            code => Err(self.elapsed_error(start, call, code, function)),
        }
    }

    /// Returns the error of a call for the time between two events. It tells what a foreign event lacks, if the driver
    /// has no time for one of the two.
    #[cold]
    fn elapsed_error(
        &self,
        start: &Self,
        call: DriverCall,
        code: CudaCode,
        function: &'static str,
    ) -> BoxedError {
        let has_no_time = matches!(code, CudaCode::INVALID_HANDLE | CudaCode::INVALID_VALUE);
        match [start, self].into_iter().find(|event| event.origin == Origin::Foreign) {
            Some(foreign) if has_no_time => {
                invalid_handle(call.operation, foreign.bits(), FOREIGN_WITHOUT_TIME)
            }
            _ => call.error(code, function),
        }
    }

    /// Returns `true` if a second driver call confirms that no work of the context will run any more.
    fn is_context_at_end(&self) -> bool {
        let Some(call) = DriverCall::if_loaded("CudaEvent::is_context_at_end") else {
            return false;
        };
        self.check_reset(call.operation).is_err()
            || self.elapsed_since_itself(call).is_ok_and(CudaCode::is_end_of_context)
    }

    /// Runs the body of a public call, and ends the call: see [`host_func::call`].
    #[inline]
    pub(super) fn call<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T, CudaError> {
        let scope =
            || self.primary.map(PrimaryContext::scope).or(self.context.map(Context::to_bits));
        host_func::call(body, || scope().filter(|_| self.is_context_at_end()))
    }
}

/// What is being captured, for an event whose last record was made in a capture that goes on.
const RECORDER: &str = "the stream that the event was last recorded on";

fn is_capturing(error: &CudaError) -> bool {
    matches!(error, CudaError::Capturing { .. })
}

type AskEvent = unsafe extern "C" fn(Ptr) -> CudaCode;
type ElapsedTime = unsafe extern "C" fn(*mut f32, Ptr, Ptr) -> CudaCode;

/// Returns the driver's newest function for elapsed time, and its name.
fn elapsed_time(symbols: &'static Symbols) -> (ElapsedTime, &'static str) {
    let newer = symbols.event_elapsed_v2;
    match newer.function {
        Some(function) => (function, newer.name),
        None => (symbols.event_elapsed, "cuEventElapsedTime"),
    }
}
