//! Whether a stream's work is done, and waiting until it is.

use gpu_stream_core::EventOptions;

use crate::driver::Driver;
use crate::driver::capture::{self, CaptureModeGuard};
use crate::driver::code::HipCode;
use crate::driver::symbols::Ptr;
use crate::owned_event::EventRef;
use crate::{HipError, event};

/// Blocks until all work of the stream is done. Other threads' calls on the stream go on meanwhile.
///
/// # Safety
/// `stream` is alive, or 0 or 2 with its device current; it is of the device `ordinal`.
pub(crate) unsafe fn finish(
    driver: &'static Driver,
    stream: Ptr,
    ordinal: u32,
    operation: &'static str,
) -> Result<(), HipError> {
    // SAFETY: the caller promises the same.
    let marker = unsafe { record_marker(driver, stream, ordinal, operation) }?;
    let _relaxed = relaxed_for_events(driver, operation)?;
    event::poll(false, || {
        if driver.quirks.query_breaks_captures {
            // One may have begun since.
            // SAFETY: the caller promises the same.
            unsafe { capture::ensure_not_capturing(driver, stream, operation) }?;
        }
        event::is_passed(driver, marker.raw.as_ptr(), false, operation)
    })
}

/// Whether all work of the stream is done.
///
/// # Safety
/// As [`finish`].
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
        // SAFETY: the caller promises the stream.
        let code = unsafe { (driver.symbols.stream_query)(stream) };
        driver.discard(code);
        code
    };
    match code {
        HipCode::SUCCESS => Ok(true),
        HipCode::NOT_READY => Ok(false),
        // HIP 5.7 refuses it beside a capture of another stream, in whichever mode the thread is,
        // and takes the question for an event.
        HipCode::CAPTURE_UNSUPPORTED => {
            // SAFETY: the caller promises the same.
            let marker = unsafe { record_marker(driver, stream, ordinal, operation) }?;
            let _relaxed = relaxed_for_events(driver, operation)?;
            event::is_passed(driver, marker.raw.as_ptr(), false, operation)
        }
        code => Err(HipError::Driver { operation, function: "hipStreamQuery", code }),
    }
}

fn relaxed_for_events(
    driver: &'static Driver,
    operation: &'static str,
) -> Result<CaptureModeGuard, HipError> {
    CaptureModeGuard::enter_if(driver.quirks.unsafe_calls.event_query, driver, operation)
}

/// Returns an event that stands for all work of the stream so far, for questions while the stream is
/// alive. No other has it, and it goes back to the pool.
///
/// # Safety
/// As [`finish`].
pub(crate) unsafe fn record_marker(
    driver: &'static Driver,
    stream: Ptr,
    ordinal: u32,
    operation: &'static str,
) -> Result<EventRef, HipError> {
    let marker = EventRef::for_record(driver, ordinal, EventOptions::new(), operation)?;
    // SAFETY: the caller promises the stream; the event is alive, and of its device.
    let code = unsafe { (driver.symbols.event_record)(marker.raw.as_ptr(), stream) };
    driver.check(code, operation, "hipEventRecord")?;
    // Another thread may have begun a capture since the caller looked, and the mark be a part of it,
    // which stands for no work.
    // SAFETY: as above.
    let captured = unsafe { capture::ensure_not_capturing(driver, stream, operation) };
    if captured.is_err() {
        // Also if the runtime does not say.
        marker.mark_captured();
    }
    captured.map(|()| marker)
}
