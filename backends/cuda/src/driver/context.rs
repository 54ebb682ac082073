//! The calling thread's current context: set where a call needs one, and always restored.

use std::marker::PhantomData;
use std::num::NonZero;

use super::check::check;
use super::code::CudaCode;
use super::symbols::{Ptr, Symbols};
use crate::CudaError;

/// The handle of a live context.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Context(NonZero<usize>);

impl Context {
    pub(crate) fn new(pointer: Ptr) -> Option<Self> {
        NonZero::new(pointer.expose_provenance()).map(Context)
    }

    pub(crate) fn from_bits(bits: usize) -> Option<Self> {
        NonZero::new(bits).map(Context)
    }

    pub(crate) fn to_bits(self) -> usize {
        self.0.get()
    }

    pub(crate) fn as_ptr(self) -> Ptr {
        std::ptr::with_exposed_provenance_mut(self.0.get())
    }
}

/// Makes a context current. Makes the previous one current again on drop.
///
/// Today's drivers need no current context for an explicit handle. They need one to create streams and events, and for
/// handles 0, 1 and 2, whose meaning depends on it.
pub(crate) struct ContextGuard {
    symbols: &'static Symbols,
    pushed: bool,
    // The stack of contexts belongs to the thread.
    _not_send: PhantomData<*const ()>,
}

impl ContextGuard {
    pub(crate) fn enter(
        symbols: &'static Symbols,
        context: Context,
        operation: &'static str,
    ) -> Result<Self, CudaError> {
        let pushed = current(symbols, operation)? != context.as_ptr();
        if pushed {
            // SAFETY: the context of a `Context` is alive: it is a retained primary one, or its stream is alive.
            let code = unsafe { (symbols.ctx_push)(context.as_ptr()) };
            if code != CudaCode::SUCCESS {
                // The driver may have pushed it anyway.
                if current(symbols, operation).is_ok_and(|now| now == context.as_ptr()) {
                    pop(symbols);
                }
                check(code, operation, "cuCtxPushCurrent_v2")?;
            }
        }
        Ok(ContextGuard { symbols, pushed, _not_send: PhantomData })
    }
}

impl Drop for ContextGuard {
    fn drop(&mut self) {
        if self.pushed {
            pop(self.symbols);
        }
    }
}

/// Pops the context that [`ContextGuard::enter`] pushed. Tries a second time if the driver returns an error and has
/// popped nothing, because the error may concern something else.
fn pop(symbols: &Symbols) {
    for _ in 0..2 {
        let mut popped = std::ptr::null_mut();
        // SAFETY: `&mut popped` is a valid out-pointer. The top of the stack is the context of `enter`: no foreign code
        // ran since. A second failure means that the driver is shut down, and nothing is current.
        let code = unsafe { (symbols.ctx_pop)(&mut popped) };
        if code == CudaCode::SUCCESS || !popped.is_null() {
            break;
        }
    }
}

/// Saves the current context, and makes it current again on drop. Used around foreign code that changes it.
#[cfg_attr(not(feature = "cudarc"), allow(dead_code, reason = "only cudarc needs it"))]
pub(crate) struct SavedContext {
    symbols: &'static Symbols,
    saved: Ptr,
}

#[cfg_attr(not(feature = "cudarc"), allow(dead_code, reason = "only cudarc needs it"))]
impl SavedContext {
    /// Saves the current context. Returns `None` if the driver returns an error, because it is shut down.
    pub(crate) fn save(symbols: &'static Symbols) -> Option<Self> {
        let saved = current(symbols, "SavedContext::save").ok()?;
        Some(SavedContext { symbols, saved })
    }
}

impl Drop for SavedContext {
    fn drop(&mut self) {
        if current(self.symbols, "SavedContext::drop").is_ok_and(|now| now == self.saved) {
            return;
        }
        // SAFETY: the context was current on this thread when it was saved, or it is null, which makes none current.
        let _ = unsafe { (self.symbols.ctx_set_current)(self.saved) };
    }
}

/// Returns the calling thread's current context, or null.
pub(super) fn current(symbols: &Symbols, operation: &'static str) -> Result<Ptr, CudaError> {
    let mut now = std::ptr::null_mut();
    // SAFETY: `&mut now` is a valid out-pointer.
    let code = unsafe { (symbols.ctx_current)(&mut now) };
    check(code, operation, "cuCtxGetCurrent")?;
    Ok(now)
}

/// Returns the context that is current on the calling thread, if there is one.
pub(crate) fn current_context(
    symbols: &Symbols,
    operation: &'static str,
) -> Result<Option<Context>, CudaError> {
    Ok(Context::new(current(symbols, operation)?))
}
