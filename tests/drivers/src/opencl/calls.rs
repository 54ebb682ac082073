//! The calls that the benchmarks compare, one function for each.

use std::ffi::{c_int, c_void};
use std::ptr::{null, null_mut};

use super::{check, driver};
use crate::driver::{DriverError, Ptr, SUCCESS};

const PROFILING_END: u32 = 0x1283;

/// Enqueues a marker, and returns its event. Does not flush the queue.
///
/// # Errors
/// What OpenCL returns.
#[inline]
pub fn marker(queue: Ptr) -> Result<Ptr, DriverError> {
    let mut event = null_mut();
    // SAFETY: the queue is live, and `&mut event` is a valid out-pointer.
    let code = unsafe { (driver()?.marker)(queue, 0, null(), &mut event) };
    check("clEnqueueMarkerWithWaitList", code).map(|()| event)
}

/// Makes later work of a queue wait for an event.
///
/// # Errors
/// What OpenCL returns.
#[inline]
pub fn barrier(queue: Ptr, event: Ptr) -> Result<(), DriverError> {
    // SAFETY: the handles are live. No event is asked for.
    let code = unsafe { (driver()?.barrier)(queue, 1, &event, null_mut()) };
    check("clEnqueueBarrierWithWaitList", code)
}

/// Gives the commands of a queue to the device.
///
/// # Errors
/// What OpenCL returns.
#[inline]
pub fn flush(queue: Ptr) -> Result<(), DriverError> {
    // SAFETY: the queue is live.
    check("clFlush", unsafe { (driver()?.flush)(queue) })
}

/// Blocks until an event is complete.
///
/// # Errors
/// What OpenCL returns.
#[inline]
pub fn wait_for(event: Ptr) -> Result<(), DriverError> {
    // SAFETY: the event is live, and one is given.
    check("clWaitForEvents", unsafe { (driver()?.event_wait)(1, &event) })
}

/// Returns the time at the end of an event's command, in nanoseconds.
///
/// # Errors
/// What OpenCL returns.
#[inline]
pub fn end_time(event: Ptr) -> Result<u64, DriverError> {
    let mut time = 0_u64;
    let room = (&raw mut time).cast();
    // SAFETY: the event is live, and the time is a `cl_ulong`.
    let code = unsafe {
        (driver()?.event_profiling)(event, PROFILING_END, size_of::<u64>(), room, null_mut())
    };
    check("clGetEventProfilingInfo", code).map(|()| time)
}

/// Runs a host function that does nothing, after earlier work and before later work.
///
/// # Errors
/// What OpenCL returns. The event that later work waits for is then leaked.
#[inline]
pub fn host_func(context: Ptr, queue: Ptr) -> Result<(), DriverError> {
    /// Lets later work run, as the end of the function.
    unsafe extern "C" fn run(_: Ptr, _: c_int, later: *mut c_void) {
        if let Ok(driver) = driver() {
            // SAFETY: the event is live: the launch has left a reference to this call. Its status is set once.
            unsafe {
                (driver.user_event_set)(later, SUCCESS);
                (driver.event_release)(later);
            }
        }
    }
    let later = super::create_user_event(context)?;
    let before = marker(queue)?;
    // In front of the callback, which releases the event.
    barrier(queue, later)?;
    // SAFETY: the marker is live. `run` is called once, with a reference to the user event.
    let code = unsafe { (driver()?.event_callback)(before, SUCCESS, run, later) };
    check("clSetEventCallback", code)?;
    super::release_event(before)
}
