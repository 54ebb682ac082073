//! Keeps all calls from the runtime once the process is at its end.
//!
//! At the end of the process the runtime shuts itself down, by functions that were registered before those of this
//! module. A thread that calls it after that, or is inside, crashes. So from then on there is no runtime:
//! [`driver`](super::driver) is an error, and a drop leaves its handle alone. This costs a call nothing, since each call
//! loads the pointer to the runtime anyway.

use std::sync::atomic::{AtomicUsize, Ordering};

use gpu_stream_core::ContractError;

use super::DRIVER;

/// The number of threads that poll the runtime at the moment, in a wait for work.
static ACTIVE_POLLS: AtomicUsize = AtomicUsize::new(0);

/// Ends all calls of the runtime when the process exits. Called once, after the runtime's start.
pub(super) fn watch_exit() {
    #[cfg(unix)]
    // SAFETY: `end` exists as long as this library, and does not unwind. Without memory for the registration, calls
    // go on to the very end; there is nothing better to do.
    unsafe {
        libc::atexit(end)
    };
}

/// A poll of the runtime. While it exists, the exit of the process does not reach the runtime's end.
pub(crate) struct PollGuard(());

/// Begins a poll. Returns an error if the runtime must not be called any more.
pub(crate) fn begin_poll() -> Result<PollGuard, ContractError> {
    ACTIVE_POLLS.fetch_add(1, Ordering::SeqCst);
    let guard = PollGuard(());
    // Either this sees that the exit has begun, or the exit sees this poll: the loads and stores of both are `SeqCst`.
    DRIVER.ensure_running()?;
    Ok(guard)
}

impl Drop for PollGuard {
    fn drop(&mut self) {
        ACTIVE_POLLS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Ends all calls of the runtime. The C library calls this in `exit`, before the runtime's own functions.
#[cfg(unix)]
extern "C" fn end() {
    use std::time::{Duration, Instant};

    use crate::code::TEXTS;

    if !DRIVER.set_ending() {
        return;
    }
    TEXTS.set(None);
    // A query blocks inside the runtime if another thread's record of the same fixed handle blocks. So the wait has a
    // limit.
    let begin = Instant::now();
    while ACTIVE_POLLS.load(Ordering::SeqCst) > 0 && begin.elapsed() < Duration::from_millis(100) {
        std::thread::yield_now();
    }
    // Threads in other calls are not counted, which would cost each call time. They return within microseconds, and
    // so do the runtime's own threads after work that has just ended. Without this sleep HIP 7.2 crashed at every
    // third exit.
    std::thread::sleep(Duration::from_millis(5));
}
