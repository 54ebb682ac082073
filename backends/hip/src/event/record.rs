//! Records of an event, none of which holds a lock while it is inside the runtime.

use std::sync::Arc;

use gpu_stream_core::{ContractError, EventOptions, RawStream};
use gpu_stream_driver_common::texts::FOREIGN_RECORD_REFUSED;

use super::place::{Begun, WaitTarget};
use super::{HipEvent, InUse};
use crate::driver::code::HipCode;
use crate::driver::symbols::Ptr;
use crate::driver::{DeviceState, Driver};
use crate::owned_event::{
    CapturedRecord, DeferredDrop, Doubt, EventRef, Record, Stand, StreamKeepAlive,
    discard_keeper_now,
};
use crate::{Hip, HipError, stream};

/// The stream that records, and what keeps it alive.
#[derive(Clone, Copy)]
pub(crate) struct On<'s> {
    pub(crate) stream: RawStream<Hip>,
    pub(crate) keeper: &'s StreamKeepAlive,
    /// The capture that the stream was in before the record.
    pub(crate) before: Option<&'s CapturedRecord>,
}

impl On<'_> {
    fn record(&self, captured: Option<CapturedRecord>) -> Record {
        // A capture that began or ended in between counts as well.
        let captured = self.before.cloned().or(captured);
        Record { stream: self.stream, keeper: self.keeper.clone(), captured }
    }
}

/// What a record has replaced, to be dropped with nothing held: behind the guards of the call, too,
/// since code of a user is to find the thread as the caller had it.
#[must_use = "to be discarded with nothing held"]
#[derive(Default)]
pub(crate) struct ReplacedRecord {
    pub(super) last: Option<Record>,
    pub(super) possibly_referenced: Vec<Doubt>,
    pub(super) handle: Option<EventRef>,
    pub(super) retired: Vec<DeferredDrop>,
}

impl ReplacedRecord {
    #[inline]
    pub(crate) fn discard(self) {
        let ReplacedRecord { last, possibly_referenced, handle, retired } = self;
        drop(handle);
        let possibly_referenced =
            possibly_referenced.into_iter().map(|possibly_referenced| possibly_referenced.keeper);
        last.into_iter()
            .map(|last| last.keeper)
            .chain(possibly_referenced)
            .for_each(discard_keeper_now);
        retired.into_iter().for_each(DeferredDrop::discard);
    }
}

impl HipEvent {
    /// Makes an event with a first record: `record` asks the runtime, and `captured` is asked behind
    /// it, in which capture the stream is. Both are of the device with `entry`.
    #[inline]
    pub(crate) fn recorded(
        (driver, entry, device): (&'static Driver, &DeviceState, u32),
        on: On<'_>,
        operation: &'static str,
        record: impl FnOnce(Ptr) -> HipCode,
        captured: impl FnOnce() -> Option<CapturedRecord>,
    ) -> Result<Self, HipError> {
        let options = EventOptions::new();
        let handle = match entry.events.take() {
            Some(event) => event,
            None => EventRef::for_record(driver, device, options, operation)?,
        };
        driver.check(record(handle.raw.as_ptr()), operation, "hipEventRecord")?;
        let last = on.record(captured());
        if last.captured.is_some() {
            handle.mark_captured();
        }
        let stand = Stand { handle, last: Some(last), possibly_referenced: Vec::new() };
        Ok(Self::of(stand, device, options, false))
    }

    /// Records on a stream of the event's device: `record` asks the runtime, and `captured` is asked
    /// behind it, in which capture the stream is.
    pub(crate) fn record(
        &self,
        driver: &'static Driver,
        on: On<'_>,
        operation: &'static str,
        record: impl Fn(Ptr) -> HipCode,
        captured: impl Fn() -> Option<CapturedRecord>,
    ) -> Result<ReplacedRecord, HipError> {
        let (handle, begun) = {
            let mut place = self.place();
            if place.now.handle.is_fixed() {
                drop(place);
                return self.record_in_place(driver, on, operation, &record, &captured);
            }
            let handle = match place.unrecorded() {
                Some(first) => Ok(first),
                None => Err(place.spare.take()),
            };
            (handle, place.begin())
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
            let unused = self.place().record_failed(handle, on.keeper);
            drop(unused);
            return Err(error);
        }
        let last = on.record(captured());
        if last.captured.is_some() {
            handle.mark_captured();
        }
        let replaced = self.place().replace(handle, begun, last);
        // Else another handle was given out in between, and has to be the one that is recorded.
        match replaced {
            Ok(replaced) => Ok(replaced),
            Err(unused) => {
                drop(unused);
                self.record_in_place(driver, on, operation, &record, &captured)
            }
        }
    }

    /// Records the handle that the event has, since others know it.
    #[cold]
    fn record_in_place(
        &self,
        driver: &'static Driver,
        on: On<'_>,
        operation: &'static str,
        record: &dyn Fn(Ptr) -> HipCode,
        captured: &dyn Fn() -> Option<CapturedRecord>,
    ) -> Result<ReplacedRecord, HipError> {
        let (stand, begun, pins) = self.begin_in_place();
        // The handle stays, and a thread that waits for it would be drawn into that capture.
        if stand.is_captured()
            && on.before.is_none()
            && driver.quirks.captures_keep_recorded
            && let Some(error @ HipError::Capturing { .. }) =
                self.capture_error(driver, &stand, operation)
        {
            return Err(error);
        }
        if !pins.is_empty() {
            // Threads that synchronize wait for the record that was there when they began. They get
            // a mark of it before it is replaced, by this record or by another that begins meanwhile.
            let mut marker = self.clone_record(driver, &stand, operation)?;
            for pin in &pins {
                pin.set_mark(&marker);
            }
            marker.discard_keepers();
            self.place().marked(&pins);
        }
        let raw = stand.raw();
        // A record follows no pointer. So it keeps nothing that others replace while it is blocked;
        // the handle stays with the event.
        drop(stand);
        let code = record(raw);
        if let Err(error) = driver.check(code, operation, "hipEventRecord") {
            self.place().failed_in_place(on.keeper);
            if self.is_foreign && code == HipCode::INVALID_HANDLE {
                let (bits, reason) = (raw.addr(), FOREIGN_RECORD_REFUSED);
                return Err(ContractError::InvalidHandle { operation, bits, reason }.into());
            }
            return Err(error);
        }
        let last = on.record(captured());
        let mut place = self.place();
        place.recorded_in_place(begun, last);
        let retired = place.take_retired();
        Ok(ReplacedRecord { retired, ..ReplacedRecord::default() })
    }

    /// Begins a record in place. Returns what the event stands for, and the pins that are to get a
    /// mark of it before the record.
    fn begin_in_place(&self) -> (InUse<'_>, Begun, Vec<Arc<WaitTarget>>) {
        let mut place = self.place();
        let pins = place.close_pins();
        (InUse { event: self, stand: Some(place.now.clone()) }, place.begin(), pins)
    }

    /// Makes an event that stands for the record in `stand`, whose handle is to be recorded again.
    ///
    /// HIP has no copy of an event. So a stream waits for it, and the mark is made on that. The stream
    /// is destroyed when it is idle, which is when the record is done.
    #[cold]
    fn clone_record(
        &self,
        driver: &'static Driver,
        stand: &Stand,
        operation: &'static str,
    ) -> Result<Stand, HipError> {
        let (stream, owner) = stream::create(driver, self.device, Default::default(), operation)?;
        let marker = EventRef::for_record(driver, self.device, EventOptions::new(), operation)?;
        let is_ordinary = stand.last.as_ref().is_none_or(|last| last.captured.is_none());
        let wait = || {
            let symbols = &driver.symbols;
            // SAFETY: both are alive, and so is what the event points to. Flags are 0.
            let code = unsafe { (symbols.stream_wait_event)(stream.as_ptr(), stand.raw(), 0) };
            driver.check(code, operation, "hipStreamWaitEvent")?;
            // SAFETY: both are alive, and of one device.
            let code = unsafe { (symbols.event_record)(marker.raw.as_ptr(), stream.as_ptr()) };
            driver.check(code, operation, "hipEventRecord")
        };
        // Of a record in a capture, or of a thread that has ended, the runtime is not asked.
        match if is_ordinary { stand.with_guards(wait).ok() } else { None } {
            Some(outcome) => {
                outcome?;
                let keeper = StreamKeepAlive::Owner(owner);
                let last = Some(Record { stream, keeper, captured: None });
                Ok(Stand { handle: marker, last, possibly_referenced: Vec::new() })
            }
            None => {
                let (last, possibly_referenced) =
                    (stand.last.clone(), stand.possibly_referenced.clone());
                Ok(Stand { handle: marker, last, possibly_referenced })
            }
        }
    }
}
