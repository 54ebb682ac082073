//! Captures of other libraries, which every call here leaves intact.
//!
//! Querying or synchronizing a stream that is being captured invalidates the capture, so [`ensure_not_capturing`] checks
//! first. In addition the driver calls some of its functions *potentially unsafe*. Such a call fails with 900 and
//! invalidates the capture, whatever stream it names, in two cases: the calling thread captures in any mode but
//! *relaxed*, or any other thread captures in mode *global* (the default of torch and of the driver). The documentation
//! does not list these functions. Queries of streams and events are among them, and so are pure reads, such as that of a
//! stream's id. None of these calls concerns the capture, and [`CaptureModeGuard`] tells the driver so.
//!
//! Three groups are safe without the guard: [`status`] and [`id`]; records, waits and host functions, which are
//! enqueued; and all functions of the thread's current context.

use std::ffi::c_int;
use std::marker::PhantomData;

use gpu_stream_core::CaptureStatus;
use gpu_stream_driver_common::captures::Membership;

use super::check::check;
use super::code::CudaCode;
use super::symbols::{Ptr, Symbols};
use crate::CudaError;

/// `CU_STREAM_CAPTURE_MODE_RELAXED`.
const RELAXED: c_int = 2;

/// Returns the capture status of `stream` without affecting the capture.
///
/// # Safety
/// - `stream` is a live stream, or 0, 1 or 2 with the intended context current.
#[inline]
pub(crate) unsafe fn status(
    symbols: &Symbols,
    stream: Ptr,
    operation: &'static str,
) -> Result<CaptureStatus, CudaError> {
    let mut status = 0;
    // SAFETY: `stream` is live (caller contract), and `&mut status` is a valid out-pointer.
    let code = unsafe { (symbols.stream_is_capturing)(stream, &mut status) };
    if code == CudaCode::CAPTURE_IMPLICIT {
        // The default stream, while a stream that it synchronizes with is being captured. This call leaves the capture
        // intact; any other call on the default stream would invalidate it.
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

/// Returns `true` if the stream may be capturing. Also returns `true` if the driver cannot tell.
///
/// # Safety
/// - `stream` is a live stream, or 0, 1 or 2 with the intended context current.
#[inline]
pub(crate) unsafe fn may_be_capturing(symbols: &Symbols, stream: Ptr) -> bool {
    let mut status = 0;
    // SAFETY: `stream` is live (caller contract), and `&mut status` is a valid out-pointer.
    let code = unsafe { (symbols.stream_is_capturing)(stream, &mut status) };
    code != CudaCode::SUCCESS || status != 0
}

/// Returns an error if the stream is being captured.
///
/// # Safety
/// - `stream` is a live stream, or 0, 1 or 2 with the intended context current.
#[inline]
pub(crate) unsafe fn ensure_not_capturing(
    symbols: &Symbols,
    stream: Ptr,
    operation: &'static str,
) -> Result<(), CudaError> {
    // SAFETY: `stream` is live (caller contract).
    match unsafe { status(symbols, stream, operation) }? {
        CaptureStatus::None => Ok(()),
        CaptureStatus::Active | CaptureStatus::Invalidated => {
            Err(CudaError::Capturing { operation, what: "the stream" })
        }
    }
}

/// Returns the id of the capture that the stream is in, which no other capture of the process has. Returns `None` if
/// the stream is in none, and `Some(0)` if the driver has no such ids.
///
/// # Safety
/// - `stream` is a live stream, or 0, 1 or 2 with the intended context current.
pub(crate) unsafe fn id(symbols: &Symbols, stream: Ptr) -> Option<u64> {
    let (newer, older) = (symbols.stream_capture_info, symbols.stream_capture_info_v1);
    let (mut status, mut id) = (0, 0);
    let none = std::ptr::null_mut;
    let code = match (newer.function, older.function) {
        // SAFETY:
        // - `stream` is live (caller contract).
        // - `&mut status` and `&mut id` are valid out-pointers. The other out-pointers may be null.
        (Some(info), _) => unsafe {
            info(stream, &mut status, &mut id, none(), std::ptr::null_mut(), std::ptr::null_mut())
        },
        // SAFETY: `stream` is live (caller contract), and both out-pointers are valid.
        (None, Some(info)) => unsafe { info(stream, &mut status, &mut id) },
        (None, None) => {
            // SAFETY: `stream` is live (caller contract).
            let status = unsafe { self::status(symbols, stream, "capture::id") };
            return matches!(status, Ok(CaptureStatus::Active)).then_some(0);
        }
    };
    (code == CudaCode::SUCCESS && status == 1).then_some(id)
}

/// Returns the id of the capture that the stream is in, without affecting it. The id is 0 if the driver is too old to
/// tell.
///
/// # Safety
/// - `stream` is a live stream, or 0, 1 or 2 with the intended context current.
pub(crate) unsafe fn membership(
    symbols: &Symbols,
    stream: Ptr,
    operation: &'static str,
) -> Result<Membership<u64>, CudaError> {
    // SAFETY: `stream` is live (caller contract).
    Ok(match unsafe { status(symbols, stream, operation) }? {
        CaptureStatus::None => Membership::None,
        CaptureStatus::Active => {
            // SAFETY: `stream` is live (caller contract).
            let id = unsafe { id(symbols, stream) };
            // No id means that the capture was invalidated between the two calls.
            id.map_or(Membership::Broken, Membership::Active)
        }
        CaptureStatus::Invalidated => Membership::Broken,
    })
}

/// Sets the calling thread's capture mode to *relaxed*, so that its calls do not invalidate captures of other streams.
/// Restores the previous mode on drop.
pub(crate) struct CaptureModeGuard {
    symbols: &'static Symbols,
    before: c_int,
    // The mode belongs to the thread.
    _not_send: PhantomData<*const ()>,
}

impl CaptureModeGuard {
    #[inline]
    pub(crate) fn enter(
        symbols: &'static Symbols,
        operation: &'static str,
    ) -> Result<Self, CudaError> {
        let mut mode = RELAXED;
        // SAFETY: `&mut mode` is a valid pointer to a valid mode, and the driver writes the previous mode to it.
        let code = unsafe { (symbols.exchange_capture_mode)(&mut mode) };
        if code != CudaCode::SUCCESS {
            // If the driver made the change anyway, `mode` is the previous one.
            if mode != RELAXED {
                restore(symbols, mode);
            }
            check(code, operation, "cuThreadExchangeStreamCaptureMode")?;
        }
        Ok(CaptureModeGuard { symbols, before: mode, _not_send: PhantomData })
    }
}

impl Drop for CaptureModeGuard {
    #[inline]
    fn drop(&mut self) {
        restore(self.symbols, self.before);
    }
}

/// Sets the thread's mode to a previous one. Tries a second time if the driver returns an error, which may concern
/// something else.
#[inline]
fn restore(symbols: &Symbols, before: c_int) {
    for _ in 0..2 {
        let mut mode = before;
        // SAFETY: `&mut mode` is a valid pointer to a mode that the driver returned. A second failure means that the
        // driver is shut down, and no mode is left to restore.
        if unsafe { (symbols.exchange_capture_mode)(&mut mode) } == CudaCode::SUCCESS {
            break;
        }
    }
}
