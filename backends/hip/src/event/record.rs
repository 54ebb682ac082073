//! Records of an event, none of which holds a lock while it is inside the runtime.

use gpu_stream_core::{EventOptions, RawStream};

use super::{HipEvent, Place};
use crate::driver::code::HipCode;
use crate::driver::symbols::Ptr;
use crate::driver::{DeviceEntry, Driver};
use crate::slot::{Captured, EventRef, Keeper, Record, Retired, Stand, discard_keeper_now};
use crate::{Hip, HipError, stream};

/// The stream that records, and what keeps it alive.
#[derive(Clone, Copy)]
pub(crate) struct On<'s> {
    pub(crate) stream: RawStream<Hip>,
    pub(crate) keeper: &'s Keeper,
    /// The capture that the stream was in before the record.
    pub(crate) before: Option<&'s Captured>,
}

impl On<'_> {
    fn record(&self, captured: Option<Captured>) -> Record {
        // A capture that began or ended in between counts as well.
        let captured = self.before.cloned().or(captured);
        Record { stream: self.stream, keeper: self.keeper.clone(), captured }
    }
}

/// What a record has replaced, to be dropped with nothing held: behind the guards of the call, too,
/// since code of a user is to find the thread as the caller had it.
#[must_use = "to be discarded with nothing held"]
#[derive(Default)]
pub(crate) struct Replaced {
    last: Option<Record>,
    doubt: Vec<Keeper>,
    handle: Option<EventRef>,
    retired: Vec<Retired>,
}

impl Replaced {
    #[inline]
    pub(crate) fn discard(self) {
        let Replaced { last, doubt, handle, retired } = self;
        drop(handle);
        last.into_iter().map(|last| last.keeper).chain(doubt).for_each(discard_keeper_now);
        retired.into_iter().for_each(Retired::discard);
    }
}

impl HipEvent {
    /// Makes an event with a first record: `record` asks the runtime, and `captured` is asked behind
    /// it, in which capture the stream is. Both are of the device with `entry`.
    #[inline]
    pub(crate) fn recorded(
        (driver, entry, device): (&'static Driver, &DeviceEntry, u32),
        on: On<'_>,
        operation: &'static str,
        record: impl FnOnce(Ptr) -> HipCode,
        captured: impl FnOnce() -> Option<Captured>,
    ) -> Result<Self, HipError> {
        let options = EventOptions::new();
        let handle = match entry.events.take() {
            Some(event) => event,
            None => EventRef::for_record(driver, device, options, operation)?,
        };
        driver.check(record(handle.raw.as_ptr()), operation, "hipEventRecord")?;
        let last = on.record(captured());
        if last.captured.is_some() {
            handle.taken_by_a_capture();
        }
        let stand = Stand { handle, last: Some(last), doubt: Vec::new() };
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
        captured: impl Fn() -> Option<Captured>,
    ) -> Result<Replaced, HipError> {
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
            let unused = self.place().not_recorded(handle, on.keeper);
            drop(unused);
            return Err(error);
        }
        let last = on.record(captured());
        if last.captured.is_some() {
            handle.taken_by_a_capture();
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
        captured: &dyn Fn() -> Option<Captured>,
    ) -> Result<Replaced, HipError> {
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
            if place.is_waited_for() { place.pin.take() } else { None }
        };
        if let Some(pin) = pin {
            // Who synchronizes waits for the record that was there when it began.
            let mark = self.leave_a_mark(driver, &stand, operation)?;
            *pin.moved() = Some(mark);
        }
        let code = record(stand.raw());
        if let Err(error) = driver.check(code, operation, "hipEventRecord") {
            self.place().now.doubt.push(on.keeper.clone());
            return Err(error);
        }
        let last = on.record(captured());
        if last.captured.is_some() {
            stand.handle.taken_by_a_capture();
        }
        if stand.is_captured() {
            stand.handle.left_to_a_capture();
        }
        self.place().recorded_in_place(last, on.keeper);
        // Drops what was retired, if no other call has the handle.
        drop(stand);
        Ok(Replaced::default())
    }

    /// Makes an event that stands for the record in `stand`, whose handle is to be recorded again.
    ///
    /// HIP has no copy of an event. So a stream waits for it, and the mark is made on that. The stream
    /// is destroyed when it is idle, which is when the record is done.
    #[cold]
    fn leave_a_mark(
        &self,
        driver: &'static Driver,
        stand: &Stand,
        operation: &'static str,
    ) -> Result<Stand, HipError> {
        let (stream, owner) = stream::create(driver, self.device, Default::default(), operation)?;
        let mark = EventRef::for_record(driver, self.device, EventOptions::new(), operation)?;
        let is_ordinary = stand.last.as_ref().is_none_or(|last| last.captured.is_none());
        let wait = || {
            let symbols = &driver.symbols;
            // SAFETY: both are alive, and so is what the event points to. Flags are 0.
            let code = unsafe { (symbols.stream_wait_event)(stream.as_ptr(), stand.raw(), 0) };
            driver.check(code, operation, "hipStreamWaitEvent")?;
            // SAFETY: both are alive, and of one device.
            let code = unsafe { (symbols.event_record)(mark.raw.as_ptr(), stream.as_ptr()) };
            driver.check(code, operation, "hipEventRecord")
        };
        // Of a record in a capture, or of a thread that has ended, the runtime is not asked.
        match if is_ordinary { stand.visit(wait).ok() } else { None } {
            Some(outcome) => {
                outcome?;
                let keeper = Keeper::Owner(owner);
                let last = Some(Record { stream, keeper, captured: None });
                Ok(Stand { handle: mark, last, doubt: Vec::new() })
            }
            None => {
                let (last, doubt) = (stand.last.clone(), stand.doubt.clone());
                Ok(Stand { handle: mark, last, doubt })
            }
        }
    }
}

impl Place {
    /// Returns the handle if it was never recorded and no call has it. While it is recorded, the event
    /// goes on to be unrecorded, which asks the runtime nothing.
    #[inline]
    fn unrecorded(&mut self) -> Option<EventRef> {
        let is_new = self.now.is_unrecorded() && self.now.handle.is_only();
        is_new.then(|| self.now.handle.clone())
    }

    /// Keeps a handle whose record failed for the next one. Returns what is left over.
    #[cold]
    fn not_recorded(&mut self, handle: EventRef, keeper: &Keeper) -> Option<EventRef> {
        if handle.is_same(&self.now.handle) {
            self.now.doubt.push(keeper.clone());
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
        keeper: &Keeper,
    ) -> Result<Replaced, EventRef> {
        if self.now.handle.is_fixed() {
            if handle.is_same(&self.now.handle) {
                // Given out meanwhile.
                self.recorded_in_place(last, keeper);
                drop(handle);
                let retired = self.take_retired();
                return Ok(Replaced { retired, ..Replaced::default() });
            }
            return Err(handle);
        }
        // Those who synchronize have the handle that they wait for.
        self.pin = None;
        let last = self.now.last.replace(last);
        // A share that is not the last needs no care.
        let last = last.filter(|last| !last.keeper.is_same(keeper));
        let doubt = std::mem::take(&mut self.now.doubt);
        let mut replaced = Replaced { last, doubt, ..Replaced::default() };
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
    fn recorded_in_place(&mut self, last: Record, keeper: &Keeper) {
        // The event's share, and that of the call that has recorded it.
        const OURS: usize = 2;
        if let Keeper::Thread(life) = keeper
            && self.now.handle.shares() > OURS
        {
            // Those calls began before they could visit the thread.
            self.retired.extend(life.hold().map(Retired::Visit));
        }
        let replaced = self.now.last.replace(last).map(|last| last.keeper);
        let doubt = std::mem::take(&mut self.now.doubt);
        for keeper in replaced.into_iter().chain(doubt) {
            let is_it =
                |known: &Retired| matches!(known, Retired::Keeper(known) if known.is_same(&keeper));
            if keeper.is_owner() && !self.retired.iter().any(is_it) {
                self.retired.push(Retired::Keeper(keeper));
            }
        }
    }
}
