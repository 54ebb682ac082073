//! What the driver keeps for a thread: its stack of contexts, its capture mode, its own streams.

use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::call::Answer;
use crate::codes::Code;
use crate::state::{self, End};

/// More than any program pushes.
const DEEPEST: usize = 64;

/// Contexts, the current one last. It has no destructor, so that it is good until the thread's end.
struct Stack {
    contexts: [usize; DEEPEST],
    depth: usize,
}

/// A thread's own streams, which end with it: context and stream.
struct Own(Vec<(usize, usize)>);

impl Drop for Own {
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
    static CONTEXTS: RefCell<Stack> = const { RefCell::new(Stack { contexts: [0; DEEPEST], depth: 0 }) };
    static MODE: Cell<c_int> = const { Cell::new(0) };
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    static CALL: Cell<&'static str> = const { Cell::new("") };
    static NUMBER: Cell<u64> = const { Cell::new(0) };
    static OWN: RefCell<Own> = const { RefCell::new(Own(Vec::new())) };
}

/// A number that no other thread of the process has or had.
pub fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    if NUMBER.get() == 0 {
        NUMBER.set(NEXT.fetch_add(1, Ordering::Relaxed));
    }
    NUMBER.get()
}

/// The thread's own stream in a context, if there is one; `Err` at the thread's end.
pub fn own_stream(context: usize) -> Result<Option<usize>, Code> {
    let find = |own: &RefCell<Own>| {
        own.borrow().0.iter().rfind(|(of, _)| *of == context).map(|(_, stream)| *stream)
    };
    OWN.try_with(find).map_err(|_| Code::INVALID_HANDLE)
}

pub fn keep_own_stream(context: usize, stream: usize) {
    OWN.with_borrow_mut(|own| own.0.push((context, stream)));
}

/// The current context, or 0.
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

/// Puts `context` in the place of the current one; 0 takes that away.
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
    INSIDE.get()
}

/// This is the thread that calls host functions.
pub fn is_the_callers() {
    INSIDE.set(true);
}

/// Notes the function that is being called, for what [`crate::tables`] says of a bad handle.
pub fn in_call(name: &'static str) {
    CALL.set(name);
}

/// The function that is being called.
pub fn call() -> &'static str {
    CALL.get()
}
