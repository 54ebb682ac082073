//! Runs closures of the user, and tracks whether the current thread is inside one.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use gpu_stream_core::ContractError;

thread_local! {
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Returns `true` if this thread is inside a task of some stream.
pub(crate) fn is_running() -> bool {
    // The variable can already be destroyed when the thread exits; no task runs then.
    RUNNING.try_with(Cell::get).unwrap_or(false)
}

/// Returns an error inside a task.
///
/// A task must not block: it would hold a thread of the pool, and a task that waits for its own
/// stream would never end.
pub(crate) fn ensure_outside_task(operation: &'static str) -> Result<(), ContractError> {
    if !is_running() {
        return Ok(());
    }
    let reason = "it would block a task of a stream; let another stream wait for an event instead";
    Err(ContractError::NotPermitted { operation, reason })
}

/// A guard that marks the current thread as inside a task. Guards can be nested.
pub(crate) struct TaskGuard {
    previous: bool,
}

impl TaskGuard {
    /// Marks the current thread until the guard is dropped.
    pub(crate) fn enter() -> Self {
        TaskGuard { previous: RUNNING.replace(true) }
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        RUNNING.set(self.previous);
    }
}

/// Drops a value that will not run, under the rules of a task. Ignores a panic.
pub(crate) fn discard(drop_value: impl FnOnce()) {
    let _guard = TaskGuard::enter();
    let _ = catch_panic(drop_value);
}

/// Runs `code` of the user. Returns the message if it panics.
#[inline]
pub(crate) fn catch_panic(code: impl FnOnce()) -> Result<(), String> {
    // Unwind safety: the executor observes no state that `code` leaves half done. State that the
    // user shares with `code` is the user's responsibility, as with a thread that panics.
    catch_unwind(AssertUnwindSafe(code)).map_err(message_and_drop)
}

/// Returns the message of a panic, and drops the payload.
#[cold]
fn message_and_drop(payload: Box<dyn Any + Send>) -> String {
    let message = message_of(&*payload);
    // The payload is a value of the user, and can panic when it is dropped.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
    message
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    let message = payload.downcast_ref::<&str>().copied();
    let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    message.unwrap_or("(the panic had no text)").to_owned()
}
