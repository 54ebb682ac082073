//! The calling thread's current context: set where a call needs one, and always restored.

use std::cell::Cell;
use std::marker::PhantomData;
use std::num::NonZero;

use gpu_stream_core::{Error as _, ErrorKind};

use super::call::DriverCall;
use super::symbols::{Ptr, Symbols};
use crate::CudaCode;
use crate::error::Result;

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

impl DriverCall {
    /// Returns the context that is current on the calling thread, if there is one.
    #[inline]
    pub(crate) fn current_context(self) -> Result<Option<Context>> {
        let mut now = std::ptr::null_mut();
        // SAFETY: `&mut now` is a valid out-pointer.
        self.check(unsafe { (self.symbols().ctx_current)(&mut now) }, "cuCtxGetCurrent")?;
        Ok(Context::new(now))
    }

    /// Returns an error inside a callback that another library gave to `cuLaunchHostFunc`.
    ///
    /// The driver would let the thread block there forever. It answers other calls with 800, so this makes one of them:
    /// it reads the thread's current context. Callbacks run on threads of the driver, so each thread is checked once.
    #[inline]
    pub(crate) fn ensure_outside_callback(self) -> Result<()> {
        thread_local! {
            static RUNS_NO_CALLBACKS: Cell<bool> = const { Cell::new(false) };
        }
        if !RUNS_NO_CALLBACKS.get() {
            match self.current_context() {
                Ok(_) => RUNS_NO_CALLBACKS.set(true),
                Err(error) if error.kind() == ErrorKind::NotPermitted => return Err(error),
                // The blocking call itself reports what else is wrong.
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Makes a context current, until the guard is dropped.
    ///
    /// Today's drivers need no current context for an explicit handle. They need one to create streams and events, and
    /// for handles 0, 1 and 2, whose meaning depends on it.
    pub(crate) fn enter(self, context: Context) -> Result<PushedContext> {
        let pushed = self.current_context()? != Some(context);
        if pushed {
            // SAFETY: the context of a `Context` is alive: it is a retained primary one, or its stream is alive.
            let code = unsafe { (self.symbols().ctx_push)(context.as_ptr()) };
            if code != CudaCode::SUCCESS {
                // The driver may have pushed it anyway.
                if self.current_context().is_ok_and(|now| now == Some(context)) {
                    pop(self.symbols());
                }
                self.check(code, "cuCtxPushCurrent_v2")?;
            }
        }
        Ok(PushedContext { pushed: pushed.then(|| self.symbols()), _not_send: PhantomData })
    }

    /// Saves the current context, until the guard is dropped. Used around foreign code that changes the context.
    #[cfg(feature = "cudarc")]
    pub(crate) fn save_context(self) -> Result<SavedContext> {
        let saved = self.current_context()?;
        Ok(SavedContext { call: self, saved, _not_send: PhantomData })
    }
}

/// Makes the previous context current again on drop.
pub(crate) struct PushedContext {
    /// The driver's functions, if a context was pushed.
    pushed: Option<&'static Symbols>,
    // The stack of contexts belongs to the thread.
    _not_send: PhantomData<*const ()>,
}

impl Drop for PushedContext {
    fn drop(&mut self) {
        if let Some(symbols) = self.pushed {
            pop(symbols);
        }
    }
}

/// Pops the context that [`DriverCall::enter`] pushed. Tries a second time if the driver returns an error and has popped
/// nothing, because the error may concern something else.
#[cold]
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

/// Makes the saved context current again on drop.
#[cfg(feature = "cudarc")]
pub(crate) struct SavedContext {
    call: DriverCall,
    saved: Option<Context>,
    // What is current belongs to the thread.
    _not_send: PhantomData<*const ()>,
}

#[cfg(feature = "cudarc")]
impl SavedContext {
    /// Returns the saved context. `None` if no context was current.
    pub(crate) fn get(&self) -> Option<Context> {
        self.saved
    }
}

#[cfg(feature = "cudarc")]
impl Drop for SavedContext {
    fn drop(&mut self) {
        if self.call.current_context().is_ok_and(|now| now == self.saved) {
            return;
        }
        let saved = self.saved.map_or(std::ptr::null_mut(), Context::as_ptr);
        // SAFETY: the context was current on this thread when it was saved, or it is null, which makes none current. The
        // driver does not follow the handle in this call: one of a destroyed context becomes current again, as it stays
        // current on another thread.
        let _ = unsafe { (self.call.symbols().ctx_set_current)(saved) };
    }
}
