//! Captures, which must survive us: looking before asking, and asking so that others' captures do
//! not mind.
//!
//! To query or synchronize a stream that is being captured kills the capture from HIP 6 on, and is
//! answered with nonsense before, so [`refuse`] looks first. Some of the other functions are
//! *unsafe beside a capture* of this thread, or of any other in the mode *global*, as on CUDA;
//! [`Relaxed`] tells the runtime that the question has nothing to do with the capture.
//!
//! Safe without it are: [`status`] and [`id`]; recording, waiting and host functions, which are
//! enqueued; and all that concerns the thread's current device.

use std::ffi::c_int;
use std::marker::PhantomData;

use gpu_stream_core::CaptureStatus;

use super::code::HipCode;
use super::symbols::Ptr;
use super::{Driver, check, dead, require};
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
    check(code, operation, "hipStreamIsCapturing")?;
    Ok(match status {
        0 => CaptureStatus::None,
        ACTIVE => CaptureStatus::Active,
        _ => CaptureStatus::Invalidated,
    })
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
    if let (Some(destroy), false) = (driver.symbols.graph_destroy.function, graph.is_null()) {
        // SAFETY: the graph is ours, and this is its last use.
        let _ = unsafe { destroy(graph) };
    }
    // One that was broken, or has branches that were not joined, is an error and over.
    // SAFETY: the caller promises the stream.
    match unsafe { status(driver, stream, operation) }? {
        CaptureStatus::None => Ok(()),
        _ => check(code, operation, driver.symbols.end_capture.name),
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
    (code == HipCode::SUCCESS && status == ACTIVE).then_some(id)
}

/// While it lives, calls of this thread do not break captures of other streams. The thread's mode
/// is as before when it is dropped.
pub(crate) struct Relaxed {
    driver: &'static Driver,
    /// `None` where the runtime has no modes.
    before: Option<c_int>,
    // The mode is the thread's.
    stays_on_its_thread: PhantomData<*const ()>,
}

impl Relaxed {
    #[inline]
    pub(crate) fn enter(
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<Self, HipError> {
        let mut before = None;
        if let Some(exchange) = driver.symbols.exchange_capture_mode.function {
            let mut mode = RELAXED;
            // SAFETY: `mode` is a valid mode, and a place for the one before.
            let code = unsafe { exchange(&mut mode) };
            check(code, operation, driver.symbols.exchange_capture_mode.name)?;
            before = Some(mode);
        }
        Ok(Relaxed { driver, before, stays_on_its_thread: PhantomData })
    }
}

impl Drop for Relaxed {
    #[inline]
    fn drop(&mut self) {
        let exchange = self.driver.symbols.exchange_capture_mode.function;
        if let (Some(exchange), Some(mut before)) = (exchange, self.before) {
            // SAFETY: `before` is the mode that the runtime gave, and a place for ours, which
            // nobody needs. It can only fail when the runtime is gone, and then there are no modes.
            let _ = unsafe { exchange(&mut before) };
        }
    }
}
