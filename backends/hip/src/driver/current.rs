//! What the calling thread has that our calls change: its current device, which is put back. (Its
//! last error is [`Driver::forget`]'s affair.)

use std::ffi::c_int;
use std::marker::PhantomData;

use super::Driver;
use super::code::HipCode;
use crate::HipError;

/// Makes a device current. What was current before is so again when the guard is dropped.
///
/// Explicit handles need none. The making of streams and events does, and handles 0 and 2, whose
/// meaning it decides.
pub(crate) struct DeviceGuard {
    driver: &'static Driver,
    before: Option<c_int>,
    // The current device is the thread's.
    _not_send: PhantomData<*const ()>,
}

impl DeviceGuard {
    pub(crate) fn enter(
        driver: &'static Driver,
        ordinal: u32,
        operation: &'static str,
    ) -> Result<Self, HipError> {
        let wanted = c_int::try_from(ordinal).unwrap_or(c_int::MAX);
        let now = current(driver, operation)?;
        let before = (now != wanted).then_some(now);
        if before.is_some() {
            // SAFETY: takes any number.
            let code = unsafe { (driver.symbols.set_device)(wanted) };
            if let Err(error) = driver.check(code, operation, "hipSetDevice") {
                // It may have been done all the same.
                put_back(driver, now);
                return Err(error);
            }
        }
        Ok(DeviceGuard { driver, before, _not_send: PhantomData })
    }
}

impl Drop for DeviceGuard {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            put_back(self.driver, before);
        }
    }
}

/// Makes the device current that was so before: once more, if the runtime says no, which may be about
/// something else.
fn put_back(driver: &Driver, before: c_int) {
    for _ in 0..2 {
        // SAFETY: takes any number, and this one was current on this thread. If it fails again the
        // runtime is gone, and then nothing is current anyway.
        let code = unsafe { (driver.symbols.set_device)(before) };
        if code == HipCode::SUCCESS {
            break;
        }
        driver.discard(code);
    }
}

/// The calling thread's current device, as the runtime counts.
pub(crate) fn current(driver: &Driver, operation: &'static str) -> Result<c_int, HipError> {
    let mut now = 0;
    // SAFETY: `now` is a place for the number.
    let code = unsafe { (driver.symbols.current_device)(&mut now) };
    driver.check(code, operation, "hipGetDevice")?;
    Ok(now)
}
