//! The frame of every public call: [`public_call`].
//!
//! What was dropped where it could not be destroyed waits for the end of a public call, where nothing
//! is held: destructors of users, and streams of ours that were busy.
//!
//! HIP allows no call of its own inside a host function, and `hipStreamDestroy` there hangs from 5.7
//! on. Host functions of other libraries are not seen here, but their threads are told apart: a thread
//! of the runtime makes no public call. So a thread is *free* after its first one, and what is dropped
//! on any other thread is destroyed by the next public call of a free thread.

use std::cell::Cell;

use gpu_stream_driver_common::deferred::drop_quietly;

use crate::driver::loaded;
use crate::host_func::{DEFERRED, is_inside};
use crate::{HipError, pending_destroy};

#[derive(Clone, Copy)]
struct Frame {
    /// How many public calls the thread is in.
    depth: u32,
    /// `true` after the thread's first public call outside of a host function.
    is_free: bool,
}

thread_local! {
    // Without a destructor, so that it is good until the thread's very end.
    static FRAME: Cell<Frame> = const { Cell::new(Frame { depth: 0, is_free: false }) };
}

/// Ends the public call when it is dropped.
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
        // A call inside another one, by a type that is laid over ours, leaves it to the outer one.
        if depth == 1 {
            DEFERRED.run();
            pending_destroy::reap();
        }
    }
}

/// Runs the body of a public call. At its end, with nothing held, runs what was put off.
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

/// Drops what may run code of a user, with nothing held: now, or at the end of the public call that the
/// thread is in, or, inside a host function, of the next one. A panic ends here.
pub(crate) fn discard<T: Send + 'static>(value: T) {
    if is_inside() || FRAME.get().depth > 0 {
        DEFERRED.push(move || drop(value));
    } else {
        drop_quietly(value);
    }
}
