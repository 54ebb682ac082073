//! Whether the work of a stream or before a record is done, and waiting until it is. On handles of the runtime.

use std::time::Duration;

use crate::HipError;
use crate::code::HipCode;
use crate::driver::symbols::Ptr;
use crate::driver::{CaptureModeGuard, Driver, capture, process_state};
use crate::pool::PooledEvent;

/// The number of polls before a wait sleeps between them.
const SPIN_LIMIT: u32 = 200;

/// Polls `done` until it returns `true` or an error. Yields at first, then sleeps with pauses that grow.
pub(crate) fn poll(
    blocking: bool,
    mut done: impl FnMut() -> Result<bool, HipError>,
) -> Result<(), HipError> {
    let longest = Duration::from_micros(if blocking { 1_000 } else { 100 });
    let mut pause = Duration::ZERO;
    let mut polls = if blocking { SPIN_LIMIT } else { 0 };
    let mut done = || {
        let _guard = process_state::begin_poll()?;
        done()
    };
    while !done()? {
        if polls < SPIN_LIMIT {
            polls += 1;
            std::thread::yield_now();
        } else {
            pause = (pause * 2).clamp(Duration::from_micros(10), longest);
            std::thread::sleep(pause);
        }
    }
    Ok(())
}

/// Returns `true` if all work before the last record of `event` is done.
///
/// # Safety
/// - `event` is live, and so is each stream that it may point to.
#[inline]
pub(crate) unsafe fn is_passed(
    driver: &'static Driver,
    event: Ptr,
    operation: &'static str,
) -> Result<bool, HipError> {
    let needed = driver.quirks.unsafe_calls.event_query;
    let _relaxed = CaptureModeGuard::enter_if(needed, driver, operation)?;
    // SAFETY: `event` is live, and so are its streams (caller contract).
    let code = unsafe { (driver.symbols.event_query)(event) };
    if code == HipCode::SUCCESS {
        return Ok(true);
    }
    driver.clear_last_error(code);
    match code {
        HipCode::NOT_READY => Ok(false),
        code => Err(query_error(false, code, operation, "hipEventQuery")),
    }
}

/// Converts the runtime's code for a query of an event, or for a wait.
#[cold]
pub(crate) fn query_error(
    in_a_capture: bool,
    code: HipCode,
    operation: &'static str,
    function: &'static str,
) -> HipError {
    match code {
        // While a stream is captured, HIP answers so for each of its events, also for one that was recorded
        // before the capture. The capture goes on.
        HipCode::CAPTURED_EVENT if !in_a_capture => {
            let what = "the stream that the event was last recorded on";
            HipError::Capturing { operation, what }
        }
        code => HipError::Driver { operation, function, code },
    }
}

/// The number of polls of a marker on a stream that may be idle. The marker itself is work, so it is not passed at once,
/// and a caller that repeats the query makes another marker each time.
pub(crate) const MARKER_POLLS: u32 = 64;

/// Returns `true` if all work of the stream is done.
///
/// # Safety
/// - `stream` is a live stream of the device `ordinal`, or 0 or 2 with that device current.
#[inline]
pub(crate) unsafe fn is_idle(
    driver: &'static Driver,
    stream: Ptr,
    ordinal: u32,
    operation: &'static str,
) -> Result<bool, HipError> {
    let code = {
        let needed = driver.quirks.unsafe_calls.stream_query;
        let _relaxed = CaptureModeGuard::enter_if(needed, driver, operation)?;
        // SAFETY: `stream` is live, or its device is current (caller contract).
        let code = unsafe { (driver.symbols.stream_query)(stream) };
        driver.discard(code);
        code
    };
    match code {
        HipCode::SUCCESS => Ok(true),
        HipCode::NOT_READY => Ok(false),
        // HIP 5.7 refuses the call beside a capture of another stream, in each capture mode. It does not
        // refuse the query of an event.
        // SAFETY: `stream` is live, or its device is current (caller contract). The event points to it.
        HipCode::CAPTURE_UNSUPPORTED => unsafe {
            let marker = record_marker(driver, stream, ordinal, operation)?;
            for _ in 0..MARKER_POLLS {
                if is_passed(driver, marker.raw(), operation)? {
                    return Ok(true);
                }
                std::thread::yield_now();
            }
            Ok(false)
        },
        code => Err(HipError::Driver { operation, function: "hipStreamQuery", code }),
    }
}

/// Blocks until all work of the stream is done. Does not block other threads' calls on the stream.
///
/// # Safety
/// - `stream` is a live stream of the device `ordinal`, or 0 or 2 with that device current.
pub(crate) unsafe fn finish(
    driver: &'static Driver,
    stream: Ptr,
    ordinal: u32,
    operation: &'static str,
) -> Result<(), HipError> {
    // SAFETY: `stream` is live, or its device is current (caller contract).
    let marker = unsafe { record_marker(driver, stream, ordinal, operation) }?;
    poll(false, || {
        // SAFETY: `stream` is live, or its device is current (caller contract). The event points to it.
        unsafe {
            if driver.quirks.query_breaks_captures {
                // A capture may have begun since the last check.
                capture::ensure_not_capturing(driver, stream, operation)?;
            }
            is_passed(driver, marker.raw(), operation)
        }
    })
}

/// Records an event that stands for all work of the stream so far, to be queried while the stream is alive.
///
/// # Errors
/// The stream is captured: a capture may begin after the caller's check.
///
/// # Safety
/// - `stream` is a live stream of the device `ordinal`, or 0 or 2 with that device current.
pub(crate) unsafe fn record_marker(
    driver: &'static Driver,
    stream: Ptr,
    ordinal: u32,
    operation: &'static str,
) -> Result<PooledEvent, HipError> {
    let marker = PooledEvent::take(driver, ordinal, operation)?;
    // SAFETY: `stream` is live, or its device is current (caller contract). The event is live: `marker` owns it. Both
    // belong to the device `ordinal`.
    let code = unsafe { (driver.symbols.event_record)(marker.raw(), stream) };
    driver.check(code, operation, "hipEventRecord")?;
    // SAFETY: `stream` is live, or its device is current (caller contract).
    if let Err(captured) = unsafe { capture::ensure_not_capturing(driver, stream, operation) } {
        // The capture has a pointer to the event, so it is never used or destroyed again.
        marker.into_raw();
        return Err(captured);
    }
    Ok(marker)
}
