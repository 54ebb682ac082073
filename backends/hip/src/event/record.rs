//! Records of an event. No lock is held across a call of the runtime, which may block.

use std::sync::Arc;

use gpu_stream_core::{ContractError, EventOptions, RawStream};
use gpu_stream_driver_common::texts::FOREIGN_RECORD_REFUSED;

use super::inner::{RecordStart, WaitTarget};
use super::{HipEvent, InUse};
use crate::driver::code::HipCode;
use crate::driver::symbols::Ptr;
use crate::driver::{DeviceState, Driver};
use crate::event_state::{CapturedRecord, EventState, PossibleReference, Record};
use crate::keep_alive::{DeferredDrop, StreamKeepAlive, discard_keeper_now};
use crate::owned_event::EventRef;
use crate::{Hip, HipError, stream};

/// The stream that records, and what keeps it alive.
pub(crate) struct RecordSource<'s> {
    pub(crate) stream: RawStream<Hip>,
    pub(crate) keeper: &'s StreamKeepAlive,
    /// What the record stands for if the stream is captured.
    pub(crate) captured: Option<CapturedRecord>,
}

impl RecordSource<'_> {
    fn to_record(&self) -> Record {
        Record { stream: self.stream, keeper: self.keeper.clone(), captured: self.captured.clone() }
    }
}

/// What a record has replaced. Dropped with no lock held, and after the guards of the call: user code must find
/// the thread's current device and capture mode as the caller set them.
#[must_use = "discard it after the guards of the call"]
#[derive(Default)]
pub(crate) struct ReplacedRecord {
    pub(super) last: Option<Record>,
    pub(super) possibly_referenced: Vec<PossibleReference>,
    pub(super) handle: Option<EventRef>,
    pub(super) retired: Vec<DeferredDrop>,
}

impl ReplacedRecord {
    /// Drops the values, which may run user code.
    #[inline]
    pub(crate) fn discard(self) {
        let ReplacedRecord { last, possibly_referenced, handle, retired } = self;
        drop(handle);
        let possibly_referenced = possibly_referenced.into_iter().map(|possible| possible.keeper);
        last.into_iter()
            .map(|last| last.keeper)
            .chain(possibly_referenced)
            .for_each(discard_keeper_now);
        retired.into_iter().for_each(DeferredDrop::discard);
    }
}

impl HipEvent {
    /// Creates an event with a first record. `record` calls the runtime. The stream belongs to the device with `entry`.
    #[inline]
    pub(crate) fn recorded(
        (driver, entry, device): (&'static Driver, &DeviceState, u32),
        source: RecordSource<'_>,
        operation: &'static str,
        record: impl FnOnce(Ptr) -> HipCode,
    ) -> Result<Self, HipError> {
        let options = EventOptions::new();
        let handle = match entry.events.take() {
            Some(event) => event,
            None => EventRef::for_record(driver, device, options, operation)?,
        };
        driver.check(record(handle.raw.as_ptr()), operation, "hipEventRecord")?;
        let last = source.to_record();
        if last.captured.is_some() {
            handle.mark_captured();
        }
        let state = EventState { handle, last: Some(last), possibly_referenced: Vec::new() };
        Ok(Self::of(state, device, options, false))
    }

    /// Records the event on a stream of its device. `record` calls the runtime.
    pub(crate) fn record(
        &self,
        driver: &'static Driver,
        source: RecordSource<'_>,
        operation: &'static str,
        record: impl Fn(Ptr) -> HipCode,
    ) -> Result<ReplacedRecord, HipError> {
        let (handle, start) = {
            let mut inner = self.inner();
            if inner.now.handle.is_fixed() {
                drop(inner);
                return self.record_in_place(driver, source, operation, &record);
            }
            let handle = match inner.unrecorded() {
                Some(first) => Ok(first),
                None => Err(inner.spare.take()),
            };
            (handle, inner.begin())
        };
        let handle = match handle {
            Ok(first) => first,
            Err(Some(spare)) => spare,
            Err(None) => {
                let options = self.options;
                EventRef::for_record(driver, self.device, options, operation)?
            }
        };
        let code = record(handle.raw.as_ptr());
        if let Err(error) = driver.check(code, operation, "hipEventRecord") {
            let (unused, retired) = self.inner().record_failed(handle, source.keeper);
            drop(unused);
            retired.into_iter().for_each(DeferredDrop::discard);
            return Err(error);
        }
        let last = source.to_record();
        if last.captured.is_some() {
            handle.mark_captured();
        }
        let replaced = self.inner().replace(handle, start, last);
        // On `Err` another handle became fixed in between, and that one has to be recorded.
        match replaced {
            Ok(replaced) => Ok(replaced),
            Err(unused) => {
                drop(unused);
                self.record_in_place(driver, source, operation, &record)
            }
        }
    }

    /// Records the event's current handle, which is known outside of this crate.
    #[cold]
    fn record_in_place(
        &self,
        driver: &'static Driver,
        source: RecordSource<'_>,
        operation: &'static str,
        record: &dyn Fn(Ptr) -> HipCode,
    ) -> Result<ReplacedRecord, HipError> {
        let (state, start, targets) = self.begin_in_place();
        // The handle stays, so a stream that waits for it would become part of that capture.
        if state.is_captured()
            && source.captured.is_none()
            && driver.quirks.captures_keep_recorded
            && let Some(error @ HipError::Capturing { .. }) =
                self.capture_error(driver, &state, operation)
        {
            return Err(error);
        }
        if !targets.is_empty() {
            // Threads in `synchronize` wait for the record that was current when they began. They get a marker
            // of it before this record, or one that begins meanwhile, replaces it.
            let mut marker = self.clone_record(driver, &state, operation)?;
            for target in &targets {
                target.set_marker(&marker);
            }
            marker.discard_keepers();
            self.inner().markers_set(&targets);
        }
        let raw = state.raw();
        // A record follows no pointer, so nothing needs to be kept alive while it blocks. The handle stays with
        // the event.
        drop(state);
        let code = record(raw);
        if let Err(error) = driver.check(code, operation, "hipEventRecord") {
            self.inner().store_failure(source.keeper);
            if self.is_foreign && code == HipCode::INVALID_HANDLE {
                let (bits, reason) = (raw.addr(), FOREIGN_RECORD_REFUSED);
                return Err(ContractError::InvalidHandle { operation, bits, reason }.into());
            }
            return Err(error);
        }
        let last = source.to_record();
        let mut inner = self.inner();
        inner.store_in_place(start, last);
        let retired = inner.take_retired();
        Ok(ReplacedRecord { retired, ..ReplacedRecord::default() })
    }

    /// Begins a record in place. Returns the current state, and the targets that need a marker of it before the
    /// record.
    fn begin_in_place(&self) -> (InUse<'_>, RecordStart, Vec<Arc<WaitTarget>>) {
        let mut inner = self.inner();
        let targets = inner.detach_waiters();
        (InUse { event: self, state: Some(inner.now.clone()) }, inner.begin(), targets)
    }

    /// Creates a marker: an event that stands for the record in `state`, whose handle is about to be recorded
    /// again.
    ///
    /// HIP cannot copy an event. So a new stream waits for the event, and the marker is recorded on that stream. The
    /// stream is destroyed when it is idle, which is when the record is done.
    #[cold]
    fn clone_record(
        &self,
        driver: &'static Driver,
        state: &EventState,
        operation: &'static str,
    ) -> Result<EventState, HipError> {
        let (stream, owner) = stream::create(driver, self.device, Default::default(), operation)?;
        let marker = EventRef::for_record(driver, self.device, EventOptions::new(), operation)?;
        let is_uncaptured = state.last.as_ref().is_none_or(|last| last.captured.is_none());
        let wait = || {
            let symbols = &driver.symbols;
            // SAFETY: the stream is live: `owner` keeps it alive. The event and the streams that it points to are
            // live: `state` and the guards. Flags must be 0.
            let code = unsafe { (symbols.stream_wait_event)(stream.as_ptr(), state.raw(), 0) };
            driver.check(code, operation, "hipStreamWaitEvent")?;
            // SAFETY: the stream is live: `owner` keeps it alive. The event is live: `marker` owns it. Both belong to
            // this event's device.
            let code = unsafe { (symbols.event_record)(marker.raw.as_ptr(), stream.as_ptr()) };
            driver.check(code, operation, "hipEventRecord")
        };
        // The runtime must not be called for a record in a capture, nor for one of a thread that has ended.
        match if is_uncaptured { state.with_guards(wait).ok() } else { None } {
            Some(outcome) => {
                outcome?;
                let keeper = StreamKeepAlive::Owner(owner);
                let last = Some(Record { stream, keeper, captured: None });
                Ok(EventState { handle: marker, last, possibly_referenced: Vec::new() })
            }
            None => {
                let (last, possibly_referenced) =
                    (state.last.clone(), state.possibly_referenced.clone());
                Ok(EventState { handle: marker, last, possibly_referenced })
            }
        }
    }
}
