//! Records of an event. No lock is held across a call of the runtime, which may block.
//!
//! The caller has asked whether the stream is captured. Another thread can begin a capture after that, and the runtime then
//! reports the event as complete. So the stream is asked again after a record, if another thread can capture it.

use std::sync::Arc;

use gpu_stream_core::{CaptureStatus, ContractError, EventOptions, HandleKind, KeepAlive};
use gpu_stream_driver_common::captures::Capturable;
use gpu_stream_driver_common::texts::FOREIGN_RECORD_REFUSED;
use gpu_stream_driver_common::thread_number;

use super::HipEvent;
use super::state::{CapturedRecord, EventState, Record};
use crate::HipError;
use crate::code::HipCode;
use crate::driver::Driver;
use crate::driver::capture::{self, CaptureInfo};
use crate::driver::symbols::Ptr;
use crate::host_wait::WaitMarker;
use crate::pool::{self, PooledEvent};

impl HipEvent {
    /// Creates an event with a first record, on a stream of this device. Others can begin a capture of the stream if
    /// `capturable` is given and says so.
    ///
    /// # Safety
    /// - The stream of `record` is live, or is 0 or 2 with the intended device current.
    #[inline]
    pub(crate) unsafe fn recorded(
        driver: &'static Driver,
        device: u32,
        mut record: Record,
        capturable: Option<&Capturable>,
        operation: &'static str,
    ) -> Result<Self, HipError> {
        let event = PooledEvent::take(driver, device, operation)?;
        // SAFETY: the stream is live (caller contract). The event is live: `event` owns it. It belongs to the device.
        unsafe { record_by_runtime(driver, event.raw(), &record, operation) }?;
        // SAFETY: the stream is live (caller contract).
        let checked = unsafe { check_again(driver, &mut record, capturable, operation) };
        // Before an error is returned: an event that a capture may have does not go back to the pool.
        let state = EventState::new(event.into_raw(), device, true, Some(record));
        checked?;
        Ok(Self::of(state, device, EventOptions::new(), None))
    }

    /// Records the event on a stream of its device: another handle, unless the current one is fixed. Others can begin a
    /// capture of the stream if `capturable` is given and says so.
    ///
    /// # Safety
    /// - The stream of `record` is live, or is 0 or 2 with the intended device current.
    pub(crate) unsafe fn record(
        &self,
        driver: &'static Driver,
        mut record: Record,
        capturable: Option<&Capturable>,
        operation: &'static str,
    ) -> Result<(), HipError> {
        let spare = {
            let mut inner = self.inner();
            if inner.fixed.is_some() {
                drop(inner);
                // SAFETY: the stream is live (caller contract).
                return unsafe { self.record_in_place(driver, record, capturable, operation) };
            }
            inner.spare.take()
        };
        let mut state = match spare {
            Some(spare) => spare,
            None => Arc::new(self.new_state(driver, operation)?),
        };
        let unused = Arc::get_mut(&mut state).expect("no other thread has it");
        if self.options.is_blocking() {
            // SAFETY: the stream is live (caller contract).
            unsafe { self.record_marker(driver, unused, &record, operation) }?;
        }
        // SAFETY: the stream is live (caller contract). The event is live: `state` has it. It belongs to the device.
        unsafe { record_by_runtime(driver, unused.raw(), &record, operation) }?;
        // SAFETY: the stream is live (caller contract).
        let checked = unsafe { check_again(driver, &mut record, capturable, operation) };
        if record.captured.is_some() {
            // The capture may have begun before the marker's record.
            unused.marker.take().into_iter().for_each(WaitMarker::leak);
        }
        let owner = record.owner.clone();
        unused.last = Some(record);
        // After the record is stored: an event that a capture may have does not go to the pool.
        checked?;
        let stored = self.inner().store(state);
        match stored {
            Ok(replaced) => {
                self.recycle(replaced, &owner);
                Ok(())
            }
            // The current handle became fixed in between, and that one has to be recorded.
            Err(unused) => {
                // A copy, since the unused state keeps what tells whether a capture has its handle.
                let record = unused.last.clone().expect("it was recorded");
                drop(unused);
                // SAFETY: the stream is live (caller contract).
                unsafe { self.record_in_place(driver, record, capturable, operation) }
            }
        }
    }

    /// Creates a state with a new handle, or one of the pool.
    fn new_state(
        &self,
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<EventState, HipError> {
        let is_pooled = self.options == EventOptions::new();
        let raw = match is_pooled {
            true => PooledEvent::take(driver, self.device, operation)?.into_raw(),
            false => pool::create(driver, self.device, self.options, operation)?,
        };
        Ok(EventState::new(raw, self.device, is_pooled, None))
    }

    /// Records the marker of `state`, for threads that will wait for the next record. In a capture there is no such
    /// thread, and the state gets no marker.
    ///
    /// # Safety
    /// - The stream of `record` is live, or is 0 or 2 with the intended device current.
    unsafe fn record_marker(
        &self,
        driver: &'static Driver,
        state: &mut EventState,
        record: &Record,
        operation: &'static str,
    ) -> Result<(), HipError> {
        if record.captured.is_some() {
            state.marker = None;
            return Ok(());
        }
        let marker = match state.marker.take() {
            Some(marker) => marker,
            None => WaitMarker::new(driver, self.device, operation)?,
        };
        // SAFETY: the stream is live (caller contract). The event is live: `marker` owns it. It belongs to the device.
        unsafe { record_by_runtime(driver, marker.raw(), record, operation) }?;
        state.marker = Some(marker);
        Ok(())
    }

    /// Keeps a replaced state for the next record, if no call uses it.
    #[inline]
    fn recycle(&self, mut replaced: Arc<EventState>, owner: &KeepAlive) {
        if Arc::get_mut(&mut replaced).is_some_and(|state| state.reset(owner)) {
            let displaced = self.inner().spare.replace(replaced);
            drop(displaced);
        }
    }

    /// Records the event's current handle, which is known outside of this crate.
    ///
    /// # Safety
    /// - The stream of `record` is live, or is 0 or 2 with the intended device current.
    #[cold]
    unsafe fn record_in_place(
        &self,
        driver: &'static Driver,
        mut record: Record,
        capturable: Option<&Capturable>,
        operation: &'static str,
    ) -> Result<(), HipError> {
        if record.stream.kind() == HandleKind::PerThread {
            // Another library may use the event after the thread's end.
            let reason = "records an event whose handle is known outside of this crate, on a thread's own default stream in a capture; \
                          use a new event, or a stream of `Backend::new_stream`";
            return Err(ContractError::NotPermitted { operation, reason }.into());
        }
        let (raw, start, is_captured) = {
            let inner = self.inner();
            (inner.now.raw, inner.stored, inner.now.is_captured())
        };
        // A stream that waits for it would become part of the capture that had the event.
        if is_captured && record.captured.is_none() && driver.quirks.captures_keep_recorded {
            let reason = "records an event outside of captures that was recorded in one, and whose handle is known outside of this \
                          crate; up to HIP 5.6 the capture keeps the event, so use a new one";
            return Err(ContractError::NotPermitted { operation, reason }.into());
        }
        // A record follows no pointer, so nothing needs to be kept alive while it blocks.
        // SAFETY: the stream is live (caller contract). The event is live: `self` has its handle, or its owner. It
        // belongs to the device.
        let recorded = unsafe {
            record_by_runtime(driver, raw.as_ptr(), &record, operation)
                .and_then(|()| check_again(driver, &mut record, capturable, operation))
        };
        match recorded {
            Ok(()) => {
                let replaced = self.inner().store_in_place(record, start);
                drop(replaced);
                Ok(())
            }
            Err(error) => {
                let replaced = self.inner().store_failure(&record);
                drop(replaced);
                match error {
                    HipError::Driver {
                        code: HipCode::INVALID_HANDLE, function: RECORD, ..
                    } if self.foreign.is_some() => {
                        let (bits, reason) = (raw.to_bits(), FOREIGN_RECORD_REFUSED);
                        Err(ContractError::InvalidHandle { operation, bits, reason }.into())
                    }
                    error => Err(error),
                }
            }
        }
    }
}

/// The runtime's function.
const RECORD: &str = "hipEventRecord";

/// Calls `hipEventRecord`.
///
/// # Safety
/// - The stream of `record` is live, or is 0 or 2 with the intended device current.
/// - `event` is live.
#[inline]
unsafe fn record_by_runtime(
    driver: &'static Driver,
    event: Ptr,
    record: &Record,
    operation: &'static str,
) -> Result<(), HipError> {
    // SAFETY: the stream and the event are live (caller contract). The runtime refuses an event of another device.
    let code = unsafe { (driver.symbols.event_record)(event, record.stream.as_ptr()) };
    driver.check(code, operation, RECORD)
}

/// Asks after a record whether a capture may have it: another thread can have begun one since the caller's check. Sets
/// `captured` then. Makes no call if no other thread can capture the stream.
///
/// # Errors
/// The runtime cannot tell. `captured` is set.
///
/// # Safety
/// - The stream of `record` is live, or is 0 or 2 with the intended device current.
#[inline]
unsafe fn check_again(
    driver: &'static Driver,
    record: &mut Record,
    capturable: Option<&Capturable>,
    operation: &'static str,
) -> Result<(), HipError> {
    if record.captured.is_some() || !capturable.is_some_and(Capturable::get) {
        return Ok(());
    }
    // SAFETY: the stream is live, or its device is current (caller contract).
    match unsafe { capture_of(driver, record.stream.as_ptr(), operation) } {
        Ok(captured) => {
            record.captured = captured;
            Ok(())
        }
        Err(error) => {
            record.captured = Some(CapturedRecord::unknown());
            Err(error)
        }
    }
}

/// Returns what a record stands for if the stream is captured.
///
/// # Safety
/// - `stream` is a live stream, or 0 or 2 with the intended device current.
pub(crate) unsafe fn capture_of(
    driver: &'static Driver,
    stream: Ptr,
    operation: &'static str,
) -> Result<Option<CapturedRecord>, HipError> {
    // SAFETY: `stream` is live, or its device is current (caller contract).
    if unsafe { capture::status(driver, stream, operation) }? == CaptureStatus::None {
        return Ok(None);
    }
    // SAFETY: `stream` is live, or its device is current (caller contract).
    Ok(Some(match unsafe { capture::info(driver, stream) } {
        Some(CaptureInfo { id, nodes }) => {
            CapturedRecord { id: Some(id), nodes, thread: thread_number() }
        }
        None => CapturedRecord::unknown(),
    }))
}
