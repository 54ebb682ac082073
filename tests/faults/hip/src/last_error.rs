//! The thread's last error, where a planned code has replaced it.

use std::cell::Cell;
use std::ffi::c_int;

use crate::real;

thread_local! {
    /// The planned code, or 0 if the runtime's own last error is current. The thread-local has no
    /// destructor, so it is valid until the thread ends.
    static PLANNED: Cell<c_int> = const { Cell::new(0) };
}

/// Returns `true` if an error stays the last one until it is fetched. Returns `false` for HIP 1 to
/// 6, where the next call replaces it.
fn keeps_last_error() -> bool {
    !(1_000_000..70_000_000).contains(&real::version())
}

/// Records that a call answered a planned code.
pub(crate) fn set_planned(code: c_int) {
    const NOT_READY: c_int = 600;
    if code != 0 && !(keeps_last_error() && code == NOT_READY) {
        PLANNED.set(code);
    }
}

/// Records that the runtime itself answered a call.
pub(crate) fn record_answer(code: c_int) {
    const NOT_READY: c_int = 600;
    if !keeps_last_error() || !matches!(code, 0 | NOT_READY) {
        PLANNED.set(0);
    }
}

/// Returns the planned code that is the last error. Returns `None` if the runtime's own is.
pub(crate) fn peek() -> Option<c_int> {
    Some(PLANNED.get()).filter(|code| *code != 0)
}

/// Returns the planned code that is the last error, and clears it. Returns `None` if the runtime's
/// own is.
pub(crate) fn fetch() -> Option<c_int> {
    Some(PLANNED.replace(0)).filter(|code| *code != 0)
}
