//! What the calling thread has that our calls change: its current device and its last error. Both
//! are put back.

use std::ffi::c_int;
use std::marker::PhantomData;

use super::code::HipCode;
use super::{Driver, check};
use crate::HipError;

/// Makes a device current. What was current before is so again when the guard is dropped.
///
/// Explicit handles need none. The making of streams and events does, and handles 0 and 2, whose
/// meaning it decides.
pub(crate) struct Current {
    driver: &'static Driver,
    before: Option<c_int>,
    // The current device is the thread's.
    stays_on_its_thread: PhantomData<*const ()>,
}

impl Current {
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
            check(code, operation, "hipSetDevice")?;
        }
        Ok(Current { driver, before, stays_on_its_thread: PhantomData })
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            // SAFETY: takes any number, and this one was current on this thread. It can only fail
            // when the runtime is gone, and then nothing is current anyway.
            let _ = unsafe { (self.driver.symbols.set_device)(before) };
        }
    }
}

/// The calling thread's current device, as the runtime counts.
pub(crate) fn current(driver: &Driver, operation: &'static str) -> Result<c_int, HipError> {
    let mut now = 0;
    // SAFETY: `now` is a place for the number.
    let code = unsafe { (driver.symbols.current_device)(&mut now) };
    check(code, operation, "hipGetDevice")?;
    Ok(now)
}

/// While it lives, what our calls leave in `hipGetLastError` is taken out again when it is dropped:
/// the code of an error, and of a mere "not ready", which up to HIP 6 stays there too.
///
/// Up to HIP 6 every call replaces the thread's last error, a successful one as well: an error that
/// the caller has not fetched is lost there with the next call of anybody, and cannot be put back.
/// From HIP 7 on an error stays until it is fetched. One that was there before is left there; if a
/// call of ours failed, it has replaced it, and the caller still finds an error.
pub(crate) struct Quiet {
    driver: &'static Driver,
    before: HipCode,
    // The last error is the thread's.
    stays_on_its_thread: PhantomData<*const ()>,
}

impl Quiet {
    #[inline]
    pub(crate) fn enter(driver: &'static Driver) -> Self {
        Quiet { driver, before: peek(driver), stays_on_its_thread: PhantomData }
    }
}

impl Drop for Quiet {
    #[inline]
    fn drop(&mut self) {
        let (now, before) = (peek(self.driver), self.before);
        if now == HipCode::SUCCESS || now == before {
            return;
        }
        let nobody_s_error = now == HipCode::NOT_READY;
        if before == HipCode::SUCCESS || nobody_s_error || !self.driver.keeps_errors {
            // SAFETY: takes nothing.
            let _ = unsafe { (self.driver.symbols.last_error)() };
        }
    }
}

#[inline]
fn peek(driver: &Driver) -> HipCode {
    // SAFETY: takes nothing.
    unsafe { (driver.symbols.peek_error)() }
}
