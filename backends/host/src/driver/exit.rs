//! The end of the process: what was submitted is run first, unless the program says otherwise.

use std::sync::atomic::{AtomicBool, Ordering};

use super::settle::settle;
use super::standing::Ending;
use super::{driver, task};

static ABANDON: AtomicBool = AtomicBool::new(false);

/// Lets the process end without finishing what was submitted to host streams.
///
/// Without this call, a process that returns from `main` or calls [`std::process::exit`] first runs
/// all work that was submitted and that no gate holds back; what a gate holds back at that moment
/// is lost. A task that never ends then keeps the process from ending, as a thread that is joined
/// would. What other threads submit while that goes on is refused, as not permitted, so that they
/// cannot keep it going; tasks may submit. May be called at any time, also while the process is ending, and from any thread; does
/// not block.
///
/// A process that is killed or calls [`std::process::abort`] ends at once in any case. So does one
/// in which a task calls `exit`, unless the process was ending already: then std lets the task wait
/// for that end, which waits for the task. Use `abort` there, or this call first.
pub fn abandon_at_exit() {
    ABANDON.store(true, Ordering::SeqCst);
}

/// Has the C library call us when the process ends. Called once.
pub(crate) fn finish_at_exit() {
    // SAFETY: `finish` is a function that lives as long as the program and does not unwind. If it
    // cannot be registered, which needs memory, work may be lost at the end of the process; there
    // is nothing better to do.
    unsafe { libc::atexit(finish) };
}

extern "C" fn finish() {
    // A task that ends the process cannot be waited for, nor can what stayed behind a fork.
    if ABANDON.load(Ordering::SeqCst) || task::is_running() {
        return;
    }
    let Ok(driver) = driver() else { return };
    // Work may submit more work, and make and destroy streams: each look lists them afresh. Threads
    // that go on may not, or the looks might never end.
    let _ending = Ending::begin();
    settle(|| driver.streams.all(), || ABANDON.load(Ordering::SeqCst));
}
