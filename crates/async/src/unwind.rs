//! User code on the watcher's thread, whose panic must not end that thread: [`run_quietly`].

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `work` and catches its panic, which the panic hook has reported. Returns `None` after a panic.
pub(crate) fn run_quietly<T>(work: impl FnOnce() -> T) -> Option<T> {
    // The destructor of a panic's payload is user code, too, and can panic in turn.
    catch_unwind(AssertUnwindSafe(work)).map_err(std::mem::forget).ok()
}
