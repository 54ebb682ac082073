//! What a call changes of the calling thread, and restores: the current device ([`DeviceGuard`]) and the capture mode
//! ([`CaptureModeGuard`]).

use std::ffi::c_int;
use std::marker::PhantomData;

use super::{DRIVER, Driver};
use crate::HipError;
use crate::code::HipCode;

/// `hipStreamCaptureModeRelaxed`.
pub(crate) const RELAXED: c_int = 2;

// The state belongs to the thread.
type NotSend = PhantomData<*const ()>;

/// Makes a device current. Dropping the guard restores the previous device.
///
/// Explicit handles need no current device. Creating streams and events does, and so do handles 0 and 2, which name
/// the streams of the current device.
pub(crate) struct DeviceGuard {
    driver: &'static Driver,
    before: Option<c_int>,
    _not_send: NotSend,
}

impl DeviceGuard {
    /// Makes the device current. Makes no call to set it if it is current.
    pub(crate) fn enter(
        driver: &'static Driver,
        ordinal: u32,
        operation: &'static str,
    ) -> Result<Self, HipError> {
        let wanted = c_int::try_from(ordinal).unwrap_or(c_int::MAX);
        let now = current(driver, operation)?;
        let before = (now != wanted).then_some(now);
        // A call that fails may have changed the device, so the guard exists before the call.
        let guard = DeviceGuard { driver, before, _not_send: PhantomData };
        if before.is_some() {
            // SAFETY: the function takes any number.
            let code = unsafe { (driver.symbols.set_device)(wanted) };
            driver.check(code, operation, "hipSetDevice")?;
        }
        Ok(guard)
    }
}

impl Drop for DeviceGuard {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            // SAFETY: the function takes any number.
            restore(self.driver, || unsafe { (self.driver.symbols.set_device)(before) });
        }
    }
}

/// Returns the ordinal of the calling thread's current device.
pub(crate) fn current(driver: &Driver, operation: &'static str) -> Result<c_int, HipError> {
    let mut now = 0;
    // SAFETY: `&mut now` is a valid out-pointer.
    let code = unsafe { (driver.symbols.current_device)(&mut now) };
    driver.check(code, operation, "hipGetDevice")?;
    Ok(now)
}

/// The capture mode *relaxed*, in which the thread's calls break no captures of other streams. Dropping the guard
/// restores the previous mode.
///
/// Some functions are *unsafe beside a capture* of the calling thread, or of any other thread in the mode *global*, as
/// on CUDA. The mode *relaxed* tells the runtime that a call has nothing to do with the capture.
pub(crate) struct CaptureModeGuard {
    driver: &'static Driver,
    /// `None` if the mode was not changed.
    before: Option<c_int>,
    _not_send: NotSend,
}

impl CaptureModeGuard {
    /// Enters the mode for a function other than `hipStreamQuery` and `hipEventQuery`, if the runtime's version needs
    /// it.
    #[inline]
    pub(crate) fn enter(
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<Self, HipError> {
        CaptureModeGuard::enter_if(driver.quirks.unsafe_calls.others, driver, operation)
    }

    /// Enters the mode if `needed`. A runtime without modes, or with a function that does nothing, needs none.
    #[inline]
    pub(crate) fn enter_if(
        needed: bool,
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<Self, HipError> {
        let mut guard = CaptureModeGuard { driver, before: None, _not_send: PhantomData };
        let symbol = driver.symbols.exchange_capture_mode;
        if let (true, Some(exchange)) = (needed, symbol.function) {
            let mut mode = RELAXED;
            // SAFETY: `mode` is a valid mode, and `&mut mode` a valid out-pointer for the previous one.
            let code = unsafe { exchange(&mut mode) };
            let done = driver.check(code, operation, symbol.name);
            // A call that fails may have changed the mode.
            guard.before = (done.is_ok() || mode != RELAXED).then_some(mode);
            if code != HipCode::NOT_SUPPORTED {
                done?;
            }
        }
        Ok(guard)
    }
}

impl Drop for CaptureModeGuard {
    #[inline]
    fn drop(&mut self) {
        let exchange = self.driver.symbols.exchange_capture_mode.function;
        if let (Some(before), Some(exchange)) = (self.before, exchange) {
            restore(self.driver, || {
                let mut mode = before;
                // SAFETY: the runtime returned the mode, and `&mut mode` is a valid out-pointer.
                unsafe { exchange(&mut mode) }
            });
        }
    }
}

/// Calls `set` to restore the thread's state, and once more if it fails: an error may be about something else. If both
/// calls fail, the runtime is gone, and the state with it. Calls nothing if the process has begun to end meanwhile.
#[inline]
fn restore(driver: &Driver, set: impl Fn() -> HipCode) {
    if DRIVER.ensure_running().is_err() {
        return;
    }
    for _ in 0..2 {
        let code = set();
        if code == HipCode::SUCCESS {
            break;
        }
        driver.discard(code);
    }
}
