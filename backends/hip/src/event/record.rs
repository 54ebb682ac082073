//! Records of an event. No lock is held across a call of the runtime, which may block.

use std::sync::Arc;

use gpu_stream_core::{ContractError, EventOptions, HandleKind, KeepAlive};
use gpu_stream_driver_common::texts::FOREIGN_RECORD_REFUSED;

use super::HipEvent;
use super::state::{EventState, Record};
use crate::HipError;
use crate::code::HipCode;
use crate::driver::Driver;
use crate::driver::symbols::Ptr;
use crate::host_wait::WaitMarker;
use crate::pool::{self, PooledEvent};

impl HipEvent {
    /// Creates an event with a first record, on a stream of this device.
    ///
    /// # Safety
    /// - The stream of `record` is live, or is 0 or 2 with the intended device current.
    #[inline]
    pub(crate) unsafe fn recorded(
        driver: &'static Driver,
        device: u32,
        record: Record,
        operation: &'static str,
    ) -> Result<Self, HipError> {
        let event = PooledEvent::take(driver, device, operation)?;
        // SAFETY: the stream is live (caller contract). The event is live: `event` owns it. It belongs to the device.
        unsafe { record_by_runtime(driver, event.raw(), &record, operation) }?;
        let state = EventState::new(event.into_raw(), device, true, Some(record));
        Ok(Self::of(state, device, EventOptions::new(), None))
    }

    /// Records the event on a stream of its device: another handle, unless the current one is fixed.
    ///
    /// # Safety
    /// - The stream of `record` is live, or is 0 or 2 with the intended device current.
    pub(crate) unsafe fn record(
        &self,
        driver: &'static Driver,
        record: Record,
        operation: &'static str,
    ) -> Result<(), HipError> {
        let spare = {
            let mut inner = self.inner();
            if inner.fixed.is_some() {
                drop(inner);
                // SAFETY: the stream is live (caller contract).
                return unsafe { self.record_in_place(driver, record, operation) };
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
        let owner = record.owner.clone();
        unused.last = Some(record);
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
                unsafe { self.record_in_place(driver, record, operation) }
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
        record: Record,
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
        match unsafe { record_by_runtime(driver, raw.as_ptr(), &record, operation) } {
            Ok(()) => {
                let replaced = self.inner().store_in_place(record, start);
                drop(replaced);
                Ok(())
            }
            Err(error) => {
                let replaced = self.inner().store_failure(&record.owner);
                drop(replaced);
                match error {
                    HipError::Driver { code: HipCode::INVALID_HANDLE, .. }
                        if self.foreign.is_some() =>
                    {
                        let (bits, reason) = (raw.to_bits(), FOREIGN_RECORD_REFUSED);
                        Err(ContractError::InvalidHandle { operation, bits, reason }.into())
                    }
                    error => Err(error),
                }
            }
        }
    }
}

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
    driver.check(code, operation, "hipEventRecord")
}
