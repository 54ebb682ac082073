//! The calling thread's current device: [`DeviceGuard`] sets and restores it.

use std::ffi::c_int;
use std::marker::PhantomData;

use super::Driver;
use crate::HipError;
use crate::code::HipCode;

/// Makes a device current. Dropping the guard restores the previous device.
///
/// Explicit handles need no current device. Creating streams and events does, and so do handles 0 and 2, which name
/// the streams of the current device.
pub(crate) struct DeviceGuard {
    driver: &'static Driver,
    before: Option<c_int>,
    // The current device belongs to the thread.
    _not_send: PhantomData<*const ()>,
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
        if before.is_some() {
            // SAFETY: the function takes any number.
            let code = unsafe { (driver.symbols.set_device)(wanted) };
            if let Err(error) = driver.check(code, operation, "hipSetDevice") {
                // The call may have changed the device and failed nevertheless.
                restore(driver, now);
                return Err(error);
            }
        }
        Ok(DeviceGuard { driver, before, _not_send: PhantomData })
    }
}

impl Drop for DeviceGuard {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            restore(self.driver, before);
        }
    }
}

/// Makes a previous device current. Tries twice, since an error may be about something else.
fn restore(driver: &Driver, before: c_int) {
    for _ in 0..2 {
        // SAFETY: the function takes any number. If both calls fail, the runtime is gone, and no device is current.
        let code = unsafe { (driver.symbols.set_device)(before) };
        if code == HipCode::SUCCESS {
            break;
        }
        driver.discard(code);
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
