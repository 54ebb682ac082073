//! Records of an event, none of which holds a lock while it is inside the runtime.

use gpu_stream_core::{EventOptions, RawStream};

use super::{EventInner, HipEvent};
use crate::driver::code::HipCode;
use crate::driver::symbols::Ptr;
use crate::driver::{DeviceState, Driver};
use crate::owned_event::{
    CapturedRecord, DeferredDrop, EventRef, Record, Stand, StreamKeepAlive, discard_keeper_now,
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
    last: Option<Record>,
    possibly_referenced: Vec<StreamKeepAlive>,
    handle: Option<EventRef>,
    retired: Vec<DeferredDrop>,
}

impl ReplacedRecord {
    #[inline]
    pub(crate) fn discard(self) {
        let ReplacedRecord { last, possibly_referenced, handle, retired } = self;
        drop(handle);
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
        let handle = {
            let mut place = self.place();
            if place.now.handle.is_fixed() {
                drop(place);
                return self.record_in_place(driver, on, operation, &record, &captured);
            }
            match place.unrecorded() {
                Some(first) => Ok(first),
                None => Err(place.spare.take()),
            }
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
        let replaced = self.place().replace(handle, last, on.keeper);
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
        // The handle stays, and a thread that waits for it would be drawn into that capture.
        let stand = self.in_use();
        if stand.is_captured()
            && on.before.is_none()
            && driver.captures_keep_recorded
            && let Some(error @ HipError::Capturing { .. }) =
                self.capture_error(driver, &stand, operation)
        {
            return Err(error);
        }
        let pin = {
            let mut place = self.place();
            if place.has_waiters() { place.pin.take() } else { None }
        };
        if let Some(pin) = pin {
            // Who synchronizes waits for the record that was there when it began.
            let marker = self.clone_record(driver, &stand, operation)?;
            *pin.moved() = Some(marker);
        }
        let code = record(stand.raw());
        if let Err(error) = driver.check(code, operation, "hipEventRecord") {
            self.place().now.possibly_referenced.push(on.keeper.clone());
            return Err(error);
        }
        let last = on.record(captured());
        if last.captured.is_some() {
            stand.handle.mark_captured();
        }
        if stand.is_captured() {
            stand.handle.leaked_to_capture();
        }
        self.place().recorded_in_place(last, on.keeper);
        // Drops what was retired, if no other call has the handle.
        drop(stand);
        Ok(ReplacedRecord::default())
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

impl EventInner {
    /// Returns the handle if it was never recorded and no call has it. While it is recorded, the event
    /// goes on to be unrecorded, which asks the runtime nothing.
    #[inline]
    fn unrecorded(&mut self) -> Option<EventRef> {
        let is_new = self.now.is_unrecorded() && self.now.handle.is_only();
        is_new.then(|| self.now.handle.clone())
    }

    /// Keeps a handle whose record failed for the next one. Returns what is left over.
    #[cold]
    fn record_failed(&mut self, handle: EventRef, keeper: &StreamKeepAlive) -> Option<EventRef> {
        if handle.is_same(&self.now.handle) {
            self.now.possibly_referenced.push(keeper.clone());
            return Some(handle);
        }
        self.spare.replace(handle)
    }

    /// Puts a new record in the place of the current one.
    ///
    /// # Errors
    /// The new handle, if the current one has to stay and is another.
    #[inline]
    fn replace(
        &mut self,
        handle: EventRef,
        last: Record,
        keeper: &StreamKeepAlive,
    ) -> Result<ReplacedRecord, EventRef> {
        if self.now.handle.is_fixed() {
            if handle.is_same(&self.now.handle) {
                // Given out meanwhile.
                self.recorded_in_place(last, keeper);
                drop(handle);
                let retired = self.take_retired();
                return Ok(ReplacedRecord { retired, ..ReplacedRecord::default() });
            }
            return Err(handle);
        }
        // Those who synchronize have the handle that they wait for.
        self.pin = None;
        let last = self.now.last.replace(last);
        // A share that is not the last needs no care.
        let last = last.filter(|last| !last.keeper.is_same(keeper));
        let possibly_referenced = std::mem::take(&mut self.now.possibly_referenced);
        let mut replaced =
            ReplacedRecord { last, possibly_referenced, ..ReplacedRecord::default() };
        if handle.is_same(&self.now.handle) {
            // The first record of the event.
            drop(handle);
            return Ok(replaced);
        }
        let mut old = std::mem::replace(&mut self.now.handle, handle);
        if self.spare.is_none() && old.is_only() && old.is_reusable() {
            self.spare = Some(old);
        } else {
            replaced.handle = Some(old);
        }
        Ok(replaced)
    }

    /// Notes a record of the handle that stays. What it has replaced is kept until no call has the
    /// handle, since those that have it may follow the pointer to the earlier stream, or to the new.
    #[cold]
    fn recorded_in_place(&mut self, last: Record, keeper: &StreamKeepAlive) {
        // The event's share, and that of the call that has recorded it.
        const OURS: usize = 2;
        if let StreamKeepAlive::PerThread(life) = keeper
            && self.now.handle.shares() > OURS
        {
            // Those calls began before they could visit the thread.
            self.retired.extend(life.hold().map(DeferredDrop::RundownGuard));
        }
        let replaced = self.now.last.replace(last).map(|last| last.keeper);
        let possibly_referenced = std::mem::take(&mut self.now.possibly_referenced);
        for keeper in replaced.into_iter().chain(possibly_referenced) {
            let is_it = |known: &DeferredDrop| matches!(known, DeferredDrop::StreamKeepAlive(known) if known.is_same(&keeper));
            if keeper.is_owner() && !self.retired.iter().any(is_it) {
                self.retired.push(DeferredDrop::StreamKeepAlive(keeper));
            }
        }
    }
}
