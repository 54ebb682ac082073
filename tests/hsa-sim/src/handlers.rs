//! Handlers that the runtime calls when a signal meets a condition.
//!
//! ROCr calls them all from one thread, and so does this: a handler that blocks holds up the
//! others. HIP hangs its callbacks and the ends of its commands on them.

use std::collections::{HashMap, VecDeque};
use std::ffi::c_void;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::abi::*;
use crate::signals::{Signal, meets};
use crate::trace::trace;

/// `hsa_amd_signal_handler`: whether it wants to be called again.
type Function = unsafe extern "C" fn(value: i64, argument: *mut c_void) -> bool;

struct Handler {
    signal: &'static Signal,
    condition: u32,
    compare: i64,
    function: Function,
    argument: *mut c_void,
}

// SAFETY: the argument is only handed back to the function, on the thread of the handlers, which is
// what the caller asked for.
unsafe impl Send for Handler {}

#[derive(Default)]
struct Handlers {
    /// Those whose condition is not met, by the address of their signal.
    waiting: HashMap<usize, Vec<Handler>>,
    /// Those to call, with the value that met the condition.
    ready: VecDeque<(Handler, i64)>,
    running: bool,
    closed: bool,
}

static HANDLERS: Mutex<Option<Handlers>> = Mutex::new(None);
static READY: Condvar = Condvar::new();

fn lock() -> MutexGuard<'static, Option<Handlers>> {
    HANDLERS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Handlers {
    /// Puts a handler where it belongs: to be called, or with those that wait.
    fn place(&mut self, handler: Handler) {
        let value = handler.signal.load();
        if meets(value, handler.condition, handler.compare) {
            handler.signal.watch(false);
            self.ready.push_back((handler, value));
            READY.notify_one();
        } else {
            self.waiting.entry(handler.signal.address()).or_default().push(handler);
        }
    }
}

/// A signal that has handlers was changed.
pub fn signal_changed(signal: &'static Signal) {
    let mut guard = lock();
    let Some(handlers) = guard.as_mut() else { return };
    for handler in handlers.waiting.remove(&signal.address()).unwrap_or_default() {
        handlers.place(handler);
    }
}

/// Registers a handler, and starts the thread with the first.
fn register(handler: Handler) -> Status {
    let mut guard = lock();
    let handlers = guard.get_or_insert_default();
    if !handlers.running {
        let thread = std::thread::Builder::new().name("hsa-sim handlers".into());
        if thread.spawn(run).is_err() {
            return OUT_OF_RESOURCES;
        }
        handlers.running = true;
    }
    // Counted before the value is looked at: a change from now on comes to `signal_changed`.
    handler.signal.watch(true);
    handlers.place(handler);
    SUCCESS
}

/// From now on no handler is begun, until the runtime is initialised again. One that runs is left
/// alone: it may be the caller, or wait for the caller.
pub fn close(closed: bool) {
    lock().get_or_insert_default().closed = closed;
    READY.notify_one();
}

fn run() {
    let mut guard = lock();
    loop {
        let next = guard.as_mut().filter(|h| !h.closed).and_then(|h| h.ready.pop_front());
        let Some((handler, value)) = next else {
            guard = READY.wait(guard).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(guard);
        trace!("handler for s{} = {value}", handler.signal.number);
        // SAFETY: who registered the function promised that it may be called with this argument.
        let again = unsafe { (handler.function)(value, handler.argument) };
        guard = lock();
        if again {
            handler.signal.watch(true);
            guard.get_or_insert_default().place(handler);
        }
    }
}

hsa_api! {
    /// Has `function` called, once or until it answers false, when the signal meets the condition.
    fn hsa_amd_signal_async_handler(
        signal: Handle, condition: u32, compare: i64, function: Option<Function>,
        argument: *mut c_void,
    ) -> Status {
        // SAFETY: a signal's handle, by the caller's promise.
        let Some(signal) = (unsafe { Signal::of(signal) }) else { return INVALID_SIGNAL };
        let Some(function) = function else { return INVALID_ARGUMENT };
        register(Handler { signal, condition, compare, function, argument })
    }
}
