//! What this crate knows of the calling thread, and what may run on it: [`may_destroy`], [`discard`].
//!
//! HIP allows no calls inside a host function, and `hipStreamDestroy` hangs there (5.2, 5.7, 6.4 and 7.2). Host
//! functions of other libraries cannot be detected, but their threads can: a thread of the runtime makes no public
//! call. So a thread is *free* after its first public call. Values that are dropped on another thread are destroyed
//! by the next public call of a free thread.

use std::cell::Cell;

use gpu_stream_core::{ContractError, KeepAlive};
use gpu_stream_driver_common::deferred::drop_quietly;

use crate::HipError;
use crate::driver::loaded;
use crate::host_func::{USER_CODE, is_inside};

#[derive(Clone, Copy)]
struct ThreadState {
    /// The number of public calls that the thread is inside of.
    depth: u32,
    /// Set after the thread's first public call outside of a host function.
    is_free: bool,
    /// Set when HIP's part of the thread is destroyed, or about to be.
    has_ended: bool,
}

thread_local! {
    // No destructor, so that it is usable until the thread's very end.
    static STATE: Cell<ThreadState> =
        const { Cell::new(ThreadState { depth: 0, is_free: false, has_ended: false }) };
}

/// Begins a public call. Returns `true` if it is the first of this thread.
#[inline]
pub(crate) fn begin_call() -> bool {
    let state = STATE.get();
    let is_free = state.is_free || !is_inside();
    STATE.set(ThreadState { depth: state.depth + 1, is_free, ..state });
    is_free && !state.is_free
}

/// Ends a public call. Returns `true` if the thread is inside of no other.
#[inline]
pub(crate) fn end_call() -> bool {
    let state = STATE.get();
    STATE.set(ThreadState { depth: state.depth - 1, ..state });
    state.depth == 1
}

/// Marks the end of the calling thread.
pub(crate) fn set_ended() {
    STATE.set(ThreadState { has_ended: true, ..STATE.get() });
}

/// Returns `true` if the calling thread is ending, and the caller is the destructor of a thread-local variable.
pub(crate) fn has_ended() -> bool {
    STATE.get().has_ended
}

/// Returns an error if the calling thread's default streams are destroyed, because the thread is ending.
pub(crate) fn ensure_alive(operation: &'static str) -> Result<(), HipError> {
    if has_ended() {
        let reason = "the thread is ending, and HIP has destroyed its default stream; use the stream before, or another one";
        return Err(ContractError::NotPermitted { operation, reason }.into());
    }
    Ok(())
}

/// Returns `true` if the runtime may be called to destroy something: the thread is free, is not ending, and is not
/// inside a host function.
pub(crate) fn may_destroy() -> bool {
    let ThreadState { is_free, has_ended, .. } = STATE.get();
    is_free && !has_ended && !is_inside() && loaded().is_some()
}

/// Drops an owner, which may run user code, and catches its panic. Inside a public call, defers the drop to the
/// call's end. Inside a host function, defers it to the end of the next call.
#[inline]
pub(crate) fn discard(owner: KeepAlive) {
    if owner.is_owned() {
        discard_owned(owner);
    }
}

#[cold]
fn discard_owned(owner: KeepAlive) {
    if is_inside() || STATE.get().depth > 0 {
        USER_CODE.deferred.push(move || drop(owner));
    } else {
        drop_quietly(owner);
    }
}
