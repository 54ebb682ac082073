//! The frame of every public call: [`public_call`].
//!
//! At the end of a public call no lock is held. User destructors that were deferred run there, and streams that were
//! dropped while busy are destroyed.
//!
//! HIP allows no calls inside a host function, and `hipStreamDestroy` hangs there (5.2, 5.7, 6.4 and 7.2). Host
//! functions of other libraries cannot be detected, but their threads can: a thread of the runtime makes no public
//! call. So a thread is *free* after its first public call. Values that are dropped on another thread are destroyed
//! by the next public call of a free thread.

use std::cell::Cell;

use gpu_stream_driver_common::deferred::drop_quietly;

use crate::driver::loaded;
use crate::host_func::{DEFERRED, is_inside};
use crate::{HipError, pending_destroy};

#[derive(Clone, Copy)]
struct Frame {
    /// The number of public calls that the thread is inside of.
    depth: u32,
    /// Set after the thread's first public call outside of a host function.
    is_free: bool,
}

thread_local! {
    // No destructor, so that it is usable until the thread's very end.
    static FRAME: Cell<Frame> = const { Cell::new(Frame { depth: 0, is_free: false }) };
}

/// A public call, which ends on drop.
struct Call;

impl Call {
    #[inline]
    fn enter() -> Self {
        let Frame { depth, is_free } = FRAME.get();
        FRAME.set(Frame { depth: depth + 1, is_free: is_free || !is_inside() });
        Call
    }
}

impl Drop for Call {
    #[inline]
    fn drop(&mut self) {
        let Frame { depth, is_free } = FRAME.get();
        FRAME.set(Frame { depth: depth - 1, is_free });
        // A nested call, made by a type that wraps a stream, leaves it to the outer call.
        if depth == 1 {
            DEFERRED.run();
            pending_destroy::reap();
        }
    }
}

/// Runs the body of a public call. After it, with no lock held, runs deferred destructors.
#[inline]
pub(crate) fn public_call<T>(body: impl FnOnce() -> Result<T, HipError>) -> Result<T, HipError> {
    let _call = Call::enter();
    body()
}

/// Returns `true` if the runtime may be called to destroy something: the thread is free, and not
/// inside a host function.
pub(crate) fn may_destroy() -> bool {
    FRAME.get().is_free && !is_inside() && loaded().is_some()
}

/// Drops a value that may run user code, with no lock held, and catches its panic. Inside a public call, defers the
/// drop to the call's end. Inside a host function, defers it to the end of the next call.
pub(crate) fn discard<T: Send + 'static>(value: T) {
    if is_inside() || FRAME.get().depth > 0 {
        DEFERRED.push(move || drop(value));
    } else {
        drop_quietly(value);
    }
}
