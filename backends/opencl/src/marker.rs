//! Events of OpenCL, which a command makes: [`EventRef`], and the commands for order.

use std::ptr::{null, null_mut};

use crate::completion::COMPLETE;
use crate::driver::{Driver, Handle, Ptr, check, info, loaded, to_result};
use crate::error::{Result, driver_error};
use crate::{OpenClCode, OpenClError};

const EVENT_QUEUE: u32 = 0x11D0;
const EVENT_STATUS: u32 = 0x11D3;
const EVENT_CONTEXT: u32 = 0x11D4;
const PROFILING_END: u32 = 0x1283;
/// A reference to a `cl_event`. A clone is another reference.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct EventRef(Handle);

impl EventRef {
    /// Takes over a reference.
    ///
    /// # Safety
    /// - `raw` is a live event, and one reference of it belongs to the result.
    pub(crate) unsafe fn from_owned(raw: Ptr) -> Self {
        EventRef(Handle(raw))
    }

    /// Adds a reference to an event of another library.
    ///
    /// # Safety
    /// - `raw` is a live event.
    pub(crate) unsafe fn retain(
        driver: &Driver,
        raw: Ptr,
        operation: &'static str,
    ) -> Result<Self> {
        // SAFETY: the event is live (caller contract).
        check(unsafe { (driver.symbols.event_retain)(raw) }, operation, "clRetainEvent")?;
        // SAFETY: the reference was just added.
        Ok(unsafe { EventRef::from_owned(raw) })
    }

    /// Returns another reference.
    pub(crate) fn try_clone(&self, driver: &Driver, operation: &'static str) -> Result<Self> {
        // SAFETY: the event is live: `self` has a reference.
        unsafe { EventRef::retain(driver, self.raw(), operation) }
    }

    /// Returns the handle.
    pub(crate) fn raw(&self) -> Ptr {
        self.0.0
    }

    /// Returns `true` if the work before the event is done.
    pub(crate) fn is_complete(&self, driver: &Driver, operation: &'static str) -> Result<bool> {
        // SAFETY: the event is live: `self` has a reference. The status is an `i32`.
        let status = unsafe { info(driver.symbols.event_info, self.raw(), EVENT_STATUS, 1_i32) };
        match to_result(status, operation, "clGetEventInfo")? {
            COMPLETE => Ok(true),
            status if status < 0 => Err(failed(operation, "clGetEventInfo", status)),
            _ => Ok(false),
        }
    }

    /// Blocks until the work before the event is done.
    pub(crate) fn wait(&self, driver: &Driver, operation: &'static str) -> Result<()> {
        // SAFETY: the event is live: `self` has a reference. One is given.
        match unsafe { (driver.symbols.event_wait)(1, &self.raw()) } {
            0 => Ok(()),
            // The status of the event says which work failed.
            code => {
                self.is_complete(driver, operation)?;
                Err(driver_error(operation, "clWaitForEvents", OpenClCode::new(code)))
            }
        }
    }

    /// Returns the event's queue; null for a user event.
    pub(crate) fn queue(&self, driver: &Driver, operation: &'static str) -> Result<Ptr> {
        // SAFETY: the event is live: `self` has a reference. The parameter is a pointer.
        let queue = unsafe { info(driver.symbols.event_info, self.raw(), EVENT_QUEUE, null_mut()) };
        to_result(queue, operation, "clGetEventInfo")
    }

    /// Returns the event's context.
    pub(crate) fn context(&self, driver: &Driver, operation: &'static str) -> Result<Ptr> {
        // SAFETY: the event is live: `self` has a reference. The parameter is a pointer.
        let context =
            unsafe { info(driver.symbols.event_info, self.raw(), EVENT_CONTEXT, null_mut()) };
        to_result(context, operation, "clGetEventInfo")
    }

    /// Returns the device's time at the end of the event's command, in nanoseconds.
    pub(crate) fn end_time(&self, driver: &Driver, operation: &'static str) -> Result<u64> {
        let get = driver.symbols.event_profiling;
        // SAFETY: the event is live: `self` has a reference. The parameter is a `u64`.
        let time = unsafe { info(get, self.raw(), PROFILING_END, 0_u64) };
        to_result(time, operation, "clGetEventProfilingInfo")
    }
}

impl Drop for EventRef {
    fn drop(&mut self) {
        // In the child of a fork nothing is released.
        if let Some(driver) = loaded() {
            // SAFETY: the event is live, and this was a reference of it.
            unsafe { (driver.symbols.event_release)(self.raw()) };
        }
    }
}

/// Returns the error of work that ended with a negative status.
#[cold]
pub(crate) fn failed(operation: &'static str, function: &'static str, status: i32) -> OpenClError {
    driver_error(operation, function, OpenClCode::of_work(status))
}

/// Enqueues a marker, and returns its event: it is complete when all earlier work of the queue is.
///
/// The queue is not flushed. Before [`flush`], another queue that waits for the event could wait for ever.
///
/// # Safety
/// - `queue` is a live in-order queue.
pub(crate) unsafe fn enqueue_marker(
    driver: &Driver,
    queue: Ptr,
    operation: &'static str,
) -> Result<EventRef> {
    let mut event = null_mut();
    // SAFETY: the queue is live (caller contract). Without a wait list the marker waits for all earlier work.
    let code = unsafe { (driver.symbols.marker)(queue, 0, null(), &mut event) };
    check(code, operation, "clEnqueueMarkerWithWaitList")?;
    // SAFETY: the call has returned a reference.
    Ok(unsafe { EventRef::from_owned(event) })
}

/// Gives the commands of a queue to the device.
///
/// # Safety
/// - `queue` is live.
pub(crate) unsafe fn flush(driver: &Driver, queue: Ptr, operation: &'static str) -> Result<()> {
    // SAFETY: the queue is live (caller contract).
    check(unsafe { (driver.symbols.flush)(queue) }, operation, "clFlush")
}

/// Makes later work of a queue wait for an event of the queue's context.
///
/// # Safety
/// - `queue` is live, and the event belongs to its context.
pub(crate) unsafe fn enqueue_barrier(
    driver: &Driver,
    queue: Ptr,
    event: &EventRef,
    operation: &'static str,
) -> Result<()> {
    // SAFETY: both are live (caller contract; `event` has a reference). No event is asked for.
    let code = unsafe { (driver.symbols.barrier)(queue, 1, &event.raw(), null_mut()) };
    check(code, operation, "clEnqueueBarrierWithWaitList")
}

/// Creates a user event, which is complete when the host says so.
///
/// # Safety
/// - `context` is live.
pub(crate) unsafe fn create_user_event(
    driver: &Driver,
    context: Ptr,
    operation: &'static str,
) -> Result<EventRef> {
    let mut code = 0;
    // SAFETY: the context is live (caller contract), and `&mut code` is a valid out-pointer.
    let event = unsafe { (driver.symbols.user_event_create)(context, &mut code) };
    check(code, operation, "clCreateUserEvent")?;
    // SAFETY: the call has returned a reference.
    Ok(unsafe { EventRef::from_owned(event) })
}
