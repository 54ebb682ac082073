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
    ///
    /// Pushes it a second time, and foreign code replaces that entry of the thread's stack. The driver counts its
    /// stacks' references to a context. If the saved context is destroyed meanwhile, its entry still answers 709. By
    /// `cuCtxSetCurrent`, a destroyed context gets an entry that is not counted, and the driver frees memory twice
    /// (`docs/measurements/2026-11-27-cuda-calls.md`).
    #[cfg(any(feature = "cudarc", feature = "cuda-core"))]
    pub(crate) fn save_context(self) -> Result<SavedContext> {
        let saved = self.current_context()?;
        if let Some(context) = saved {
            // SAFETY: the context is current on this thread, so the driver holds a reference to it.
            let code = unsafe { (self.symbols().ctx_push)(context.as_ptr()) };
            // After an error, the driver may have pushed it anyway. No call tells: the same context is current either way.
            // So nothing is popped. An entry too many leaves the current context as it was, and a pop too many would take
            // it away.
            self.check(code, "cuCtxPushCurrent_v2")?;
        }
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

/// Pops the entry that [`DriverCall::enter`] or `save_context` pushed. Tries a second time if the driver returns an error
/// and has popped nothing, because the error may concern something else.
#[cold]
fn pop(symbols: &Symbols) {
    for _ in 0..2 {
        let mut popped = std::ptr::null_mut();
        // SAFETY: `&mut popped` is a valid out-pointer, and the driver holds a reference to what is on its stack. A second
        // failure means that the driver is shut down, and nothing is current.
        let code = unsafe { (symbols.ctx_pop)(&mut popped) };
        if code == CudaCode::SUCCESS || !popped.is_null() {
            break;
        }
    }
}

/// Makes the saved context current again on drop.
#[cfg(any(feature = "cudarc", feature = "cuda-core"))]
pub(crate) struct SavedContext {
    call: DriverCall,
    saved: Option<Context>,
    // What is current belongs to the thread.
    _not_send: PhantomData<*const ()>,
}

#[cfg(any(feature = "cudarc", feature = "cuda-core"))]
impl SavedContext {
    /// Returns the saved context. `None` if no context was current.
    pub(crate) fn get(&self) -> Option<Context> {
        self.saved
    }
}

#[cfg(any(feature = "cudarc", feature = "cuda-core"))]
impl Drop for SavedContext {
    fn drop(&mut self) {
        if self.saved.is_some() {
            pop(self.call.symbols());
        } else if self.call.current_context().is_ok_and(|now| now.is_some()) {
            // SAFETY: null makes no context current. The stack was empty, so the entry that goes is foreign code's.
            let _ = unsafe { (self.call.symbols().ctx_set_current)(std::ptr::null_mut()) };
        }
    }
}
