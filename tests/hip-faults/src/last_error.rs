//! The thread's last error, as far as a planned code has replaced it.

use std::cell::Cell;
use std::ffi::c_int;

use crate::real;

thread_local! {
    /// 0 if what the runtime itself says holds. Without a destructor, so that it is good until the
    /// thread's very end.
    static PLANNED: Cell<c_int> = const { Cell::new(0) };
}

/// Whether an error stays until it is fetched.
fn keeps() -> bool {
    !(1_000_000..70_000_000).contains(&real::version())
}

/// The call answered what was planned.
pub(crate) fn planned(code: c_int) {
    const NOT_READY: c_int = 600;
    if code != 0 && !(keeps() && code == NOT_READY) {
        PLANNED.set(code);
    }
}

/// The runtime itself has answered a call.
pub(crate) fn answered(code: c_int) {
    const NOT_READY: c_int = 600;
    if !keeps() || !matches!(code, 0 | NOT_READY) {
        PLANNED.set(0);
    }
}

/// The planned code that is the last error, if one is.
pub(crate) fn peek() -> Option<c_int> {
    Some(PLANNED.get()).filter(|code| *code != 0)
}

/// Likewise, and it is fetched.
pub(crate) fn fetch() -> Option<c_int> {
    Some(PLANNED.replace(0)).filter(|code| *code != 0)
}
