//! Queries of an event: whether its record's work is done, and the time between two records.

use gpu_stream_core::{CaptureStatus, ContractError, HandleKind, KeepAlive};
use gpu_stream_driver_common::texts::FOREIGN_WITHOUT_TIME;
use gpu_stream_driver_common::thread_number;

use super::{CapturedRecord, EventState, HipEvent, Record};
use crate::code::HipCode;
use crate::driver::capture::{self, CaptureInfo};
use crate::driver::{CaptureModeGuard, DeviceGuard, Driver};
use crate::host_wait::wait_in_runtime;
use crate::poll::{is_passed, poll, query_error, record_marker};
use crate::pool::PooledEvent;
use crate::{HipError, owned_stream, thread};

/// An event of one thread, and the owner of the stream that recorded it.
type Marker = (PooledEvent, KeepAlive);

impl HipEvent {
    /// Returns the capture that the last record was made in, with the nodes that the record stands for. Returns `None` if
    /// the record was made outside of captures.
    ///
    /// # Errors
    /// The capture is over, or the runtime cannot tell.
    pub(crate) fn capture_of_record(
        &self,
        driver: &'static Driver,
        state: &EventState,
        operation: &'static str,
    ) -> Result<Option<CaptureInfo>, HipError> {
        let Some(Record { stream, captured: Some(captured), .. }) = &state.last else {
            return Ok(None);
        };
        let over = HipError::CapturedEvent { operation };
        let CapturedRecord { id, nodes, thread } = captured;
        // Handle 2 names another stream on each thread. On another thread the capture counts as over.
        let is_here = *thread == thread_number() && !thread::has_ended();
        if stream.kind() == HandleKind::PerThread && !is_here {
            return Err(over);
        }
        let Ok(_current) = DeviceGuard::enter(driver, self.device, operation) else {
            return Err(over);
        };
        // SAFETY: the stream is live: its record keeps it alive. Its device is current.
        match unsafe { capture::id(driver, stream.as_ptr()) } {
            Some(now) if Some(now) == *id => {
                Ok(Some(CaptureInfo { id: now, nodes: nodes.clone() }))
            }
            _ => Err(over),
        }
    }

    /// Returns an error if the last record was made in a capture, since no work stands behind it.
    pub(super) fn ensure_not_captured(
        &self,
        driver: &'static Driver,
        state: &EventState,
        operation: &'static str,
    ) -> Result<(), HipError> {
        if !state.is_captured() {
            return Ok(());
        }
        self.capture_of_record(driver, state, operation)?;
        let what = "the stream that the event was last recorded on";
        Err(HipError::Capturing { operation, what })
    }

    /// Returns an error if the stream of the last record is being captured: a query of the event would break
    /// that capture.
    fn ensure_source_not_capturing(
        driver: &'static Driver,
        state: &EventState,
        operation: &'static str,
    ) -> Result<(), HipError> {
        let Some(Record { stream, .. }) = &state.last else { return Ok(()) };
        if stream.kind() != HandleKind::Explicit {
            return Ok(());
        }
        // SAFETY: the stream is live: its record keeps it alive.
        match unsafe { capture::status(driver, stream.as_ptr(), operation) }? {
            CaptureStatus::None => Ok(()),
            _ => Err(query_error(false, HipCode::CAPTURED_EVENT, operation, "hipEventQuery")),
        }
    }

    /// Returns `true` if the last record's work is done. Also returns `true` if there was no record. Breaks no
    /// capture.
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
        self.ensure_not_captured(driver, state, operation)?;
        if driver.quirks.query_breaks_captures {
            Self::ensure_source_not_capturing(driver, state, operation)?;
        }
        // SAFETY: `state` keeps the event, and each stream that it points to.
        unsafe { is_passed(driver, state.raw(), operation) }
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
        if !state.is_fixed() {
            return Ok(false);
        }
        if !self.options.is_timed() {
            return Ok(true);
        }
        let (code, _) = elapsed(driver, state, state, operation)?;
        Ok(code != HipCode::INVALID_HANDLE)
    }

    /// Returns an error if a captured stream cannot wait for the event, because another library's last record of it was
    /// made outside of captures. Returns `Ok(false)` if there is nothing to wait for. For HIP on CUDA alone, which tells
    /// no more, and checks itself to which capture the record belongs.
    pub(crate) fn check_isolation(
        &self,
        driver: &'static Driver,
        state: &EventState,
        waiter: usize,
        operation: &'static str,
    ) -> Result<bool, HipError> {
        match elapsed(driver, state, state, operation)?.0 {
            HipCode::CAPTURED_EVENT => Ok(true),
            HipCode::INVALID_HANDLE if self.options.is_timed() => Ok(false),
            _ => {
                let bits = state.raw().addr();
                Err(ContractError::capture_of_uncaptured(operation, waiter, "event", bits).into())
            }
        }
    }

    /// Blocks until the current record is done.
    ///
    /// A fixed handle is recorded in place. So a wait for it waits for a marker, which a later record does not prolong.
    pub(super) fn wait_for_current(
        &self,
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<(), HipError> {
        let state = self.in_use();
        if self.is_done(driver, &state, operation)? {
            return Ok(());
        }
        let (event, owner) = if state.is_fixed() {
            self.marker(driver, &state, operation)?
        } else {
            if let Some(marker) = &state.marker {
                // SAFETY: `state` owns the marker, and keeps its stream alive. It is recorded again only once no call
                // has the state.
                unsafe { wait_in_runtime(driver, marker.raw(), operation) }?;
            }
            let mut is_fixed = false;
            poll(|| {
                let done = self.is_done(driver, &state, operation);
                is_fixed = state.is_fixed();
                if is_fixed { Ok(true) } else { done }
            })?;
            if !is_fixed {
                return Ok(());
            }
            // The answer may be about a later record.
            self.marker_of_stream(driver, &state, operation)?
        };
        // The state would keep the owners of all records that are made during the wait.
        drop(state);
        // SAFETY: `event` owns the marker, which no other code has. `owner` keeps its stream alive.
        let done = match unsafe { wait_in_runtime(driver, event.raw(), operation) } {
            Ok(true) => Ok(()),
            // SAFETY: `event` owns the marker, and `owner` keeps its stream alive.
            Ok(false) => poll(|| unsafe { is_passed(driver, event.raw(), operation) }),
            Err(error) => Err(error),
        };
        drop(event);
        thread::discard(owner);
        done
    }

    /// Creates a marker of the current record: a new stream waits for the event, and records another one.
    #[cold]
    fn marker(
        &self,
        driver: &'static Driver,
        state: &EventState,
        operation: &'static str,
    ) -> Result<Marker, HipError> {
        let (stream, owner) = owned_stream::create_for_markers(driver, self.device, operation)?;
        // SAFETY: the stream is live: `owner` keeps it alive. The event and the streams that it points to are live:
        // `state` keeps them. Flags must be 0.
        let code = unsafe { (driver.symbols.stream_wait_event)(stream.as_ptr(), state.raw(), 0) };
        driver.check(code, operation, "hipStreamWaitEvent")?;
        // SAFETY: the stream is live: `owner` keeps it alive. It belongs to the device.
        let event = unsafe { record_marker(driver, stream.as_ptr(), self.device, operation) }?;
        Ok((event, owner))
    }

    /// Creates a marker on the stream of the record in `state`. It stands for the record, and for what was submitted
    /// since.
    #[cold]
    fn marker_of_stream(
        &self,
        driver: &'static Driver,
        state: &EventState,
        operation: &'static str,
    ) -> Result<Marker, HipError> {
        let Some(Record { stream, owner, .. }) = &state.last else {
            return self.marker(driver, state, operation);
        };
        let _current = DeviceGuard::enter(driver, self.device, operation)?;
        // SAFETY: the stream is live: its record keeps it alive. Its device is current.
        let event = unsafe {
            capture::ensure_not_capturing(driver, stream.as_ptr(), operation)?;
            record_marker(driver, stream.as_ptr(), self.device, operation)
        }?;
        Ok((event, owner.clone()))
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
    let _relaxed = CaptureModeGuard::enter(driver, operation)?;
    // SAFETY: `&mut milliseconds` is a valid out-pointer. Both events are live, and so are the streams that they point
    // to: the states keep them alive.
    let code = unsafe { (driver.symbols.event_elapsed)(&mut milliseconds, start.raw(), end.raw()) };
    driver.discard(code);
    Ok((code, milliseconds))
}

/// Converts the runtime's code for the time between two events. Says of a foreign event what it lacks.
#[cold]
pub(super) fn elapsed_error(
    events: [&HipEvent; 2],
    code: HipCode,
    operation: &'static str,
) -> HipError {
    let foreign = events.into_iter().find(|event| event.foreign.is_some());
    match (foreign, code) {
        (Some(event), HipCode::INVALID_HANDLE | HipCode::INVALID_VALUE) => {
            let (bits, reason) = (event.expose_raw().to_bits(), FOREIGN_WITHOUT_TIME);
            ContractError::InvalidHandle { operation, bits, reason }.into()
        }
        _ => HipError::Driver { operation, function: "hipEventElapsedTime", code },
    }
}
