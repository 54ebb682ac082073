//! The end of the process: what was submitted is run first, unless the program says otherwise.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::process_state::ExitGuard;
use super::settle::wait_quiescent;
use super::state::Run;
use super::{driver, task};
use crate::sync::lock;

static ABANDON: AtomicBool = AtomicBool::new(false);

/// Lets the process end without finishing what was submitted to host streams.
///
/// Without this call, a process that returns from `main` or calls [`std::process::exit`] first runs
/// all work that was submitted and that no gate holds back; what a gate holds back at that moment
/// is lost. A task that never ends then keeps the process from ending, as a thread that is joined
/// would. What other threads submit while that goes on is refused, as not permitted, so that they
/// cannot keep it going; tasks may submit. May be called at any time, also while the process is
/// ending, and from any thread. Does not block.
///
/// A process that is killed or calls [`std::process::abort`] ends at once in any case. So does one
/// in which a task calls [`exit`](std::process::exit). If the process was ending already, that task
/// counts as done: all other work is finished, and the first exit code stands. A task that waits for
/// a thread inside `exit` is a task that never ends.
pub fn abandon_at_exit() {
    ABANDON.store(true, Ordering::SeqCst);
}

/// Has the C library call us when the process ends. Called once.
pub(crate) fn finish_at_exit() {
    // Miri has no functions of `atexit`. A program under it waits for its work by itself.
    if cfg!(miri) {
        return;
    }
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
    let _ending = ExitGuard::begin();
    let mut round = 0u32;
    let stop = || {
        round = round.wrapping_add(1);
        let has_threads = !round.is_multiple_of(ROUNDS) || replace_lost_threads();
        ABANDON.load(Ordering::SeqCst) || !has_threads
    };
    wait_quiescent(|| driver.streams.all(), stop);
}

/// How many rounds of [`settle`] pass between two searches for threads inside `exit`.
const ROUNDS: u32 = 64;

/// Starts a thread for each one that runs streams and is inside `exit`, which it does not leave.
/// What such a thread runs counts as done from then on. Returns `false` if there is no new thread to
/// be had.
pub(super) fn replace_lost_threads() -> bool {
    static REPLACED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());
    let Ok(driver) = driver() else { return true };
    let mut has_threads = true;
    for queue in driver.streams.all() {
        let state = queue.state();
        if state.get() != Run::Running || state.runner().is_lost() || !state.runner().is_in_exit() {
            continue;
        }
        state.runner().set_lost();
        if lock(&REPLACED).insert(state.runner().thread()) {
            let pool = Arc::clone(&driver.pool);
            let spare = thread::Builder::new().name("gpu-stream-spare".into());
            has_threads &= spare.spawn(move || pool.work()).is_ok();
        }
    }
    has_threads
}
