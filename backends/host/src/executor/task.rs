//! Running a user's closure, and knowing that one is running.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside a task of some stream. A call that blocks is refused there: it
/// would hold a thread of the pool, and a stream that waits for itself waits for ever.
pub(crate) fn is_running() -> bool {
    // At the end of a thread the variable may be gone; nothing runs tasks there.
    RUNNING.try_with(Cell::get).unwrap_or(false)
}

/// While this lives, the thread runs tasks.
pub(crate) struct Inside {
    before: bool,
}

impl Inside {
    pub(crate) fn enter() -> Self {
        Inside { before: RUNNING.replace(true) }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        RUNNING.set(self.before);
    }
}

/// Drops what will not be run, by the rules of a task.
pub(crate) fn discard(drop_it: impl FnOnce()) {
    let _inside = Inside::enter();
    let _ = contain(drop_it);
}

/// Runs `code` of a user; a panic comes back as its text.
#[inline]
pub(crate) fn contain(code: impl FnOnce()) -> Result<(), String> {
    // Nothing that `code` leaves half done is seen by us, and what the user shares with it is the
    // user's to judge, as with a thread that panics.
    catch_unwind(AssertUnwindSafe(code)).map_err(text_and_drop)
}

#[cold]
fn text_and_drop(payload: Box<dyn Any + Send>) -> String {
    let text = text_of(&*payload);
    // The payload of a panic is a value of the user's too, and may panic when it is dropped.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
    text
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("(the panic had no text)").to_owned()
}
