//! Captures, which must survive us: looking before asking, and asking so that others' captures do
//! not mind.
//!
//! To query or synchronize a stream that is being captured kills the capture from HIP 6 on, and is
//! answered with nonsense before, so [`refuse`] looks first. Some of the other functions are
//! *unsafe beside a capture* of this thread, or of any other in the mode *global*, as on CUDA;
//! [`Relaxed`] tells the runtime that the question has nothing to do with the capture, where it
//! [asks](Unsafe).
//!
//! Safe without it are: [`status`] and [`id`]; recording, waiting and host functions, which are
//! enqueued; and all that concerns the thread's current device.

use std::ffi::c_int;
use std::marker::PhantomData;

use gpu_stream_core::CaptureStatus;

use super::code::HipCode;
use super::symbols::Ptr;
use super::{Driver, dead, require};
use crate::HipError;

/// `hipStreamCaptureModeRelaxed`.
pub(super) const RELAXED: c_int = 2;

/// `hipStreamCaptureStatusActive`.
pub(super) const ACTIVE: c_int = 1;

/// Whether the stream is being captured. Leaves the capture alone.
///
/// # Safety
/// `stream` is alive, or 0 or 2 with the device that it is meant on current.
#[inline]
pub(crate) unsafe fn status(
    driver: &Driver,
    stream: Ptr,
    operation: &'static str,
) -> Result<CaptureStatus, HipError> {
    let mut status = 0;
    // SAFETY: the caller promises the stream; `status` is a place for the number.
    let code = unsafe { (driver.symbols.stream_is_capturing)(stream, &mut status) };
    if code == HipCode::SUCCESS && status == 0 {
        return Ok(CaptureStatus::None);
    }
    tell(driver, stream, code, status, operation)
}

/// What an answer to the question in [`status`] means.
#[cold]
fn tell(
    driver: &Driver,
    stream: Ptr,
    code: HipCode,
    status: c_int,
    operation: &'static str,
) -> Result<CaptureStatus, HipError> {
    driver.ignore(code);
    if code == HipCode::CAPTURE_IMPLICIT {
        // The default stream, beside a captured stream that it synchronises with. To this question
        // the runtime answers so and leaves the capture as it is.
        return Err(HipError::Capturing {
            operation,
            what: "a stream that the default stream synchronises with",
        });
    }
    if code == HipCode::INVALID_VALUE {
        // What HIP 5.2 says of a handle that is no stream.
        return Err(dead(stream, operation));
    }
    driver.check(code, operation, "hipStreamIsCapturing")?;
    Ok(match status {
        0 => CaptureStatus::None,
        ACTIVE => CaptureStatus::Active,
        _ => CaptureStatus::Invalidated,
    })
}

/// Whether the stream may be captured: also if the runtime does not say.
///
/// # Safety
/// As [`status`].
#[inline]
pub(crate) unsafe fn is_possible(driver: &Driver, stream: Ptr) -> bool {
    let mut status = 0;
    // SAFETY: the caller promises the stream; `status` is a place for the number.
    let code = unsafe { (driver.symbols.stream_is_capturing)(stream, &mut status) };
    driver.ignore(code);
    code != HipCode::SUCCESS || status != 0
}

/// Whether a capture of the stream has begun since it was looked at, asked behind a record. If the
/// runtime does not say, it is asked once more, and then none has: what it says may be about
/// something else, and the record was made.
///
/// # Safety
/// As [`status`].
#[inline]
pub(crate) unsafe fn has_begun(driver: &Driver, stream: Ptr) -> bool {
    for _ in 0..2 {
        let mut status = 0;
        // SAFETY: the caller promises the stream; `status` is a place for the number.
        let code = unsafe { (driver.symbols.stream_is_capturing)(stream, &mut status) };
        if code == HipCode::SUCCESS {
            return status != 0;
        }
        driver.ignore(code);
    }
    false
}

/// An error if the stream is being captured.
///
/// # Safety
/// As [`status`].
#[inline]
pub(crate) unsafe fn refuse(
    driver: &Driver,
    stream: Ptr,
    operation: &'static str,
) -> Result<(), HipError> {
    // SAFETY: the caller promises the same.
    match unsafe { status(driver, stream, operation) }? {
        CaptureStatus::None => Ok(()),
        CaptureStatus::Active | CaptureStatus::Invalidated => {
            Err(HipError::Capturing { operation, what: "the stream" })
        }
    }
}

/// Ends the capture of a stream, and drops the graph.
///
/// # Safety
/// As [`status`]; the stream ends with it.
pub(crate) unsafe fn end(
    driver: &Driver,
    stream: Ptr,
    operation: &'static str,
) -> Result<(), HipError> {
    let end = require(driver.symbols.end_capture, operation)?;
    let mut graph = std::ptr::null_mut();
    // SAFETY: the caller promises the stream; `graph` is a place for one graph.
    let code = unsafe { end(stream, &mut graph) };
    driver.ignore(code);
    if let (Some(destroy), false) = (driver.symbols.graph_destroy.function, graph.is_null()) {
        // SAFETY: the graph is ours, and this is its last use.
        driver.ignore(unsafe { destroy(graph) });
    }
    // One that was broken, or has branches that were not joined, is an error and over.
    // SAFETY: the caller promises the stream.
    match unsafe { status(driver, stream, operation) }? {
        CaptureStatus::None => Ok(()),
        _ => driver.check(code, operation, driver.symbols.end_capture.name),
    }
}

/// The number of the capture that the stream is in, which no other capture of the process has;
/// `None` if it is in none. 0 if the runtime does not say.
///
/// # Safety
/// As [`status`].
pub(crate) unsafe fn id(driver: &Driver, stream: Ptr) -> Option<u64> {
    let Some(info) = driver.symbols.stream_capture_info.function else {
        // SAFETY: the caller promises the same.
        let status = unsafe { status(driver, stream, "capture::id") };
        return matches!(status, Ok(CaptureStatus::Active)).then_some(0);
    };
    let (mut status, mut id) = (0, 0);
    let none = std::ptr::null_mut;
    // SAFETY: the caller promises the stream; the first two are places for their numbers, the
    // others may be null and are then not written.
    let code = unsafe {
        info(stream, &mut status, &mut id, none(), std::ptr::null_mut(), std::ptr::null_mut())
    };
    driver.ignore(code);
    (code == HipCode::SUCCESS && status == ACTIVE).then_some(id)
}

/// Which functions are unsafe beside a capture, so that they need [`Relaxed`]. AMD's runtime checks
/// few, and more with each version; HIP's NVIDIA platform, all that CUDA does. The table of the test
/// `capture_probe` has them one by one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Unsafe {
    /// `hipStreamQuery`. Up to HIP 5.7 the mode makes no difference to it: beside a capture 5.2
    /// answers, and 5.7 refuses and breaks nothing.
    pub(crate) stream_query: bool,
    /// `hipEventQuery`: since HIP 7.
    pub(crate) event_query: bool,
    /// All others that were found to be unsafe anywhere.
    others: bool,
}

impl Unsafe {
    /// Of a version that was not tried, all are taken to be so.
    pub(super) const fn of(version: c_int) -> Self {
        let is_known = version >= 50_000_000 && version < 70_300_000;
        Unsafe {
            stream_query: !is_known || version >= 60_000_000,
            event_query: !is_known || version >= 70_000_000,
            others: !is_known,
        }
    }
}

/// While it lives, calls of this thread do not break captures of other streams. The thread's mode
/// is as before when it is dropped.
pub(crate) struct Relaxed {
    driver: &'static Driver,
    /// `None` where the mode was left alone.
    before: Option<c_int>,
    // The mode is the thread's.
    stays_on_its_thread: PhantomData<*const ()>,
}

impl Relaxed {
    /// For a call of whatever is neither `hipStreamQuery` nor `hipEventQuery`.
    #[inline]
    pub(crate) fn enter(
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<Self, HipError> {
        Relaxed::enter_if(driver.unsafe_calls.others, driver, operation)
    }

    /// For a call that needs it if so said.
    #[inline]
    pub(crate) fn enter_if(
        needed: bool,
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<Self, HipError> {
        let before = if needed { exchange(driver, operation)? } else { None };
        Ok(Relaxed { driver, before, stays_on_its_thread: PhantomData })
    }
}

/// The mode that the thread had, if the runtime has modes.
#[inline]
fn exchange(driver: &'static Driver, operation: &'static str) -> Result<Option<c_int>, HipError> {
    let Some(exchange) = driver.symbols.exchange_capture_mode.function else { return Ok(None) };
    let mut mode = RELAXED;
    // SAFETY: `mode` is a valid mode, and a place for the one before.
    let code = unsafe { exchange(&mut mode) };
    if code == HipCode::NOT_SUPPORTED {
        // As good as missing.
        driver.ignore(code);
        return Ok(None);
    }
    let done = driver.check(code, operation, driver.symbols.exchange_capture_mode.name);
    // If it was done all the same, the mode is the one before.
    if done.is_err() && mode != RELAXED {
        put_back(driver, exchange, mode);
    }
    done.map(|()| Some(mode))
}

/// Sets the thread's mode to one that the runtime gave: once more, if the runtime says no, which may
/// be about something else.
#[inline]
fn put_back(driver: &Driver, exchange: unsafe extern "C" fn(*mut c_int) -> HipCode, before: c_int) {
    for _ in 0..2 {
        let mut mode = before;
        // SAFETY: `mode` is a mode that the runtime gave, and a place for ours, which nobody needs.
        // If it fails again the runtime is gone, and then there are no modes.
        let code = unsafe { exchange(&mut mode) };
        if code == HipCode::SUCCESS {
            break;
        }
        driver.ignore(code);
    }
}

impl Drop for Relaxed {
    #[inline]
    fn drop(&mut self) {
        let exchange = self.driver.symbols.exchange_capture_mode.function;
        if let (Some(before), Some(exchange)) = (self.before, exchange) {
            put_back(self.driver, exchange, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_tried_is_taken_to_be_unsafe() {
        let of = |stream_query, event_query, others| Unsafe { stream_query, event_query, others };
        for (version, expected) in [
            (50_221_153, of(false, false, false)),
            (50_731_921, of(false, false, false)),
            (60_443_484, of(true, false, false)),
            (70_253_211, of(true, true, false)),
            (70_300_000, of(true, true, true)),
            (80_000_000, of(true, true, true)),
            (12_090, of(true, true, true)),
        ] {
            assert_eq!(Unsafe::of(version), expected, "{version}");
        }
    }
}
