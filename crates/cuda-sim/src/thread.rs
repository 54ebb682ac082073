//! The driver's per-thread state: context stack, capture mode, per-thread streams.

use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::call::Answer;
use crate::codes::Code;
use crate::state::{self, End};

/// The maximum depth of the context stack, more than any program needs.
const MAX_DEPTH: usize = 64;

/// A context stack with the current context last. It has no destructor, so it is valid until the
/// thread ends.
struct Stack {
    contexts: [usize; MAX_DEPTH],
    depth: usize,
}

/// A thread's own streams, as pairs of context and stream. They end with the thread.
struct OwnStreams(Vec<(usize, usize)>);

impl Drop for OwnStreams {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            let mut state = state::state();
            for (context, stream) in self.0.drain(..) {
                if state.is_own_stream(context, stream) {
                    state.end_stream(stream, End::Destroyed);
                }
            }
        }
    }
}

thread_local! {
    static CONTEXTS: RefCell<Stack> =
        const { RefCell::new(Stack { contexts: [0; MAX_DEPTH], depth: 0 }) };
    static MODE: Cell<c_int> = const { Cell::new(0) };
    static IS_HOST_FUNC_THREAD: Cell<bool> = const { Cell::new(false) };
    static CALL: Cell<&'static str> = const { Cell::new("") };
    static NUMBER: Cell<u64> = const { Cell::new(0) };
    static OWN: RefCell<OwnStreams> = const { RefCell::new(OwnStreams(Vec::new())) };
}

/// Returns a number that is unique to this thread in the process.
pub fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    if NUMBER.get() == 0 {
        NUMBER.set(NEXT.fetch_add(1, Ordering::Relaxed));
    }
    NUMBER.get()
}

/// Returns the thread's own stream in a context. Returns an error while the thread exits.
pub fn own_stream(context: usize) -> Result<Option<usize>, Code> {
    let find = |own: &RefCell<OwnStreams>| {
        own.borrow().0.iter().rfind(|(of, _)| *of == context).map(|(_, stream)| *stream)
    };
    OWN.try_with(find).map_err(|_| Code::INVALID_HANDLE)
}

pub fn keep_own_stream(context: usize, stream: usize) {
    OWN.with_borrow_mut(|own| own.0.push((context, stream)));
}

/// Returns the current context, or 0.
pub fn top() -> usize {
    CONTEXTS.with_borrow(|stack| match stack.depth {
        0 => 0,
        depth => stack.contexts[depth - 1],
    })
}

pub fn current() -> Result<usize, Code> {
    match top() {
        0 => Err(Code::INVALID_CONTEXT),
        context => Ok(context),
    }
}

/// Replaces the current context with `context`. 0 only removes it.
pub fn set_current(context: usize) -> Answer {
    let _ = pop();
    if context == 0 { Ok(()) } else { push(context) }
}

pub fn push(context: usize) -> Answer {
    CONTEXTS.with_borrow_mut(|stack| {
        let depth = stack.depth;
        *stack.contexts.get_mut(depth).ok_or(Code::OUT_OF_MEMORY)? = context;
        stack.depth += 1;
        Ok(())
    })
}

pub fn pop() -> Result<usize, Code> {
    CONTEXTS.with_borrow_mut(|stack| {
        stack.depth = stack.depth.checked_sub(1).ok_or(Code::INVALID_CONTEXT)?;
        Ok(stack.contexts[stack.depth])
    })
}

pub fn exchange_mode(mode: c_int) -> c_int {
    MODE.replace(mode)
}

pub fn mode() -> c_int {
    MODE.get()
}

pub fn is_inside_host_function() -> bool {
    IS_HOST_FUNC_THREAD.get()
}

/// Marks this thread as the one that calls host functions.
pub fn mark_host_func_thread() {
    IS_HOST_FUNC_THREAD.set(true);
}

/// Records the function that is being called, for the messages of [`crate::tables`] about bad
/// handles.
pub fn set_current_call(name: &'static str) {
    CALL.set(name);
}

/// Returns the function that is being called.
pub fn current_call() -> &'static str {
    CALL.get()
}
