//! Whether a stream's work is done, and waiting until it is.

use gpu_stream_core::EventOptions;

use crate::driver::code::HipCode;
use crate::driver::symbols::Ptr;
use crate::driver::{CaptureModeGuard, Driver, capture};
use crate::owned_event::EventRef;
use crate::{HipError, event};

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
    let _relaxed = relaxed_for_events(driver, operation)?;
    event::poll(false, || {
        if driver.quirks.query_breaks_captures {
            // A capture may have begun since the last check.
            // SAFETY: `stream` is live, or its device is current (caller contract).
            unsafe { capture::ensure_not_capturing(driver, stream, operation) }?;
        }
        event::is_passed(driver, marker.raw.as_ptr(), false, operation)
    })
}

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
        HipCode::CAPTURE_UNSUPPORTED => {
            // SAFETY: `stream` is live, or its device is current (caller contract).
            let marker = unsafe { record_marker(driver, stream, ordinal, operation) }?;
            let _relaxed = relaxed_for_events(driver, operation)?;
            event::is_passed(driver, marker.raw.as_ptr(), false, operation)
        }
        code => Err(HipError::Driver { operation, function: "hipStreamQuery", code }),
    }
}

/// Enters the capture mode that `hipEventQuery` needs.
fn relaxed_for_events(
    driver: &'static Driver,
    operation: &'static str,
) -> Result<CaptureModeGuard, HipError> {
    CaptureModeGuard::enter_if(driver.quirks.unsafe_calls.event_query, driver, operation)
}

/// Records an event that stands for all work of the stream so far, to be queried while the stream is alive.
/// No other owner has the event, and its drop returns it to the pool.
///
/// # Safety
/// - `stream` is a live stream of the device `ordinal`, or 0 or 2 with that device current.
pub(crate) unsafe fn record_marker(
    driver: &'static Driver,
    stream: Ptr,
    ordinal: u32,
    operation: &'static str,
) -> Result<EventRef, HipError> {
    let marker = EventRef::for_record(driver, ordinal, EventOptions::new(), operation)?;
    // SAFETY: `stream` is live, or its device is current (caller contract). The event is live: `marker` owns
    // it. Both belong to the device `ordinal`.
    let code = unsafe { (driver.symbols.event_record)(marker.raw.as_ptr(), stream) };
    driver.check(code, operation, "hipEventRecord")?;
    Ok(marker)
}
