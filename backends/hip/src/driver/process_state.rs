//! Whether this process may call the runtime: not in the child of a fork, and not late in the process's exit.
//!
//! At the end of the process the runtime shuts itself down, by functions that were registered before those of this
//! module. A thread that calls it after that, or is inside, crashes. So from then on there is no runtime:
//! [`driver`](super::driver) is an error, and a drop leaves its handle alone. This costs a call nothing, since each call
//! loads the pointer to the runtime anyway.

use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use gpu_stream_core::{BackendKind, ContractError};
use gpu_stream_driver_common::ProcessState;

use super::Driver;
use crate::code::TEXTS;

/// The runtime, from its start on. Null when it must not be called any more.
static DRIVER: AtomicPtr<Driver> = AtomicPtr::new(std::ptr::null_mut());
static PROCESS_STATE: ProcessState = ProcessState::new();
/// The number of threads that poll the runtime at the moment, in a wait for work.
static ACTIVE_POLLS: AtomicUsize = AtomicUsize::new(0);

/// Returns the runtime, if it was started and may be called.
#[inline]
pub(crate) fn loaded() -> Option<&'static Driver> {
    // SAFETY: the pointer is null, or is from a `&'static Driver`.
    unsafe { DRIVER.load(Ordering::Acquire).as_ref() }
}

/// Publishes the runtime to all threads. Does nothing the second time.
pub(super) fn started(driver: &'static Driver) {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        DRIVER.store(std::ptr::from_ref(driver).cast_mut(), Ordering::Release);
        TEXTS.set(Some(&driver.texts));
        #[cfg(unix)]
        // SAFETY: `end` exists as long as this library, and does not unwind. Without memory for the registration, calls
        // go on to the very end; there is nothing better to do.
        unsafe {
            libc::atexit(end)
        };
    });
}

/// Stops all calls of the runtime. Async-signal-safe.
fn stop() {
    DRIVER.store(std::ptr::null_mut(), Ordering::SeqCst);
    TEXTS.set(None);
}

/// Returns an error if the runtime must not be called any more.
pub(super) fn ensure_callable() -> Result<(), ContractError> {
    PROCESS_STATE.ensure_running(BackendKind::Hip)
}

/// Registers a hook that detects forks. Called before the runtime's start.
pub(super) fn watch_forks() {
    extern "C" fn in_child() {
        PROCESS_STATE.set_forked();
        stop();
    }
    PROCESS_STATE.watch_forks(in_child);
}

/// A poll of the runtime. While it exists, the exit of the process does not reach the runtime's end.
pub(crate) struct PollGuard(());

/// Begins a poll. Returns an error if the runtime must not be called any more.
pub(crate) fn begin_poll() -> Result<PollGuard, ContractError> {
    ACTIVE_POLLS.fetch_add(1, Ordering::SeqCst);
    let guard = PollGuard(());
    // Either this load sees that the exit has begun, or the exit sees this poll.
    if DRIVER.load(Ordering::SeqCst).is_null() {
        ensure_callable()?;
    }
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

    if !PROCESS_STATE.set_ending() {
        return;
    }
    stop();
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
