//! The calling thread's current context: set where a call needs one, and always put back.

use std::marker::PhantomData;

use super::code::CudaCode;
use super::{Context, Driver, check};
use crate::CudaError;

/// Makes a context current. What was current before is so again when the guard is dropped.
///
/// Explicit handles need none on today's drivers. The making of streams and events does, and
/// handles 0, 1 and 2, whose meaning it decides.
pub(crate) struct ContextGuard {
    driver: &'static Driver,
    pushed: bool,
    // The stack of contexts is the thread's.
    _not_send: PhantomData<*const ()>,
}

impl ContextGuard {
    pub(crate) fn enter(
        driver: &'static Driver,
        context: Context,
        operation: &'static str,
    ) -> Result<Self, CudaError> {
        let pushed = current(driver, operation)? != context.as_ptr();
        if pushed {
            // SAFETY: a `Context` is alive: a primary one that we retained, or one whose stream is
            // alive.
            let code = unsafe { (driver.symbols.ctx_push)(context.as_ptr()) };
            if code != CudaCode::SUCCESS {
                // It may have been done all the same.
                if current(driver, operation).is_ok_and(|now| now == context.as_ptr()) {
                    pop(driver);
                }
                check(code, operation, "cuCtxPushCurrent_v2")?;
            }
        }
        Ok(ContextGuard { driver, pushed, _not_send: PhantomData })
    }
}

impl Drop for ContextGuard {
    fn drop(&mut self) {
        if self.pushed {
            pop(self.driver);
        }
    }
}

/// Takes the context from the stack that [`ContextGuard::enter`] put there: once more, if the driver says
/// no and has not done it, since that may be about something else.
fn pop(driver: &Driver) {
    for _ in 0..2 {
        let mut popped = std::ptr::null_mut();
        // SAFETY: `popped` is a place for one context; the one on top is that of `enter`, since
        // nobody else's code runs between the two. If it fails again the driver is gone, and then
        // nothing is current anyway.
        let code = unsafe { (driver.symbols.ctx_pop)(&mut popped) };
        if code == CudaCode::SUCCESS || !popped.is_null() {
            break;
        }
    }
}

/// Remembers what is current, and makes it so again when dropped: around code of others that
/// changes it.
#[cfg_attr(not(feature = "cudarc"), allow(dead_code, reason = "only cudarc needs it"))]
pub(crate) struct SavedContext {
    driver: &'static Driver,
    found: super::symbols::Ptr,
}

#[cfg_attr(not(feature = "cudarc"), allow(dead_code, reason = "only cudarc needs it"))]
impl SavedContext {
    /// `None` if the driver cannot say, which is when it is gone.
    pub(crate) fn remember(driver: &'static Driver) -> Option<Self> {
        let found = current(driver, "AsFound::remember").ok()?;
        Some(SavedContext { driver, found })
    }
}

impl Drop for SavedContext {
    fn drop(&mut self) {
        if current(self.driver, "AsFound::drop").is_ok_and(|now| now == self.found) {
            return;
        }
        // SAFETY: the context was current on this thread when the guard was made, or is null, which
        // makes none current.
        let _ = unsafe { (self.driver.symbols.ctx_set_current)(self.found) };
    }
}

/// The calling thread's current context, or null.
pub(crate) fn current(
    driver: &Driver,
    operation: &'static str,
) -> Result<super::symbols::Ptr, CudaError> {
    let mut now = std::ptr::null_mut();
    // SAFETY: `now` is a place for one context.
    let code = unsafe { (driver.symbols.ctx_current)(&mut now) };
    check(code, operation, "cuCtxGetCurrent")?;
    Ok(now)
}
