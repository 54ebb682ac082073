//! Running a user's closure, and knowing that one is running.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use gpu_stream_core::HostFunc;

thread_local! {
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside a task of some stream. A call that blocks is refused there: it
/// would hold a thread of the pool, and a stream that waits for itself waits for ever.
pub(crate) fn is_running() -> bool {
    // At the end of a thread the variable may be gone; nothing runs tasks there.
    RUNNING.try_with(Cell::get).unwrap_or(false)
}

/// Runs and drops the closure. A panic in either comes back as its text.
pub(crate) fn run(task: HostFunc) -> Result<(), String> {
    inside(|| contain(task))
}

/// Drops what will not be run, by the rules of a task.
pub(crate) fn discard<T>(unrun: T) {
    let _ = inside(|| contain(|| drop(unrun)));
}

fn inside<R>(code: impl FnOnce() -> R) -> R {
    let before = RUNNING.replace(true);
    let outcome = code();
    RUNNING.set(before);
    outcome
}

/// Runs `code` of a user; a panic comes back as its text.
fn contain(code: impl FnOnce()) -> Result<(), String> {
    // Nothing that `code` leaves half done is seen by us, and what the user shares with it is the
    // user's to judge, as with a thread that panics.
    let payload = match catch_unwind(AssertUnwindSafe(code)) {
        Ok(()) => return Ok(()),
        Err(payload) => payload,
    };
    let text = text_of(&*payload);
    // The payload of a panic is a value of the user's too, and may panic when it is dropped.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
    Err(text)
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("(the panic had no text)").to_owned()
}
