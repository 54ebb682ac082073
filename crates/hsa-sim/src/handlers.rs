//! Handlers that the runtime calls when a signal meets a condition.
//!
//! As in ROCr, one thread calls all handlers, so a handler that blocks delays the others. HIP
//! attaches its callbacks and the ends of its commands to them.

use std::collections::{HashMap, VecDeque};
use std::ffi::c_void;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::abi::*;
use crate::signals::{Signal, meets};
use crate::trace::trace;

/// `hsa_amd_signal_handler`. Returns `true` to be called again.
type Function = unsafe extern "C" fn(value: i64, argument: *mut c_void) -> bool;

struct Handler {
    signal: &'static Signal,
    condition: u32,
    compare: i64,
    function: Function,
    argument: *mut c_void,
}

// SAFETY: the argument is only passed back to the function on the handlers' thread, as its owner
// requested.
unsafe impl Send for Handler {}

#[derive(Default)]
struct Handlers {
    /// Handlers whose condition is not met, by the address of their signal.
    waiting: HashMap<usize, Vec<Handler>>,
    /// Handlers to call, each with the value that met its condition.
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
    /// Queues a handler to be called if its condition is met. Otherwise adds it to the waiting
    /// handlers.
    fn enqueue(&mut self, handler: Handler) {
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

/// Rechecks the handlers of a signal that has changed.
pub fn signal_changed(signal: &'static Signal) {
    let mut guard = lock();
    let Some(handlers) = guard.as_mut() else { return };
    for handler in handlers.waiting.remove(&signal.address()).unwrap_or_default() {
        handlers.enqueue(handler);
    }
}

/// Registers a handler. The first one starts the thread.
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
    // Counts the handler before it reads the value, so that every later change reaches
    // `signal_changed`.
    handler.signal.watch(true);
    handlers.enqueue(handler);
    SUCCESS
}

/// Stops or resumes the calls of handlers. A running handler is not waited for: it may be the
/// caller, or wait for the caller.
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
        // SAFETY: the function was registered to be called with this argument.
        let again = unsafe { (handler.function)(value, handler.argument) };
        guard = lock();
        if again {
            handler.signal.watch(true);
            guard.get_or_insert_default().enqueue(handler);
        }
    }
}

hsa_api! {
    /// Registers `function`, to be called when the signal meets the condition. It is called once,
    /// or until it returns `false`.
    fn hsa_amd_signal_async_handler(
        signal: Handle, condition: u32, compare: i64, function: Option<Function>,
        argument: *mut c_void,
    ) -> Status {
        // SAFETY: the handle is 0 or a live signal's (caller contract).
        let Some(signal) = (unsafe { Signal::of(signal) }) else { return INVALID_SIGNAL };
        let Some(function) = function else { return INVALID_ARGUMENT };
        register(Handler { signal, condition, compare, function, argument })
    }
}
