//! Records of an event. No lock is held across a call of the runtime, which may block.

use std::sync::Arc;

use gpu_stream_core::{ContractError, EventOptions, HandleKind, KeepAlive, RawStream};
use gpu_stream_driver_common::texts::FOREIGN_RECORD_REFUSED;

use super::HipEvent;
use super::state::{CapturedRecord, EventState, Record, Replaced};
use crate::code::HipCode;
use crate::driver::Driver;
use crate::driver::symbols::Ptr;
use crate::pool::{self, PooledEvent};
use crate::thread::discard;
use crate::{Hip, HipError};

/// The stream that records, and what keeps it alive.
pub(crate) struct RecordSource<'s> {
    stream: RawStream<Hip>,
    owner: &'s KeepAlive,
    captured: Option<CapturedRecord>,
}

impl<'s> RecordSource<'s> {
    /// Creates the source. `captured` is set if the stream is captured.
    ///
    /// # Safety
    /// - Until the value's last use, `stream` is live, or is 0 or 2 with the intended device current.
    #[inline]
    pub(crate) unsafe fn new(
        stream: RawStream<Hip>,
        owner: &'s KeepAlive,
        captured: Option<CapturedRecord>,
    ) -> Self {
        RecordSource { stream, owner, captured }
    }

    /// Records `event`.
    ///
    /// # Safety
    /// - `event` is live and belongs to the stream's device.
    #[inline]
    unsafe fn record(
        &self,
        driver: &'static Driver,
        event: Ptr,
        operation: &'static str,
    ) -> Result<(), HipError> {
        // SAFETY: the stream is live (contract of `new`), and so is the event (caller contract), on one device.
        let code = unsafe { (driver.symbols.event_record)(event, self.stream.as_ptr()) };
        driver.check(code, operation, "hipEventRecord")
    }

    #[inline]
    fn to_record(&self) -> Record {
        let (owner, captured) = (self.owner.clone(), self.captured.clone());
        Record { stream: self.stream, owner, captured }
    }

    /// Returns `true` for a thread's default stream, which records in captures alone.
    #[inline]
    fn is_per_thread(&self) -> bool {
        self.stream.kind() == HandleKind::PerThread
    }
}

impl HipEvent {
    /// Creates an event with a first record, on a stream of this device.
    #[inline]
    pub(crate) fn recorded(
        driver: &'static Driver,
        device: u32,
        source: &RecordSource<'_>,
        operation: &'static str,
    ) -> Result<Self, HipError> {
        let event = PooledEvent::take(driver, device, operation)?;
        // SAFETY: the event is live, since `event` owns it, and belongs to the device.
        unsafe { source.record(driver, event.raw(), operation) }?;
        let (raw, last) = (event.into_raw(), source.to_record());
        let state = EventState::new(raw, device, true, Some(last));
        Ok(Self::of(state, device, EventOptions::new(), None))
    }

    /// Records the event on a stream of its device.
    pub(crate) fn record(
        &self,
        driver: &'static Driver,
        source: &RecordSource<'_>,
        operation: &'static str,
    ) -> Result<(), HipError> {
        let (first, spare, start) = {
            let mut inner = self.inner();
            if inner.fixed.is_some() {
                drop(inner);
                return self.record_in_place(driver, source, operation);
            }
            // The handle may become fixed during its first record.
            let first = if source.is_per_thread() { None } else { inner.unrecorded() };
            let spare = if first.is_none() { inner.spare.take() } else { None };
            (first, spare, inner.stored)
        };
        let state = match (&first, spare) {
            (Some(_), _) => None,
            (None, Some(spare)) => Some(spare),
            (None, None) => Some(Arc::new(self.new_state(driver, operation)?)),
        };
        let raw = first.as_ref().or(state.as_ref()).expect("one of both").raw;
        // SAFETY: the event is live: `first` or `state` has it. It belongs to the device.
        if let Err(error) = unsafe { source.record(driver, raw.as_ptr(), operation) } {
            if first.is_some() {
                let replaced = self.inner().store_failure(source.owner);
                replaced.into_iter().for_each(discard);
            }
            return Err(error);
        }
        let mut state =
            state.unwrap_or_else(|| Arc::new(EventState::new(raw, self.device, false, None)));
        let recorded = Arc::get_mut(&mut state).expect("no other thread has it");
        recorded.last = Some(source.to_record());
        if let Some(first) = first {
            first.release_handle();
        }
        let stored = self.inner().store(state, start);
        match stored {
            Ok(replaced) => {
                self.recycle(replaced.into_state(), source.owner);
                Ok(())
            }
            // Another handle became fixed in between, and that one has to be recorded.
            Err(unused) => {
                drop(unused);
                self.record_in_place(driver, source, operation)
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

    /// Keeps a replaced state for the next record, if no call uses it.
    #[inline]
    fn recycle(&self, mut replaced: Arc<EventState>, owner: &KeepAlive) {
        if Arc::get_mut(&mut replaced).is_some_and(|state| state.reset(owner)) {
            let displaced = self.inner().spare.replace(replaced);
            drop(displaced);
        }
    }

    /// Records the event's current handle, which is known outside of this crate.
    #[cold]
    fn record_in_place(
        &self,
        driver: &'static Driver,
        source: &RecordSource<'_>,
        operation: &'static str,
    ) -> Result<(), HipError> {
        if source.is_per_thread() {
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
        if is_captured && source.captured.is_none() && driver.quirks.captures_keep_recorded {
            let reason = "records an event outside of captures that was recorded in one, and whose handle is known outside of this \
                          crate; up to HIP 5.6 the capture keeps the event, so use a new one";
            return Err(ContractError::NotPermitted { operation, reason }.into());
        }
        // A record follows no pointer, so nothing needs to be kept alive while it blocks. The handle stays with
        // the event.
        // SAFETY: the event is live: `self` owns it, or its owner. It belongs to the device.
        match unsafe { source.record(driver, raw.as_ptr(), operation) } {
            Ok(()) => {
                let last = Some(source.to_record());
                let state = EventState::new(raw, self.device, false, last);
                let stored = self.inner().store(Arc::new(state), start);
                drop(stored.map(Replaced::into_state));
                Ok(())
            }
            Err(error) => {
                let replaced = self.inner().store_failure(source.owner);
                replaced.into_iter().for_each(discard);
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
