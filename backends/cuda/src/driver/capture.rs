//! Captures, which must survive us: looking before asking, and asking so that others' captures do
//! not mind.
//!
//! To query or synchronize a stream that is being captured kills the capture, so [`refuse`] looks
//! first. Beyond that the driver calls a part of its functions *potentially unsafe*: while the
//! calling thread captures, in any mode but *relaxed*, or any other thread does in the mode
//! *global* (torch's and the driver's default), such a call is refused with 900 and breaks the
//! capture, whatever stream it names. The documentation does not list them. Queries of streams and
//! events are among them, and so is what only reads: a stream's id, for one. None of that has
//! anything to do with the capture, and [`CaptureModeGuard`] tells the driver so.
//!
//! Safe without it are: [`status`] and [`id`]; recording, waiting and host functions, which are
//! enqueued; and all that concerns the thread's current context.

use std::ffi::c_int;
use std::marker::PhantomData;

use gpu_stream_core::CaptureStatus;

use super::code::CudaCode;
use super::symbols::Ptr;
use super::{Driver, check};
use crate::CudaError;

/// `CU_STREAM_CAPTURE_MODE_RELAXED`.
const RELAXED: c_int = 2;

/// Whether the stream is being captured. Leaves the capture alone.
///
/// # Safety
/// `stream` is alive, or 0, 1 or 2 with the context that it is meant in current.
#[inline]
pub(crate) unsafe fn status(
    driver: &Driver,
    stream: Ptr,
    operation: &'static str,
) -> Result<CaptureStatus, CudaError> {
    let mut status = 0;
    // SAFETY: the caller promises the stream; `status` is a place for the number.
    let code = unsafe { (driver.symbols.stream_is_capturing)(stream, &mut status) };
    if code == CudaCode::CAPTURE_IMPLICIT {
        // The default stream, beside a captured stream that it synchronises with. To this question
        // the driver answers so and leaves the capture as it is; to any other, it would not.
        return Err(CudaError::Capturing {
            operation,
            what: "a stream that the default stream synchronises with",
        });
    }
    check(code, operation, "cuStreamIsCapturing")?;
    Ok(match status {
        0 => CaptureStatus::None,
        1 => CaptureStatus::Active,
        _ => CaptureStatus::Invalidated,
    })
}

/// Whether the stream may be captured: also if the driver does not say.
///
/// # Safety
/// As [`status`].
#[inline]
pub(crate) unsafe fn may_be_capturing(driver: &Driver, stream: Ptr) -> bool {
    let mut status = 0;
    // SAFETY: the caller promises the stream; `status` is a place for the number.
    let code = unsafe { (driver.symbols.stream_is_capturing)(stream, &mut status) };
    code != CudaCode::SUCCESS || status != 0
}

/// An error if the stream is being captured.
///
/// # Safety
/// As [`status`].
#[inline]
pub(crate) unsafe fn ensure_not_capturing(
    driver: &Driver,
    stream: Ptr,
    operation: &'static str,
) -> Result<(), CudaError> {
    // SAFETY: the caller promises the same.
    match unsafe { status(driver, stream, operation) }? {
        CaptureStatus::None => Ok(()),
        CaptureStatus::Active | CaptureStatus::Invalidated => {
            Err(CudaError::Capturing { operation, what: "the stream" })
        }
    }
}

/// Returns the number of the capture that the stream is in, which no other capture of the process has;
/// `None` if it is in none. 0 if the driver does not say.
///
/// # Safety
/// As [`status`].
pub(crate) unsafe fn id(driver: &Driver, stream: Ptr) -> Option<u64> {
    let (newer, older) =
        (driver.symbols.stream_capture_info, driver.symbols.stream_capture_info_v1);
    let (mut status, mut id) = (0, 0);
    let none = std::ptr::null_mut;
    let code = match (newer.function, older.function) {
        // SAFETY: the caller promises the stream; the first two are valid out-pointers, the others
        // may be null and are then not written.
        (Some(info), _) => unsafe {
            info(stream, &mut status, &mut id, none(), std::ptr::null_mut(), std::ptr::null_mut())
        },
        // SAFETY: the caller promises the stream; both are valid out-pointers.
        (None, Some(info)) => unsafe { info(stream, &mut status, &mut id) },
        (None, None) => {
            // SAFETY: the caller promises the same.
            let status = unsafe { self::status(driver, stream, "capture::id") };
            return matches!(status, Ok(CaptureStatus::Active)).then_some(0);
        }
    };
    (code == CudaCode::SUCCESS && status == 1).then_some(id)
}

/// The capture that a stream is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Membership {
    /// None: work runs.
    None,
    /// The one with this number; 0 if the driver is too old to say.
    Active(u64),
    /// One that was broken, and waits for its end.
    Broken,
}

/// Returns the capture that the stream is in. Leaves it alone.
///
/// # Safety
/// As [`status`].
pub(crate) unsafe fn membership(
    driver: &Driver,
    stream: Ptr,
    operation: &'static str,
) -> Result<Membership, CudaError> {
    // SAFETY: the caller promises the same.
    Ok(match unsafe { status(driver, stream, operation) }? {
        CaptureStatus::None => Membership::None,
        CaptureStatus::Active => {
            // SAFETY: the caller promises the same.
            let id = unsafe { id(driver, stream) };
            // Without a number it was broken a moment ago.
            id.map_or(Membership::Broken, Membership::Active)
        }
        CaptureStatus::Invalidated => Membership::Broken,
    })
}

/// While it lives, calls of this thread do not break captures of other streams. The thread's mode
/// is as before when it is dropped.
pub(crate) struct CaptureModeGuard {
    driver: &'static Driver,
    before: c_int,
    // The mode is the thread's.
    _not_send: PhantomData<*const ()>,
}

impl CaptureModeGuard {
    #[inline]
    pub(crate) fn enter(
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<Self, CudaError> {
        let mut mode = RELAXED;
        // SAFETY: `mode` is a valid mode, and a place for the one before.
        let code = unsafe { (driver.symbols.exchange_capture_mode)(&mut mode) };
        if code != CudaCode::SUCCESS {
            // If it was done all the same, the mode is the one before.
            if mode != RELAXED {
                put_back(driver, mode);
            }
            check(code, operation, "cuThreadExchangeStreamCaptureMode")?;
        }
        Ok(CaptureModeGuard { driver, before: mode, _not_send: PhantomData })
    }
}

impl Drop for CaptureModeGuard {
    #[inline]
    fn drop(&mut self) {
        put_back(self.driver, self.before);
    }
}

/// Sets the thread's mode to one that the driver gave: once more, if the driver says no, which may be
/// about something else.
#[inline]
fn put_back(driver: &Driver, before: c_int) {
    for _ in 0..2 {
        let mut mode = before;
        // SAFETY: `mode` is a mode that the driver gave, and a place for ours, which nobody needs.
        // If it fails again the driver is gone, and then there are no modes.
        if unsafe { (driver.symbols.exchange_capture_mode)(&mut mode) } == CudaCode::SUCCESS {
            break;
        }
    }
}
