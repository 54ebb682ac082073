//! Questions for an event: whether its record's work is done, and how long ago that was.

use std::sync::Arc;
use std::time::Duration;

use gpu_stream_core::{CaptureStatus, ContractError, HandleKind};
use gpu_stream_driver_common::texts::FOREIGN_WITHOUT_TIME;

use super::place::WaitTarget;
use super::{HipEvent, InUse};
use crate::driver::capture::{self, CaptureModeGuard};
use crate::driver::code::HipCode;
use crate::driver::symbols::Ptr;
use crate::driver::{DeviceGuard, Driver, process_state};
use crate::owned_event::{CapturedRecord, Record, Stand, StreamKeepAlive};
use crate::{HipError, thread_exit};

impl HipEvent {
    /// Returns `true` if the keeper is another thread's own stream, which cannot be named here.
    fn is_elsewhere(&self, keeper: &StreamKeepAlive) -> bool {
        match keeper {
            StreamKeepAlive::Owner(_) => false,
            StreamKeepAlive::PerThread(life) => !thread_exit::is_mine(self.device, life),
        }
    }

    /// Returns the capture that the last record was made in, if it goes on.
    pub(crate) fn live_capture(
        &self,
        driver: &'static Driver,
        stand: &Stand,
        operation: &'static str,
    ) -> Option<capture::CaptureId> {
        let Record { stream, keeper, captured } = stand.last.as_ref()?;
        let CapturedRecord { id, .. } = captured.as_ref()?;
        // Handle 2 means another stream on another thread; there, the capture is taken to be over.
        if self.is_elsewhere(keeper) {
            return None;
        }
        let _current = DeviceGuard::enter(driver, self.device, operation).ok()?;
        // SAFETY: the record keeps the stream alive, and its device is current.
        let now = unsafe { capture::id(driver, stream.as_ptr()) }?;
        (Some(now) == *id).then_some(now)
    }

    /// Returns why the event cannot be asked, if its last record was made in a capture.
    #[cold]
    pub(super) fn capture_error(
        &self,
        driver: &'static Driver,
        stand: &Stand,
        operation: &'static str,
    ) -> Option<HipError> {
        stand.last.as_ref()?.captured.as_ref()?;
        Some(match self.live_capture(driver, stand, operation) {
            Some(_) => {
                let what = "the stream that the event was last recorded on";
                HipError::Capturing { operation, what }
            }
            None => HipError::CapturedEvent { operation },
        })
    }

    /// Returns an error if the event was last recorded in a capture that is over. To wait for one that
    /// goes on is how another stream is drawn into the capture.
    pub(crate) fn ensure_not_stale(
        &self,
        driver: &'static Driver,
        stand: &Stand,
        operation: &'static str,
    ) -> Result<(), HipError> {
        match self.capture_error(driver, stand, operation) {
            Some(stale @ HipError::CapturedEvent { .. }) => Err(stale),
            _ => Ok(()),
        }
    }

    /// Returns an error if the stream of the last record is being captured now, where the question
    /// would break that capture.
    fn ensure_source_not_capturing(
        &self,
        driver: &'static Driver,
        stand: &Stand,
        operation: &'static str,
    ) -> Result<(), HipError> {
        let Some(Record { stream, keeper, .. }) = &stand.last else { return Ok(()) };
        let _current = match stream.kind() {
            HandleKind::Default => return Ok(()),
            HandleKind::PerThread if self.is_elsewhere(keeper) => return Ok(()),
            HandleKind::PerThread => Some(DeviceGuard::enter(driver, self.device, operation)?),
            HandleKind::Explicit => None,
        };
        // SAFETY: the record keeps the stream alive, and the device is current if it is a thread's.
        match unsafe { capture::status(driver, stream.as_ptr(), operation) }? {
            CaptureStatus::None => Ok(()),
            _ => Err(refused(
                stand.is_captured(),
                HipCode::CAPTURED_EVENT,
                operation,
                "hipEventQuery",
            )),
        }
    }

    /// Returns the runtime's answer, if it can be had without harm. What the event points to is alive,
    /// and its last record was made outside of captures.
    #[inline]
    fn query_runtime(
        &self,
        driver: &'static Driver,
        stand: &Stand,
        operation: &'static str,
    ) -> Result<bool, HipError> {
        if driver.quirks.query_breaks_captures {
            self.ensure_source_not_capturing(driver, stand, operation)?;
        }
        let needed = driver.quirks.unsafe_calls.event_query;
        let _relaxed = CaptureModeGuard::enter_if(needed, driver, operation)?;
        query_runtime(driver, stand, operation)
    }

    /// Returns `true` if the last record's work is done; also if there was no record.
    #[inline]
    pub(crate) fn is_done(
        &self,
        driver: &'static Driver,
        stand: &Stand,
        operation: &'static str,
    ) -> Result<bool, HipError> {
        if stand.is_unrecorded() {
            return Ok(true);
        }
        if stand.can_query_directly() {
            return self.query_runtime(driver, stand, operation);
        }
        self.is_done_slow(driver, stand, operation)
    }

    #[cold]
    fn is_done_slow(
        &self,
        driver: &'static Driver,
        stand: &Stand,
        operation: &'static str,
    ) -> Result<bool, HipError> {
        if let Some(error) = self.capture_error(driver, stand, operation) {
            return Err(error);
        }
        let answer = stand.with_guards(|| self.query_runtime(driver, stand, operation));
        answer.unwrap_or_else(|end| end.answer(operation).map(|()| true))
    }

    /// Returns `true` if the event, which is done, was recorded. Also returns `true` if the runtime
    /// cannot tell: where others have the handle, and it keeps no time.
    pub(super) fn is_recorded(
        &self,
        driver: &'static Driver,
        stand: &Stand,
        operation: &'static str,
    ) -> Result<bool, HipError> {
        if stand.last.is_some() {
            return Ok(true);
        }
        if !stand.handle.is_escaped() {
            return Ok(false);
        }
        if !self.options.is_timed() {
            return Ok(true);
        }
        let (code, _) = elapsed(driver, stand, stand, operation)?;
        Ok(code != HipCode::INVALID_HANDLE)
    }

    /// Blocks until the record of now is done.
    pub(super) fn wait_for_now(
        &self,
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<(), HipError> {
        let (pin, first) = {
            let mut place = self.place();
            // A record in place leaves a mark of the record of now in the pin.
            let is_fixed = place.now.handle.is_fixed();
            let pin = is_fixed.then(|| Arc::clone(place.pin.get_or_insert_default()));
            (pin, InUse { event: self, stand: Some(place.now.clone()) })
        };
        if self.is_done(driver, &first, operation)? {
            return Ok(());
        }
        let pin = pin.unwrap_or_else(|| self.pin(&first));
        let first = std::cell::RefCell::new(Some(first));
        poll(self.options.is_blocking(), || {
            let mut first = first.borrow_mut();
            // A handle that stays is recorded in place, and what it points to may change: it is not
            // kept from one question to the next.
            drop(first.take_if(|stand| stand.handle.is_fixed()));
            match &*first {
                Some(stand) => self.is_done(driver, stand, operation),
                None => self.is_pinned_done(driver, &pin, operation),
            }
        })
    }

    /// Returns a pin for what `first` stands for, whose handle may be given out from now on.
    fn pin(&self, first: &Stand) -> Arc<WaitTarget> {
        let mut place = self.place();
        if !first.handle.is_same(&place.now.handle) {
            // Replaced, so that the handle is not recorded again while `first` has it.
            return Arc::default();
        }
        Arc::clone(place.pin.get_or_insert_default())
    }

    /// Returns `true` if the record is done that was there when `pin` was taken.
    fn is_pinned_done(
        &self,
        driver: &'static Driver,
        pin: &WaitTarget,
        operation: &'static str,
    ) -> Result<bool, HipError> {
        let of_mark = || {
            pin.marker().map(|mut stand| {
                let done = self.is_done(driver, &stand, operation);
                stand.discard_keepers();
                done
            })
        };
        if let Some(done) = of_mark() {
            return done;
        }
        match self.is_done(driver, &self.in_use(), operation) {
            Ok(false) => Ok(false),
            // A record in place is made after the mark of the earlier one, so an answer or an error of
            // the new record comes with a mark of the old one.
            answer => of_mark().unwrap_or(answer),
        }
    }
}

/// Returns the runtime's answer, which may be "not ready". What the event points to is alive.
#[inline]
pub(super) fn query_runtime(
    driver: &'static Driver,
    stand: &Stand,
    operation: &'static str,
) -> Result<bool, HipError> {
    is_passed(driver, stand.raw(), stand.is_captured(), operation)
}

/// Returns `true` if all work in front of the last record of `event` is done, on a stream that is
/// alive.
#[inline]
pub(crate) fn is_passed(
    driver: &'static Driver,
    event: Ptr,
    in_a_capture: bool,
    operation: &'static str,
) -> Result<bool, HipError> {
    // SAFETY: the event is alive: the caller has what destroys it.
    let code = unsafe { (driver.symbols.event_query)(event) };
    if code == HipCode::SUCCESS {
        return Ok(true);
    }
    driver.clear_last_error(code);
    match code {
        HipCode::NOT_READY => Ok(false),
        code => Err(refused(in_a_capture, code, operation, "hipEventQuery")),
    }
}

/// Returns the runtime's code and the milliseconds between two events.
pub(super) fn elapsed(
    driver: &'static Driver,
    start: &Stand,
    end: &Stand,
    operation: &'static str,
) -> Result<(HipCode, f32), HipError> {
    let mut milliseconds = 0.0;
    let code = start.with_guards(|| {
        end.with_guards(|| {
            let _relaxed = CaptureModeGuard::enter(driver, operation)?;
            // SAFETY: `&mut milliseconds` is a valid out-pointer; both events are alive, and so is
            // what they point to.
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

/// Returns the error for what the runtime said of the time between two events. It says of a foreign event
/// what that lacks.
#[cold]
pub(super) fn elapsed_error(
    events: [&HipEvent; 2],
    code: HipCode,
    operation: &'static str,
) -> HipError {
    let foreign = events.into_iter().find(|event| event.is_foreign);
    match (foreign, code) {
        (Some(event), HipCode::INVALID_HANDLE | HipCode::INVALID_VALUE) => {
            let (bits, reason) = (event.give_out().to_bits(), FOREIGN_WITHOUT_TIME);
            ContractError::InvalidHandle { operation, bits, reason }.into()
        }
        _ => HipError::Driver { operation, function: "hipEventElapsedTime", code },
    }
}

/// Returns the error for what the runtime said of an event.
#[cold]
pub(crate) fn refused(
    in_a_capture: bool,
    code: HipCode,
    operation: &'static str,
    function: &'static str,
) -> HipError {
    match code {
        // HIP does not tell a record from before a capture from one inside of it: while the stream
        // is captured, it answers for all of its events so, and the capture goes on.
        HipCode::CAPTURED_EVENT if !in_a_capture => {
            let what = "the stream that the event was last recorded on";
            HipError::Capturing { operation, what }
        }
        code => HipError::Driver { operation, function, code },
    }
}

/// How often a wait asks before it makes pauses.
const SPIN_LIMIT: u32 = 200;

/// Returns when `done` says so.
pub(crate) fn poll(
    blocking: bool,
    done: impl Fn() -> Result<bool, HipError>,
) -> Result<(), HipError> {
    let longest = Duration::from_micros(if blocking { 1_000 } else { 100 });
    let mut pause = Duration::ZERO;
    let mut turns = if blocking { SPIN_LIMIT } else { 0 };
    let done = || {
        let _asking = process_state::begin_poll()?;
        done()
    };
    while !done()? {
        if turns < SPIN_LIMIT {
            turns += 1;
            std::thread::yield_now();
        } else {
            pause = (pause * 2).clamp(Duration::from_micros(10), longest);
            std::thread::sleep(pause);
        }
    }
    Ok(())
}
