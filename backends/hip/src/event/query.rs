//! Queries of an event: whether its record's work is done, and the time between two records.

use std::sync::Arc;
use std::time::Duration;

use gpu_stream_core::{CaptureStatus, ContractError, HandleKind};
use gpu_stream_driver_common::texts::FOREIGN_WITHOUT_TIME;

use super::inner::WaitTarget;
use super::{HipEvent, InUse};
use crate::driver::code::HipCode;
use crate::driver::symbols::Ptr;
use crate::driver::{CaptureModeGuard, capture};
use crate::driver::{DeviceGuard, Driver, process_state};
use crate::event_state::{CapturedRecord, EventState, Record};
use crate::keep_alive::StreamKeepAlive;
use crate::{HipError, thread_exit};

impl HipEvent {
    /// Returns `true` if the keeper is of another thread's default stream, which handle 2 does not name here.
    fn is_elsewhere(&self, keeper: &StreamKeepAlive) -> bool {
        match keeper {
            StreamKeepAlive::Owner(_) => false,
            StreamKeepAlive::PerThread(rundown) => !thread_exit::is_mine(self.device, rundown),
        }
    }

    /// Returns the capture of the last record, if it goes on. Returns `None` if the runtime cannot tell.
    pub(crate) fn live_capture(
        &self,
        driver: &'static Driver,
        state: &EventState,
        operation: &'static str,
    ) -> Option<capture::CaptureId> {
        let Record { stream, keeper, captured } = state.last.as_ref()?;
        let CapturedRecord { id, .. } = captured.as_ref()?;
        // Handle 2 names another stream on each thread. On another thread the capture counts as over.
        if self.is_elsewhere(keeper) {
            return None;
        }
        let _current = DeviceGuard::enter(driver, self.device, operation).ok()?;
        // SAFETY: the stream is live: its record keeps it alive. Its device is current.
        let now = unsafe { capture::id(driver, stream.as_ptr()) }?;
        (Some(now) == *id).then_some(now)
    }

    /// Returns the error for a query, if the last record was made in a capture.
    #[cold]
    pub(super) fn capture_error(
        &self,
        driver: &'static Driver,
        state: &EventState,
        operation: &'static str,
    ) -> Option<HipError> {
        state.last.as_ref()?.captured.as_ref()?;
        Some(match self.live_capture(driver, state, operation) {
            Some(_) => {
                let what = "the stream that the event was last recorded on";
                HipError::Capturing { operation, what }
            }
            None => HipError::CapturedEvent { operation },
        })
    }

    /// Returns an error if the event was last recorded in a capture that is over. A wait for a record in a
    /// capture that goes on is allowed: it makes another stream part of the capture.
    pub(crate) fn ensure_not_stale(
        &self,
        driver: &'static Driver,
        state: &EventState,
        operation: &'static str,
    ) -> Result<(), HipError> {
        match self.capture_error(driver, state, operation) {
            Some(stale @ HipError::CapturedEvent { .. }) => Err(stale),
            _ => Ok(()),
        }
    }

    /// Returns an error if the stream of the last record is being captured: a query of the event would break
    /// that capture.
    fn ensure_source_not_capturing(
        &self,
        driver: &'static Driver,
        state: &EventState,
        operation: &'static str,
    ) -> Result<(), HipError> {
        let Some(Record { stream, keeper, .. }) = &state.last else { return Ok(()) };
        let _current = match stream.kind() {
            HandleKind::Default => return Ok(()),
            HandleKind::PerThread if self.is_elsewhere(keeper) => return Ok(()),
            HandleKind::PerThread => Some(DeviceGuard::enter(driver, self.device, operation)?),
            HandleKind::Explicit => None,
        };
        // SAFETY: the stream is live: its record keeps it alive. The device of a per-thread stream is current.
        match unsafe { capture::status(driver, stream.as_ptr(), operation) }? {
            CaptureStatus::None => Ok(()),
            _ => Err(query_error(
                state.is_captured(),
                HipCode::CAPTURED_EVENT,
                operation,
                "hipEventQuery",
            )),
        }
    }

    /// Queries the runtime, in a way that breaks no capture. Each stream that the event points to is alive, and
    /// the last record was made outside of captures.
    #[inline]
    fn query_runtime(
        &self,
        driver: &'static Driver,
        state: &EventState,
        operation: &'static str,
    ) -> Result<bool, HipError> {
        if driver.quirks.query_breaks_captures {
            self.ensure_source_not_capturing(driver, state, operation)?;
        }
        let needed = driver.quirks.unsafe_calls.event_query;
        let _relaxed = CaptureModeGuard::enter_if(needed, driver, operation)?;
        query_runtime(driver, state, operation)
    }

    /// Returns `true` if the last record's work is done. Also returns `true` if there was no record.
    #[inline]
    pub(super) fn is_done(
        &self,
        driver: &'static Driver,
        state: &EventState,
        operation: &'static str,
    ) -> Result<bool, HipError> {
        if state.is_unrecorded() {
            return Ok(true);
        }
        if state.can_query_directly() {
            return self.query_runtime(driver, state, operation);
        }
        self.is_done_slow(driver, state, operation)
    }

    /// Checks for captures, and for threads that have ended, before it queries the runtime.
    #[cold]
    fn is_done_slow(
        &self,
        driver: &'static Driver,
        state: &EventState,
        operation: &'static str,
    ) -> Result<bool, HipError> {
        if let Some(error) = self.capture_error(driver, state, operation) {
            return Err(error);
        }
        let answer = state.with_guards(|| self.query_runtime(driver, state, operation));
        answer.unwrap_or_else(|status| status.to_result(operation).map(|()| true))
    }

    /// Returns `true` if the event, which is done, was recorded. Also returns `true` if the runtime cannot tell,
    /// which is so if another library has the handle and the event keeps no time.
    pub(super) fn is_recorded(
        &self,
        driver: &'static Driver,
        state: &EventState,
        operation: &'static str,
    ) -> Result<bool, HipError> {
        if state.last.is_some() {
            return Ok(true);
        }
        if !state.handle.is_escaped() {
            return Ok(false);
        }
        if !self.options.is_timed() {
            return Ok(true);
        }
        let (code, _) = elapsed(driver, state, state, operation)?;
        Ok(code != HipCode::INVALID_HANDLE)
    }

    /// Blocks until the current record is done.
    pub(super) fn wait_for_current(
        &self,
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<(), HipError> {
        let (target, first) = {
            let mut inner = self.inner();
            // A record in place leaves a marker of the current record in the target.
            let is_fixed = inner.now.handle.is_fixed();
            let target = is_fixed.then(|| Arc::clone(inner.target.get_or_insert_default()));
            (target, InUse { event: self, state: Some(inner.now.clone()) })
        };
        let is_done = match &target {
            // Another thread may have recorded the handle since, so an answer may be about that record.
            Some(target) => self.is_target_done(driver, target, operation)?,
            None => self.is_done(driver, &first, operation)?,
        };
        if is_done {
            return Ok(());
        }
        let target = target.unwrap_or_else(|| self.target(&first));
        let first = std::cell::RefCell::new(Some(first));
        poll(self.options.is_blocking(), || {
            let mut first = first.borrow_mut();
            // A fixed handle is recorded in place, and its stream may change. So its state is not kept from
            // one query to the next.
            drop(first.take_if(|state| state.handle.is_fixed()));
            match &*first {
                Some(state) => match self.is_done(driver, state, operation) {
                    // The handle became fixed during the query, so the answer may be about a later record.
                    Ok(true) if state.handle.is_fixed() => {
                        self.is_target_done(driver, &target, operation)
                    }
                    answer => answer,
                },
                None => self.is_target_done(driver, &target, operation),
            }
        })
    }

    /// Returns a target for the record of `first`, whose handle may become fixed from now on.
    fn target(&self, first: &EventState) -> Arc<WaitTarget> {
        let mut inner = self.inner();
        if !first.handle.is_same(&inner.now.handle) {
            // The event has another handle now, and this one is not recorded again while `first` has it.
            return Arc::default();
        }
        Arc::clone(inner.target.get_or_insert_default())
    }

    /// Returns `true` if the record is done that was current when `target` was taken.
    fn is_target_done(
        &self,
        driver: &'static Driver,
        target: &WaitTarget,
        operation: &'static str,
    ) -> Result<bool, HipError> {
        let of_marker = || {
            target.marker().map(|mut state| {
                let done = self.is_done(driver, &state, operation);
                state.discard_keepers();
                done
            })
        };
        if let Some(done) = of_marker() {
            return done;
        }
        match self.is_done(driver, &self.in_use(), operation) {
            Ok(false) => Ok(false),
            // A record in place is made after the marker of the earlier one. So an answer about the new record
            // comes with a marker of the old one.
            answer => of_marker().unwrap_or(answer),
        }
    }
}

/// Queries the runtime. Returns `false` for "not ready". Each stream that the event points to is alive.
#[inline]
pub(super) fn query_runtime(
    driver: &'static Driver,
    state: &EventState,
    operation: &'static str,
) -> Result<bool, HipError> {
    is_passed(driver, state.raw(), state.is_captured(), operation)
}

/// Returns `true` if all work before the last record of `event` is done. The record's stream is alive.
#[inline]
pub(crate) fn is_passed(
    driver: &'static Driver,
    event: Ptr,
    in_a_capture: bool,
    operation: &'static str,
) -> Result<bool, HipError> {
    // SAFETY: `event` is live: the caller holds a reference to its owner.
    let code = unsafe { (driver.symbols.event_query)(event) };
    if code == HipCode::SUCCESS {
        return Ok(true);
    }
    driver.clear_last_error(code);
    match code {
        HipCode::NOT_READY => Ok(false),
        code => Err(query_error(in_a_capture, code, operation, "hipEventQuery")),
    }
}

/// Returns the runtime's code and the milliseconds between two events.
pub(super) fn elapsed(
    driver: &'static Driver,
    start: &EventState,
    end: &EventState,
    operation: &'static str,
) -> Result<(HipCode, f32), HipError> {
    let mut milliseconds = 0.0;
    let code = start.with_guards(|| {
        end.with_guards(|| {
            let _relaxed = CaptureModeGuard::enter(driver, operation)?;
            // SAFETY: `&mut milliseconds` is a valid out-pointer. Both events are live, and so are the streams
            // that they point to: the states and the guards keep them alive.
            let code = unsafe {
                (driver.symbols.event_elapsed)(&mut milliseconds, start.raw(), end.raw())
            };
            driver.discard(code);
            Ok(code)
        })
    });
    match code.flatten() {
        Ok(code) => code.map(|code| (code, milliseconds)),
        Err(_) => Err(HipError::ThreadEnded { operation }),
    }
}

/// Converts the runtime's code for the time between two events. Says of a foreign event what it lacks.
#[cold]
pub(super) fn elapsed_error(
    events: [&HipEvent; 2],
    code: HipCode,
    operation: &'static str,
) -> HipError {
    let foreign = events.into_iter().find(|event| event.is_foreign);
    match (foreign, code) {
        (Some(event), HipCode::INVALID_HANDLE | HipCode::INVALID_VALUE) => {
            let (bits, reason) = (event.expose_raw().to_bits(), FOREIGN_WITHOUT_TIME);
            ContractError::InvalidHandle { operation, bits, reason }.into()
        }
        _ => HipError::Driver { operation, function: "hipEventElapsedTime", code },
    }
}

/// Converts the runtime's code for a query of an event, or for a wait.
#[cold]
pub(crate) fn query_error(
    in_a_capture: bool,
    code: HipCode,
    operation: &'static str,
    function: &'static str,
) -> HipError {
    match code {
        // While a stream is captured, HIP answers so for each of its events, also for one that was recorded
        // before the capture. The capture goes on.
        HipCode::CAPTURED_EVENT if !in_a_capture => {
            let what = "the stream that the event was last recorded on";
            HipError::Capturing { operation, what }
        }
        code => HipError::Driver { operation, function, code },
    }
}

/// The number of polls before a wait sleeps between them.
const SPIN_LIMIT: u32 = 200;

/// Polls `done` until it returns `true` or an error. Yields at first, then sleeps with pauses that grow.
pub(crate) fn poll(
    blocking: bool,
    done: impl Fn() -> Result<bool, HipError>,
) -> Result<(), HipError> {
    let longest = Duration::from_micros(if blocking { 1_000 } else { 100 });
    let mut pause = Duration::ZERO;
    let mut polls = if blocking { SPIN_LIMIT } else { 0 };
    let done = || {
        let _guard = process_state::begin_poll()?;
        done()
    };
    while !done()? {
        if polls < SPIN_LIMIT {
            polls += 1;
            std::thread::yield_now();
        } else {
            pause = (pause * 2).clamp(Duration::from_micros(10), longest);
            std::thread::sleep(pause);
        }
    }
    Ok(())
}
