//! The frame of every public call: [`public_call`].
//!
//! At the end of a public call no lock is held. User destructors that were deferred run there, and streams that were
//! dropped while busy are destroyed.

use crate::host_func::USER_CODE;
use crate::{HipError, pending_destroy, per_thread, thread};

/// A public call, which ends on drop.
struct Call;

impl Call {
    #[inline]
    fn enter() -> Self {
        if thread::begin_call() {
            per_thread::register_exit_hook();
        }
        Call
    }
}

impl Drop for Call {
    #[inline]
    fn drop(&mut self) {
        // A nested call, made by a type that wraps a stream, leaves it to the outer call.
        if thread::end_call() {
            USER_CODE.deferred.run();
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
