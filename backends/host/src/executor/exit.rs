//! Process exit: runs the submitted work first, unless the program has called [`abandon_at_exit`].

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use super::process_state::{self, ExitGuard};
use super::run_state::Phase;
use super::settle::wait_quiescent;
use super::streams::Streams;
use super::task;
use crate::sync::lock;

static ABANDON: AtomicBool = AtomicBool::new(false);

/// The streams of the process, set by [`register`].
static STREAMS: OnceLock<&Streams> = OnceLock::new();

/// Lets the process end without finishing the work of host streams.
///
/// Without this call, a process that returns from `main` or calls [`std::process::exit`] first runs
/// all submitted work that no gate holds back. Work that a gate holds back at that moment is lost.
/// A task that never ends keeps the process alive, as a joined thread would.
///
/// During the exit, tasks may submit work. Submissions of other threads are rejected as not
/// permitted, so that they cannot keep the process alive.
///
/// May be called at any time, also while the process is exiting, and from any thread. Does not
/// block.
///
/// A process that is killed or calls [`std::process::abort`] ends at once in any case. So does one
/// in which a task calls [`exit`](std::process::exit). If the process was already exiting, that
/// task counts as done: all other work is finished, and the first exit code stands. A task that
/// waits for a thread inside `exit` never ends.
pub fn abandon_at_exit() {
    ABANDON.store(true, Ordering::SeqCst);
}

/// Registers the exit handler, which finishes the work of `streams`. Must be called once.
pub(super) fn register(streams: &'static Streams) {
    let _ = STREAMS.set(streams);
    streams.pool().set_stall_hook(|| {
        replace_lost_threads();
    });
    // Miri does not support `atexit`. A program under Miri has to wait for its work itself.
    if cfg!(miri) {
        return;
    }
    // SAFETY: `finish` is live as long as the program, and does not unwind. The result is ignored:
    // the call fails only without memory, and then work can be lost at exit; there is no better
    // fallback.
    unsafe { libc::atexit(finish) };
}

/// Returns the streams of the process. Returns `None` in the child of a fork.
fn streams() -> Option<&'static Streams> {
    STREAMS.get().copied().filter(|_| !process_state::is_forked())
}

extern "C" fn finish() {
    // The exit of a task cannot wait for that task.
    if ABANDON.load(Ordering::SeqCst) || task::is_running() {
        return;
    }
    // The exit of a forked child cannot wait for the threads of its parent.
    let Some(streams) = streams() else { return };
    // Tasks may submit work, and create and destroy streams, so each snapshot lists the streams
    // again. Submissions of other threads are rejected, because otherwise no two snapshots might be
    // equal.
    let _exiting = ExitGuard::begin();
    let mut round = 0u32;
    let stop = || {
        round = round.wrapping_add(1);
        let has_threads = !round.is_multiple_of(ROUNDS) || replace_lost_threads();
        ABANDON.load(Ordering::SeqCst) || !has_threads
    };
    wait_quiescent(|| streams.all(), stop);
}

/// The number of rounds of [`wait_quiescent`] between two searches for threads inside `exit`.
const ROUNDS: u32 = 64;

/// Starts a new worker for each thread that runs a stream and is blocked inside `exit`. Returns
/// `false` if a thread cannot be started.
///
/// The task that such a thread runs counts as done from then on.
fn replace_lost_threads() -> bool {
    static REPLACED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());
    let Some(streams) = streams() else { return true };
    let mut has_threads = true;
    for queue in streams.all() {
        let state = queue.state();
        if state.get() != Phase::Running || state.runner().is_lost() || !state.runner().is_in_exit()
        {
            continue;
        }
        state.runner().set_lost();
        if lock(&REPLACED).insert(state.runner().thread()) {
            let pool = Arc::clone(streams.pool());
            let spare = thread::Builder::new().name("gpu-stream-spare".into());
            has_threads &= spare.spawn(move || pool.work()).is_ok();
        }
    }
    has_threads
}
