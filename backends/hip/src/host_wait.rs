//! Waits inside the runtime, for events that no other code has: [`finish`], [`wait_in_runtime`], [`WaitMarker`].
//!
//! A pending `hipEventSynchronize` holds the lock of its event, so other calls on that event block. It blocks nothing
//! else (5.2, 5.7, 6.4 and 7.2). So a thread waits for a *marker*: an event that is recorded for waits alone.
//!
//! `Stream::synchronize` records its marker when it is called. `Event::synchronize` cannot: such a marker would also
//! stand for work that was submitted after the event's record. So an event with the option `blocking` has a marker that
//! is recorded just before the event itself. `Event::synchronize` of other events polls.

use gpu_stream_core::{EventOptions, RawEvent};

use crate::code::HipCode;
use crate::driver::symbols::Ptr;
use crate::driver::{CaptureModeGuard, Driver, capture, process_state};
use crate::poll::{is_passed, poll, query_error, record_marker};
use crate::{Hip, HipError, pool};

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
    // SAFETY: the event is live, and no other code has it: `marker` owns it. It points to `stream`, which is live, or its
    // device is current (caller contract).
    if unsafe { wait_in_runtime(driver, marker.raw(), operation) }? {
        return Ok(());
    }
    poll(|| {
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

/// Blocks until the work before the last record of `marker` is done. Returns `false` if the runtime refuses the wait, and
/// the caller has to poll: HIP 5.7 refuses it beside a capture.
///
/// On 6.x, the caller has just checked that the stream of the record is not captured: the wait would break a capture that
/// began since the record.
///
/// # Safety
/// - `marker` is live, and so is each stream that it may point to.
/// - Other threads do nothing with the event before the wait is over, except to wait for it as well.
pub(crate) unsafe fn wait_in_runtime(
    driver: &'static Driver,
    marker: Ptr,
    operation: &'static str,
) -> Result<bool, HipError> {
    drop(process_state::begin_poll()?);
    // The same versions check both functions.
    let needed = driver.quirks.unsafe_calls.stream_query;
    let relaxed = CaptureModeGuard::enter_if(needed, driver, operation)?;
    // SAFETY: `marker` is live, and so are its streams (caller contract).
    let code = unsafe { (driver.symbols.event_synchronize)(marker) };
    // The process may have begun to end. Then the runtime must not be called any more.
    let _guard = process_state::begin_poll()?;
    driver.discard(code);
    drop(relaxed);
    match code {
        HipCode::SUCCESS => Ok(true),
        HipCode::NOT_READY | HipCode::CAPTURE_UNSUPPORTED => Ok(false),
        code => Err(query_error(false, code, operation, "hipEventSynchronize")),
    }
}

/// An event of the runtime with the option `blocking`, which is recorded just before another one, on the same stream.
///
/// It may be done a moment before that record.
pub(crate) struct WaitMarker {
    driver: &'static Driver,
    raw: RawEvent<Hip>,
}

impl WaitMarker {
    /// Creates an event of the device `ordinal`.
    pub(crate) fn new(
        driver: &'static Driver,
        ordinal: u32,
        operation: &'static str,
    ) -> Result<Self, HipError> {
        let options = EventOptions::builder().blocking(true).build()?;
        Ok(WaitMarker { driver, raw: pool::create(driver, ordinal, options, operation)? })
    }

    /// Returns the handle.
    #[inline]
    pub(crate) fn raw(&self) -> Ptr {
        self.raw.as_ptr()
    }

    /// Leaks the event: a capture may have a pointer to it.
    pub(crate) fn leak(self) {
        std::mem::forget(self);
    }
}

impl Drop for WaitMarker {
    fn drop(&mut self) {
        pool::destroy_soon(self.driver, self.raw, Vec::new);
    }
}
