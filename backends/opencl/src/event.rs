//! A point in a queue's work: [`OpenClEvent`].

use std::ptr::null_mut;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gpu_stream_core::{
    BackendKind, ContractError, Device, Event, EventOptions, EventStatus, KeepAlive, RawEvent,
};
use gpu_stream_driver_common::host_func::ensure_outside;

use crate::device::{QUEUE_DEVICE, ordinal_of};
use crate::driver::{Driver, check, driver, info, to_result};
use crate::error::{Result, driver_error, invalid_handle};
use crate::host_func::{USER_CODE, call};
use crate::marker::EventRef;
use crate::{OpenCl, OpenClCode, OpenClError};

/// An event of the OpenCL backend.
///
/// An event of OpenCL is made by a command, and stands for one record. So this event has another handle after each
/// record, and none before the first one.
pub struct OpenClEvent {
    device: Device,
    options: EventOptions,
    is_foreign: bool,
    /// Locked for moments only, and never during a call of the driver that enqueues, flushes or releases.
    current: Mutex<Current>,
    owner: KeepAlive,
}

/// The current record.
#[derive(Default)]
struct Current {
    /// Its marker.
    marker: Option<EventRef>,
    /// The number of records so far.
    records: u64,
}

/// Returns an error for options that OpenCL's events cannot have.
pub(crate) fn check_options(options: EventOptions, operation: &'static str) -> Result<()> {
    if options.is_interprocess() {
        let (backend, reason) = (BackendKind::OpenCl, "OpenCL has no events for another process");
        return Err(ContractError::Unsupported { operation, backend, reason }.into());
    }
    Ok(())
}

impl OpenClEvent {
    /// Creates an event without a record.
    pub(crate) fn new(device: Device, options: EventOptions) -> Self {
        OpenClEvent::with(device, options, None, KeepAlive::none())
    }

    fn with(
        device: Device,
        options: EventOptions,
        foreign: Option<EventRef>,
        owner: KeepAlive,
    ) -> Self {
        let is_foreign = foreign.is_some();
        let current = Mutex::new(Current { marker: foreign, records: 0 });
        OpenClEvent { device, options, is_foreign, current, owner }
    }

    /// Wraps a `cl_event` of another library as the current record, and adds a reference to it.
    ///
    /// # Safety
    /// - `raw` is a live event, or null.
    pub(crate) unsafe fn foreign(
        raw: RawEvent<OpenCl>,
        device: Option<Device>,
        options: Option<EventOptions>,
        owner: KeepAlive,
        operation: &'static str,
    ) -> Result<Self> {
        // SAFETY: the event is live, or null (caller contract).
        match unsafe { retain(raw, device, operation) } {
            Ok((event, device)) => {
                Ok(OpenClEvent::with(device, options.unwrap_or_default(), Some(event), owner))
            }
            Err(error) => {
                USER_CODE.drop_owner(owner);
                Err(error)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a reference to the current record.
    pub(crate) fn current(
        &self,
        driver: &Driver,
        operation: &'static str,
    ) -> Result<Option<EventRef>> {
        self.lock().marker.as_ref().map(|event| event.try_clone(driver, operation)).transpose()
    }

    /// Makes a record, which replaces the current one. Call it after [`driver`], which refuses the child of a fork: a thread
    /// of the parent may hold the lock there.
    ///
    /// Calls `record` again if another record of this event ended meanwhile: which of their markers is the later one is not
    /// known, and the new one is later than both. So the last of several records is also the last that was enqueued.
    ///
    /// Holds nothing during `record`. A driver may run a callback of another library there, which may use this event.
    pub(crate) fn replace(&self, record: impl Fn() -> Result<EventRef>) -> Result<()> {
        loop {
            let before = self.lock().records;
            let marker = record()?;
            let mut current = self.lock();
            if current.records == before {
                current.records += 1;
                let replaced = current.marker.replace(marker);
                drop(current);
                drop(replaced);
                return Ok(());
            }
        }
    }
}

/// Adds a reference to an event, and returns its device: that of its queue, or else the given one.
///
/// # Safety
/// - `raw` is a live event, or null.
unsafe fn retain(
    raw: RawEvent<OpenCl>,
    given: Option<Device>,
    operation: &'static str,
) -> Result<(EventRef, Device)> {
    let driver = driver()?;
    if let Some(given) = given {
        driver.device(given, operation)?;
    }
    let bits = raw.to_bits();
    if bits == 0 {
        let reason = "is no event: a command of OpenCL makes one; pass the event of a command";
        return Err(invalid_handle(operation, bits, reason));
    }
    // SAFETY: the event is live (caller contract).
    let event = unsafe { EventRef::retain(driver, raw.as_ptr(), operation) }?;
    let queue = event.queue(driver, operation)?;
    let device = if queue.is_null() {
        let reason = "is a user event, which belongs to no device; name one";
        given.ok_or_else(|| invalid_handle(operation, bits, reason))?
    } else {
        // SAFETY: the queue is live, since its event has a reference to it. The parameter is a pointer.
        let id = unsafe { info(driver.symbols.queue_info, queue, QUEUE_DEVICE, null_mut()) };
        let id = to_result(id, operation, "clGetCommandQueueInfo")?;
        let reason = "is an event of a device that is not in the list of devices";
        let ordinal = ordinal_of(driver, id, operation)?;
        let ordinal = ordinal.ok_or_else(|| invalid_handle(operation, bits, reason))?;
        Device::new(BackendKind::OpenCl, ordinal)
    };
    if let Some(given) = given {
        given.check_is(device, operation)?;
    }
    if !queue.is_null() {
        // Before the flush, a queue that waits for the event could wait for ever.
        // SAFETY: the queue is live, since its event has a reference to it.
        check(unsafe { (driver.symbols.flush)(queue) }, operation, "clFlush")?;
    }
    Ok((event, device))
}

// SAFETY:
// - The status is that of the marker, which is complete when all work before the record is. A failure is an error.
// - The event has a reference to its marker.
unsafe impl Event for OpenClEvent {
    type Backend = OpenCl;

    /// Returns the `cl_event` of the current record; null before the first one.
    ///
    /// Each record makes another one. The handle is valid until the next record, and as long as this event lives. Retain
    /// it (`clRetainEvent`) to keep it longer.
    fn raw(&self) -> RawEvent<OpenCl> {
        RawEvent::from_ptr(self.lock().marker.as_ref().map_or(null_mut(), EventRef::raw))
    }

    fn device(&self) -> Device {
        self.device
    }

    fn options(&self) -> EventOptions {
        self.options
    }

    fn is_foreign(&self) -> bool {
        self.is_foreign
    }

    fn status(&self) -> Result<EventStatus, OpenClError> {
        const OPERATION: &str = "Event::status";
        call(|| {
            let driver = driver()?;
            Ok(match self.current(driver, OPERATION)? {
                None => EventStatus::Unrecorded,
                Some(event) if event.is_complete(driver, OPERATION)? => EventStatus::Complete,
                Some(_) => EventStatus::Pending,
            })
        })
    }

    fn synchronize(&self) -> Result<(), OpenClError> {
        const OPERATION: &str = "Event::synchronize";
        call(|| {
            ensure_outside(OPERATION)?;
            let driver = driver()?;
            match self.current(driver, OPERATION)? {
                Some(event) => event.wait(driver, OPERATION),
                None => Ok(()),
            }
        })
    }

    fn elapsed_unchecked(&self, start: &Self) -> Result<f32, OpenClError> {
        const OPERATION: &str = "Event::elapsed_since";
        call(|| {
            let driver = driver()?;
            let time = |event: &Self| {
                let marker = event.current(driver, OPERATION)?;
                let no_time = OpenClCode::NO_PROFILING;
                let refused = || driver_error(OPERATION, "clGetEventProfilingInfo", no_time);
                let is_timed = event.options.is_timed() || event.is_foreign;
                let marker = marker.filter(|_| is_timed).ok_or_else(refused)?;
                if !marker.is_complete(driver, OPERATION)? {
                    return Err(refused());
                }
                marker.end_time(driver, OPERATION)
            };
            let (start, end) = (time(start)?, time(self)?);
            // Nanoseconds, whose difference can be negative.
            Ok((end.wrapping_sub(start) as i64 as f64 / 1e6) as f32)
        })
    }
}

impl Drop for OpenClEvent {
    fn drop(&mut self) {
        let current = self.current.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = current.marker.take() {
            // It can have the last reference to its queue.
            USER_CODE.run_outside_host_func(move || drop(last));
        }
        if self.owner.is_owned() {
            USER_CODE.drop_owner(std::mem::take(&mut self.owner));
            USER_CODE.deferred.run();
        }
    }
}

impl std::fmt::Debug for OpenClEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = f.debug_struct("OpenClEvent");
        text.field("raw", &self.raw()).field("device", &self.device);
        text.field("options", &self.options).field("owner", &self.owner).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::Arc;

    use gpu_stream_core::Stream as _;

    use super::*;
    use crate::driver::fake;

    /// Another library's callback runs inside of a call of the driver, and records the same event.
    #[test]
    fn record_inside_of_a_record_is_not_blocked_and_the_last_marker_stays() {
        let stream = fake::stream();
        let event = Arc::new(stream.new_event(EventOptions::new()).unwrap());
        let before = fake::calls();
        stream.record(&event).unwrap();
        for number in 0..fake::calls() - before {
            let (inner, other) = (stream.clone(), Arc::clone(&event));
            fake::run_inside(number, move || inner.record(&other).unwrap());
            let markers = RefCell::new(Vec::new());
            let driver = driver().unwrap();
            let record = || {
                let marker = stream.marker(driver, "Stream::record")?;
                markers.borrow_mut().push(marker.raw());
                Ok(marker)
            };
            event.replace(record).unwrap();
            // The inner record is between, so which of two markers is the later one is not known.
            assert_eq!((fake::is_waiting(), markers.borrow().len()), (false, 2), "call {number}");
            assert_eq!(event.raw().as_ptr(), markers.borrow()[1]);
        }
    }

    #[test]
    fn event_can_be_asked_while_a_record_is_being_enqueued() {
        let event = OpenClEvent::new(Device::new(BackendKind::OpenCl, 0), EventOptions::new());
        let refused = || invalid_handle("Stream::record", 3, "is meant to fail");
        let recorded = event.replace(|| {
            // The driver blocks, or runs a callback of another library here.
            assert!(event.current.try_lock().is_ok(), "`raw` would block");
            assert_eq!(event.raw().to_bits(), 0);
            Err(refused())
        });
        assert_eq!(recorded.unwrap_err().to_string(), refused().to_string());
        assert_eq!(event.raw().to_bits(), 0);
    }
}
