//! Captures of other libraries, which every call here leaves intact.
//!
//! Querying or synchronizing a stream that is being captured invalidates the capture, so [`DriverCall::ensure_not_capturing`] checks
//! first. In addition the driver calls some of its functions *potentially unsafe*. Such a call fails with 900 and
//! invalidates the capture, whatever stream it names, in two cases: the calling thread captures in any mode but
//! *relaxed*, or any other thread captures in mode *global* (the default of torch and of the driver). The documentation
//! does not list these functions. Queries of streams and events are among them, and so are pure reads, such as that of a
//! stream's id. None of these calls concerns the capture, and [`CaptureModeGuard`] tells the driver so.
//!
//! Three groups are safe without the guard: [`DriverCall::capture_status`] and [`capture_id`]; records, waits and host functions, which are
//! enqueued; and all functions of the thread's current context.

use std::ffi::c_int;
use std::marker::PhantomData;

use gpu_stream_core::CaptureStatus;
use gpu_stream_driver_common::captures::Membership;

use super::call::DriverCall;
use super::symbols::{Ptr, Symbols};
use crate::error::{BoxedError, Result};
use crate::{CudaCode, CudaError};

/// `CU_STREAM_CAPTURE_MODE_RELAXED`.
const RELAXED: c_int = 2;

impl DriverCall {
    /// Returns the error for a call that would invalidate the capture of `what`.
    #[cold]
    pub(crate) fn capturing(self, what: &'static str) -> BoxedError {
        CudaError::Capturing { operation: self.operation, what }.into()
    }

    /// Returns the capture status of `stream` without affecting the capture.
    ///
    /// # Safety
    /// - `stream` is a live stream, or 0, 1 or 2 with the intended context current.
    #[inline]
    pub(crate) unsafe fn capture_status(self, stream: Ptr) -> Result<CaptureStatus> {
        let mut status = 0;
        // SAFETY: `stream` is live (caller contract), and `&mut status` is a valid out-pointer.
        let code = unsafe { (self.symbols().stream_is_capturing)(stream, &mut status) };
        if code == CudaCode::CAPTURE_IMPLICIT {
            // The default stream, while a stream that it synchronizes with is being captured. This call leaves the
            // capture intact; any other call on the default stream would invalidate it.
            let what = "a stream that the default stream synchronises with";
            return Err(self.capturing(what));
        }
        self.check(code, "cuStreamIsCapturing")?;
        Ok(match status {
            0 => CaptureStatus::None,
            1 => CaptureStatus::Active,
            _ => CaptureStatus::Invalidated,
        })
    }

    /// Returns an error if the stream is being captured.
    ///
    /// # Safety
    /// - `stream` is a live stream, or 0, 1 or 2 with the intended context current.
    #[inline]
    pub(crate) unsafe fn ensure_not_capturing(self, stream: Ptr) -> Result<()> {
        // SAFETY: `stream` is live (caller contract).
        match unsafe { self.capture_status(stream) }? {
            CaptureStatus::None => Ok(()),
            CaptureStatus::Active | CaptureStatus::Invalidated => Err(self.capturing("the stream")),
        }
    }

    /// Returns the id of the capture that the stream is in, without affecting it. The id is 0 if the driver is too old
    /// to tell.
    ///
    /// # Safety
    /// - `stream` is a live stream, or 0, 1 or 2 with the intended context current.
    pub(crate) unsafe fn membership(self, stream: Ptr) -> Result<Membership<u64>> {
        // SAFETY: `stream` is live (caller contract).
        Ok(match unsafe { self.capture_status(stream) }? {
            CaptureStatus::None => Membership::None,
            CaptureStatus::Active => {
                // SAFETY: `stream` is live (caller contract).
                let id = unsafe { capture_id(self.symbols(), stream) };
                // No id means that the capture was invalidated between the two calls.
                id.map_or(Membership::Broken, Membership::Active)
            }
            CaptureStatus::Invalidated => Membership::Broken,
        })
    }

    /// Sets the calling thread's capture mode to *relaxed* for a call that creates or destroys a stream or an event,
    /// until the guard is dropped.
    ///
    /// Does nothing if the driver is of CUDA 13.0. Its functions leave the captures of all threads intact in every
    /// mode (test `capture_probe`, on an H100). No other driver was measured, and NVIDIA documents none.
    #[inline]
    pub(crate) fn relaxed_to_create(self) -> Result<Option<CaptureModeGuard>> {
        match creates_in_any_mode(self.driver.version) {
            true => Ok(None),
            false => self.relaxed().map(Some),
        }
    }

    /// Sets the calling thread's capture mode to *relaxed*, until the guard is dropped.
    #[inline]
    pub(crate) fn relaxed(self) -> Result<CaptureModeGuard> {
        const FUNCTION: &str = "cuThreadExchangeStreamCaptureMode";
        let (symbols, mut mode) = (self.symbols(), RELAXED);
        // SAFETY: `&mut mode` is a valid pointer to a valid mode.
        let code = unsafe { (symbols.exchange_capture_mode)(&mut mode) };
        if code != CudaCode::SUCCESS {
            // The driver may have exchanged the mode anyway.
            if mode != RELAXED {
                restore(symbols, mode);
            }
            self.check(code, FUNCTION)?;
        }
        Ok(CaptureModeGuard { symbols, before: mode, _not_send: PhantomData })
    }
}

/// Returns `true` if a driver of this version was seen to create and destroy streams and events in every capture mode
/// without an effect on captures.
const fn creates_in_any_mode(version: i32) -> bool {
    version == 13_000
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

/// Returns the id of the capture that the stream is in, which no other capture of the process has. Returns `None` if
/// the stream is in none, and `Some(0)` if the driver has no such ids.
///
/// # Safety
/// - `stream` is a live stream, or 0, 1 or 2 with the intended context current.
pub(crate) unsafe fn capture_id(symbols: &Symbols, stream: Ptr) -> Option<u64> {
    let (newer, older) = (symbols.stream_capture_info, symbols.stream_capture_info_v1);
    let (mut status, mut id, none) = (0, 0, std::ptr::null_mut());
    let code = match (newer.function, older.function) {
        // SAFETY:
        // - `stream` is live (caller contract).
        // - `&mut status` and `&mut id` are valid out-pointers. The other out-pointers may be null.
        (Some(info), _) => unsafe {
            info(stream, &mut status, &mut id, none, none.cast(), none.cast())
        },
        // SAFETY: `stream` is live (caller contract), and both out-pointers are valid.
        (None, Some(info)) => unsafe { info(stream, &mut status, &mut id) },
        // SAFETY: `stream` is live (caller contract), and `&mut status` is a valid out-pointer.
        (None, None) => unsafe { (symbols.stream_is_capturing)(stream, &mut status) },
    };
    (code == CudaCode::SUCCESS && status == 1).then_some(id)
}

/// The *relaxed* capture mode, in which the thread's calls do not invalidate captures of other streams. Restores the
/// previous mode on drop.
pub(crate) struct CaptureModeGuard {
    symbols: &'static Symbols,
    before: c_int,
    // The mode belongs to the thread.
    _not_send: PhantomData<*const ()>,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A new row needs a run of `capture_probe` on that driver.
    #[test]
    fn only_a_measured_driver_creates_without_the_relaxed_mode() {
        let measured = (11_000..14_100).step_by(10).filter(|version| creates_in_any_mode(*version));
        assert_eq!(measured.collect::<Vec<_>>(), [13_000]);
    }
}
