//! The capture mode of the calling thread: [`CaptureModeGuard`].
//!
//! Some functions are *unsafe beside a capture* of the calling thread, or of any other thread in the mode
//! *global*, as on CUDA. The mode *relaxed* tells the runtime that a call has nothing to do with the capture.

use std::ffi::c_int;
use std::marker::PhantomData;

use super::Driver;
use crate::HipError;
use crate::code::HipCode;

/// `hipStreamCaptureModeRelaxed`.
pub(crate) const RELAXED: c_int = 2;

type Exchange = unsafe extern "C" fn(*mut c_int) -> HipCode;

/// The capture mode *relaxed*, in which the thread's calls break no captures of other streams. Dropping the
/// guard restores the previous mode.
pub(crate) struct CaptureModeGuard {
    driver: &'static Driver,
    /// `None` if the mode was not changed.
    before: Option<c_int>,
    // The mode belongs to the thread.
    _not_send: PhantomData<*const ()>,
}

impl CaptureModeGuard {
    /// Enters the mode for a function other than `hipStreamQuery` and `hipEventQuery`, if the runtime's
    /// version needs it.
    #[inline]
    pub(crate) fn enter(
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<Self, HipError> {
        CaptureModeGuard::enter_if(driver.quirks.unsafe_calls.others, driver, operation)
    }

    /// Enters the mode if `needed`.
    #[inline]
    pub(crate) fn enter_if(
        needed: bool,
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<Self, HipError> {
        let before = if needed { exchange(driver, operation)? } else { None };
        Ok(CaptureModeGuard { driver, before, _not_send: PhantomData })
    }

    /// Returns `true` if the mode was changed. A runtime without modes leaves it alone.
    pub(super) fn is_set(&self) -> bool {
        self.before.is_some()
    }
}

impl Drop for CaptureModeGuard {
    #[inline]
    fn drop(&mut self) {
        let exchange = self.driver.symbols.exchange_capture_mode.function;
        if let (Some(before), Some(exchange)) = (self.before, exchange) {
            restore(self.driver, exchange, before);
        }
    }
}

/// Sets the mode *relaxed*. Returns the mode before, or `None` if the runtime has no modes.
#[inline]
fn exchange(driver: &'static Driver, operation: &'static str) -> Result<Option<c_int>, HipError> {
    let Some(exchange) = driver.symbols.exchange_capture_mode.function else { return Ok(None) };
    let mut mode = RELAXED;
    // SAFETY: `mode` is a valid mode, and `&mut mode` a valid out-pointer for the previous one.
    let code = unsafe { exchange(&mut mode) };
    let done = driver.check(code, operation, driver.symbols.exchange_capture_mode.name);
    // The call may have changed the mode and failed nevertheless.
    if done.is_err() && mode != RELAXED {
        restore(driver, exchange, mode);
    }
    // A function that is present and does nothing counts as missing.
    if code == HipCode::NOT_SUPPORTED { Ok(None) } else { done.map(|()| Some(mode)) }
}

/// Sets the thread's mode to a previous one. Tries twice, since an error may be about something else.
#[inline]
fn restore(driver: &Driver, exchange: Exchange, before: c_int) {
    for _ in 0..2 {
        let mut mode = before;
        // SAFETY: `mode` is a mode that the runtime returned, and `&mut mode` a valid out-pointer. If both
        // calls fail, the runtime is gone, and its modes with it.
        let code = unsafe { exchange(&mut mode) };
        if code == HipCode::SUCCESS {
            break;
        }
        driver.discard(code);
    }
}
