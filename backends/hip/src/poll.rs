//! Whether the work of a stream or before a record is done, and polling until it is. On handles of the runtime.

use std::time::{Duration, Instant};

use crate::HipError;
use crate::code::HipCode;
use crate::driver::symbols::Ptr;
use crate::driver::{CaptureModeGuard, Driver, capture, process_state};
use crate::pool::PooledEvent;

/// The number of polls before a wait sleeps between them.
const SPIN_LIMIT: u32 = 4;

/// Polls `done` until it returns `true` or an error. Yields at first, then sleeps.
///
/// A pause is a third of the time so far, and at most 2 ms. So the wait is late by a fraction of its time, and a long one
/// makes few polls.
pub(crate) fn poll(mut done: impl FnMut() -> Result<bool, HipError>) -> Result<(), HipError> {
    const SHORTEST: Duration = Duration::from_micros(10);
    const LONGEST: Duration = Duration::from_millis(2);
    let mut done = || {
        let _guard = process_state::begin_poll()?;
        done()
    };
    for _ in 0..SPIN_LIMIT {
        if done()? {
            return Ok(());
        }
        std::thread::yield_now();
    }
    let begin = Instant::now();
    while !done()? {
        std::thread::sleep((begin.elapsed() / 3).clamp(SHORTEST, LONGEST));
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
