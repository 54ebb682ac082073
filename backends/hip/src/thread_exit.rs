//! Run-down protection of threads' default streams, which end with their threads: [`Rundown`].
//!
//! HIP destroys a thread's default stream (handle 2) when the thread ends, by the destructor of a thread-local
//! variable. Events point to the stream that they were recorded on, can be anywhere then, and no owner can keep a
//! thread alive. So each such stream has a [`Rundown`], which the events recorded on it share (run-down protection,
//! as in the Windows kernel):
//!
//! - A call that gives such an event to the runtime takes a guard.
//! - The thread's end comes before HIP destroys the stream. It waits for the stream's work, rejects new guards, and
//!   waits until all existing guards are dropped. From then on the events are complete. The runtime gets them only to
//!   be recorded elsewhere or destroyed.
//!
//! A thread that calls `exit` comes here too, before the functions of `atexit`. It waits for guards no longer than
//! those do. For the work of its own stream HIP itself waits there, in each version.
//!
//! The hook has to run before HIP's own, so it is registered after it: functions for the end of a thread run in the
//! reverse order of their registration. HIP registers its own at the thread's first call, or, in 5.2, at the first
//! that names handle 2. Such a call is made just before the registration. Rust's `thread_local!` does not promise
//! that order, so glibc's own function is used. Elsewhere the order is not available, and threads' default streams
//! are refused: ROCm on Linux is built for glibc, and Windows ends the threads of a library before those of the
//! program.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::panic::catch_unwind;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Instant;

use gpu_stream_core::{BackendKind, CaptureStatus, ContractError};

use crate::driver::capture;
use crate::driver::code::HipCode;
use crate::driver::symbols::Ptr;
use crate::driver::{DeviceGuard, Driver, loaded, process_state};
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::{HipError, stream};

#[cfg(all(test, gpu_stream_loom))]
mod loom_tests;
#[cfg(all(test, not(gpu_stream_loom)))]
mod tests;

/// Run-down protection of the default stream of one thread on one device.
#[derive(Debug, Default)]
pub(crate) struct Rundown {
    state: Mutex<RundownState>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct RundownState {
    /// The number of guards.
    guards: usize,
    /// Set once the thread has ended.
    end: Option<FinalStatus>,
}

/// How the work of a thread's default stream ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FinalStatus {
    /// All work is done.
    Done,
    /// The runtime's function returned this error.
    Failed(&'static str, HipCode),
    /// The runtime cannot tell.
    Unknown,
}

impl FinalStatus {
    /// Converts the status into the result of a query on one of the stream's events.
    pub(crate) fn to_result(self, operation: &'static str) -> Result<(), HipError> {
        match self {
            FinalStatus::Done => Ok(()),
            FinalStatus::Failed(function, code) => {
                Err(HipError::Driver { operation, function, code })
            }
            FinalStatus::Unknown => Err(HipError::ThreadEnded { operation }),
        }
    }
}

impl Rundown {
    fn state(&self) -> MutexGuard<'_, RundownState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rejects new guards, then blocks until all existing guards are dropped.
    ///
    /// A guard can be held for ever, by a call that blocks inside the runtime on a full queue. So after
    /// [`process_state::EXIT_LIMIT`] this returns anyway if `is_exiting` returns `true`.
    fn end(&self, end: FinalStatus, is_exiting: impl FnOnce() -> bool) {
        let mut state = self.state();
        state.end = Some(end);
        let is_over = |state: &RundownState| state.guards == 0;
        let begin = Instant::now();
        while !is_over(&state) {
            let Some(rest) = process_state::EXIT_LIMIT.checked_sub(begin.elapsed()) else { break };
            let waited = self.released.wait_timeout(state, rest);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if is_over(&state) {
            return;
        }
        // Guards are dropped under the lock.
        drop(state);
        if is_exiting() {
            return;
        }
        let mut state = self.state();
        while !is_over(&state) {
            state = self.released.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A guard that owns a reference to its [`Rundown`]. The thread's end waits until it is dropped.
#[derive(Debug)]
pub(crate) struct OwnedRundownGuard(Arc<Rundown>);

impl OwnedRundownGuard {
    /// Returns `true` if this guards `rundown`.
    pub(crate) fn is_of(&self, rundown: &Arc<Rundown>) -> bool {
        Arc::ptr_eq(&self.0, rundown)
    }
}

impl Rundown {
    /// Takes a guard. Returns `None` if the thread has ended.
    pub(crate) fn guard_owned(self: &Arc<Self>) -> Option<OwnedRundownGuard> {
        let mut state = self.state();
        if state.end.is_some() {
            return None;
        }
        state.guards += 1;
        drop(state);
        Some(OwnedRundownGuard(Arc::clone(self)))
    }

    /// Drops one guard.
    fn release(&self) {
        let mut state = self.state();
        state.guards -= 1;
        if state.guards == 0 {
            self.released.notify_all();
        }
    }
}

impl Drop for OwnedRundownGuard {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// A guard: the stream is not destroyed while it exists.
struct RundownGuard<'l>(&'l Rundown);

impl Drop for RundownGuard<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// Calls `call` while holding a guard of each stream.
///
/// # Errors
/// The final status of the first stream whose thread has ended.
pub(crate) fn with_guards<T>(
    rundowns: &mut dyn Iterator<Item = &Rundown>,
    call: impl FnOnce() -> T,
) -> Result<T, FinalStatus> {
    let Some(rundown) = rundowns.next() else { return Ok(call()) };
    let mut state = rundown.state();
    if let Some(end) = state.end {
        return Err(end);
    }
    state.guards += 1;
    drop(state);
    let _guard = RundownGuard(rundown);
    with_guards(rundowns, call)
}

/// The default streams of one thread, by the ordinal of the device.
type Rundowns = RefCell<Vec<Option<Arc<Rundown>>>>;

/// The state of the calling thread.
#[derive(Clone, Copy)]
enum Phase {
    /// The thread has not named its default stream.
    New,
    /// The thread's default streams. Freed by [`on_thread_exit`].
    Active(*const Rundowns),
    /// HIP's part of the thread is destroyed, or about to be.
    Ended,
}

thread_local! {
    // No destructor, so that it is usable until the thread's very end.
    static PHASE: Cell<Phase> = const { Cell::new(Phase::New) };
}

/// Returns an error if the calling thread's default streams are destroyed: the thread is ending, and the caller is
/// the destructor of another thread-local variable.
pub(crate) fn ensure_thread_alive(operation: &'static str) -> Result<(), HipError> {
    if matches!(PHASE.get(), Phase::Ended) {
        let reason = "the thread is ending, and HIP has destroyed its default stream; use the stream before, or another one";
        return Err(ContractError::NotPermitted { operation, reason }.into());
    }
    Ok(())
}

/// Registers a hook that marks the end of the calling thread, for a thread that has not named its default stream.
///
/// A function for the end of the process can name that stream after the thread's end. HIP 7.2 then destroys the
/// stream twice.
pub(crate) fn register_exit_hook() {
    thread_local! {
        static REGISTERED: Cell<bool> = const { Cell::new(false) };
    }
    if REGISTERED.replace(true) || !matches!(PHASE.get(), Phase::New) {
        return;
    }
    if let Some(at_thread_end) = at_thread_end() {
        // SAFETY: `mark_ended` takes any argument, and the last argument is an address of this library. Without
        // memory for it, the thread's end is not noticed; there is nothing better to do.
        unsafe { at_thread_end(mark_ended, std::ptr::null_mut(), own_address()) };
    }
}

/// Marks the end of a thread that has not named its default stream.
unsafe extern "C" fn mark_ended(_: *mut c_void) {
    if matches!(PHASE.get(), Phase::New) {
        PHASE.set(Phase::Ended);
    }
}

/// Returns an address of this library, which keeps the library loaded until the thread ends.
fn own_address() -> *mut c_void {
    static ADDRESS: u8 = 0;
    std::ptr::from_ref(&ADDRESS).cast_mut().cast()
}

/// Returns the run-down protection of the calling thread's default stream on a device.
pub(crate) fn current_rundown(
    driver: &'static Driver,
    ordinal: u32,
    operation: &'static str,
) -> Result<Arc<Rundown>, HipError> {
    ensure_thread_alive(operation)?;
    let rundowns = match PHASE.get() {
        Phase::Active(rundowns) => rundowns,
        _ => register(driver, ordinal, operation)?,
    };
    // SAFETY: the pointer belongs to this thread, and is live: the thread's end frees it, and sets `PHASE` first. No
    // code inside the borrow comes back here.
    let mut rundowns = unsafe { &*rundowns }.borrow_mut();
    let index = ordinal as usize;
    if rundowns.len() <= index {
        rundowns.resize(index + 1, None);
    }
    Ok(Arc::clone(rundowns[index].get_or_insert_default()))
}

/// Returns `true` if `rundown` is of the calling thread's default stream on the device.
pub(crate) fn is_mine(ordinal: u32, rundown: &Arc<Rundown>) -> bool {
    let Phase::Active(rundowns) = PHASE.get() else { return false };
    // SAFETY: the pointer belongs to this thread, and is live: the thread's end frees it, and sets `PHASE` first.
    let rundowns = unsafe { &*rundowns }.borrow();
    rundowns
        .get(ordinal as usize)
        .is_some_and(|mine| mine.as_ref().is_some_and(|mine| Arc::ptr_eq(mine, rundown)))
}

#[cold]
fn register(
    driver: &'static Driver,
    ordinal: u32,
    operation: &'static str,
) -> Result<*const Rundowns, HipError> {
    let Some(at_thread_end) = at_thread_end() else {
        let reason = "its events would not be safe after the thread has ended, since the end of a thread cannot be noticed \
                      in time on this system; create a stream with `Backend::new_stream`";
        let backend = BackendKind::Hip;
        return Err(ContractError::Unsupported { operation, backend, reason }.into());
    };
    {
        // Creates the stream, so that HIP registers its own function first.
        let _current = DeviceGuard::enter(driver, ordinal, operation)?;
        let mut status = 0;
        // SAFETY: handle 2 is always valid, and its device is current. `&mut status` is a valid out-pointer. A
        // capture does not matter here.
        let code = unsafe {
            (driver.symbols.stream_is_capturing)(stream::PER_THREAD.as_ptr(), &mut status)
        };
        if code == HipCode::CAPTURE_IMPLICIT {
            driver.discard(code);
        } else {
            // After another error the stream may not exist, and HIP's function would run before the hook.
            driver.check(code, operation, "hipStreamIsCapturing")?;
        }
    }
    let rundowns: *const Rundowns = Box::into_raw(Box::default());
    // SAFETY: `on_thread_exit` takes this pointer, once, on this thread.
    let failed =
        unsafe { at_thread_end(on_thread_exit, rundowns.cast_mut().cast(), own_address()) };
    if failed != 0 {
        // SAFETY: the pointer is from `Box::into_raw`, and no other owner exists: the registration failed.
        drop(unsafe { Box::from_raw(rundowns.cast_mut()) });
        let (function, code) = ("__cxa_thread_atexit_impl", HipCode::OUT_OF_MEMORY);
        return Err(HipError::Driver { operation, function, code });
    }
    PHASE.set(Phase::Active(rundowns));
    Ok(rundowns)
}

type ExitHook = unsafe extern "C" fn(*mut c_void);
type RegisterExitHook = unsafe extern "C" fn(ExitHook, *mut c_void, *mut c_void) -> std::ffi::c_int;

/// Returns the function that registers a hook for the end of the calling thread, in reverse order. glibc has it since
/// 2.18, and Rust programs run with older ones.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn at_thread_end() -> Option<RegisterExitHook> {
    static FOUND: OnceLock<Option<RegisterExitHook>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let program = libloading::os::unix::Library::this();
        // SAFETY: the type is the function's signature. glibc is never unloaded.
        unsafe { program.get::<RegisterExitHook>("__cxa_thread_atexit_impl") }
            .ok()
            .map(|found| *found)
    })
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn at_thread_end() -> Option<RegisterExitHook> {
    static NONE: OnceLock<Option<RegisterExitHook>> = OnceLock::new();
    *NONE.get_or_init(|| None)
}

/// Runs down the thread's default streams, at the end of the thread, just before HIP destroys them.
///
/// # Safety
/// - The argument is that of [`register`], on this thread, and this is called once.
unsafe extern "C" fn on_thread_exit(rundowns: *mut c_void) {
    // SAFETY: the pointer is from `Box::into_raw` in `register`, and is used once (caller contract).
    let rundowns = *unsafe { Box::from_raw(rundowns.cast::<Rundowns>()) };
    PHASE.set(Phase::Ended);
    for (ordinal, rundown) in (0..).zip(rundowns.into_inner()) {
        let Some(rundown) = rundown else { continue };
        // Without another reference now, there is none later: events get theirs from this thread's streams.
        if Arc::strong_count(&rundown) > 1 {
            let end = || loaded().map_or(FinalStatus::Unknown, |driver| finish(driver, ordinal));
            // A panic must not leave this function.
            rundown
                .end(catch_unwind(end).unwrap_or(FinalStatus::Unknown), process_state::is_in_exit);
        }
    }
}

/// Waits for all work of the calling thread's default stream on a device. Ends a capture of it first.
fn finish(driver: &'static Driver, ordinal: u32) -> FinalStatus {
    const OPERATION: &str = "the end of a thread";
    let own: Ptr = stream::PER_THREAD.as_ptr();
    let finish = || {
        let _current = DeviceGuard::enter(driver, ordinal, OPERATION)?;
        // SAFETY: the thread's default stream is live: HIP destroys it after this hook. Its device is current.
        let captured = unsafe { capture::status(driver, own, OPERATION) }?;
        if captured != CaptureStatus::None {
            // The capture ends with the thread in any case, and a record made now would go into it. Some versions
            // refuse to end it here. The status of earlier work is unknown then.
            // SAFETY: the stream is live, and its device is current, for the same reasons.
            let ended = unsafe { capture::end(driver, own, OPERATION) };
            ended.map_err(|_| HipError::ThreadEnded { operation: OPERATION })?;
        }
        // SAFETY: the stream is live, and its device is current, for the same reasons.
        unsafe { stream::finish(driver, own, ordinal, OPERATION) }
    };
    match finish() {
        Ok(()) => FinalStatus::Done,
        Err(HipError::Driver { function, code, .. }) => FinalStatus::Failed(function, code),
        Err(_) => FinalStatus::Unknown,
    }
}
