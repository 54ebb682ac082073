//! Whether this process may call the runtime: not the child of a fork, and not when the process has
//! come so far in its end that the runtime's own end is next.
//!
//! The runtime cannot be used in a child whose parent had started it, and locks of the parent's other
//! threads are held there for ever. And at the end of the process it takes itself down, by functions
//! that were registered before ours; who calls it after that, or is inside, crashes. So there is no
//! runtime from then on: [`driver`](super::driver) is an error, and what is dropped is left alone. A
//! call pays nothing for it, since it looks for the runtime anyway.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
use std::{
    ffi::{CStr, c_int},
    mem::MaybeUninit,
};

use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering};

use gpu_stream_core::{BackendKind, ContractError};

use super::Driver;

/// The runtime, from its start on; null when it must not be called any more.
static DRIVER: AtomicPtr<Driver> = AtomicPtr::new(std::ptr::null_mut());
/// [`RUNNING`], [`FORKED`] or [`ENDING`].
static PROCESS_STATE: AtomicU8 = AtomicU8::new(RUNNING);
/// How many threads that wait for work ask the runtime right now.
static ACTIVE_POLLS: AtomicUsize = AtomicUsize::new(0);

/// See [`end`].
#[cfg(unix)]
const GRACE: std::time::Duration = std::time::Duration::from_millis(5);

/// How long `exit` waits at most: [`end`] for threads that ask, and the end of its thread for calls with
/// events of the thread's own stream.
pub(crate) const LIMIT: std::time::Duration = std::time::Duration::from_millis(100);

const RUNNING: u8 = 0;
const FORKED: u8 = 1;
const ENDING: u8 = 2;

/// The runtime, if it was started and may be called.
#[inline]
pub(super) fn loaded() -> Option<&'static Driver> {
    // SAFETY: it is null, or was made of a `&'static Driver`.
    unsafe { DRIVER.load(Ordering::Acquire).as_ref() }
}

/// From here on it is there for everybody. A second time does nothing.
pub(super) fn started(driver: &'static Driver) {
    static STARTED: AtomicBool = AtomicBool::new(false);
    if STARTED.swap(true, Ordering::SeqCst) {
        return;
    }
    DRIVER.store(std::ptr::from_ref(driver).cast_mut(), Ordering::Release);
    #[cfg(unix)]
    // SAFETY: the function lives as long as this library, and does not unwind. If there is no memory
    // for it, calls go on to the very end; there is nothing better to do.
    unsafe {
        libc::atexit(end)
    };
}

/// An error if the runtime must not be called any more.
pub(super) fn refuse() -> Result<(), ContractError> {
    let backend = BackendKind::Hip;
    match PROCESS_STATE.load(Ordering::SeqCst) {
        FORKED => Err(ContractError::ProcessForked { backend }),
        ENDING => Err(ContractError::ProcessEnding { backend }),
        _ => Ok(()),
    }
}

/// Has forks noticed from now on. Before the runtime is started.
pub(super) fn watch_forks() {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if WATCHED.swap(true, Ordering::SeqCst) {
        return;
    }
    #[cfg(unix)]
    {
        extern "C" fn in_child() {
            PROCESS_STATE.store(FORKED, Ordering::SeqCst);
            DRIVER.store(std::ptr::null_mut(), Ordering::SeqCst);
        }
        // SAFETY: the function only stores to statics, and lives as long as this library. If there is
        // no memory for it, a child is not told from its parent; there is nothing better to do.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    }
}

/// A thread that waits for work and asks for it again and again: while this lives, the process does
/// not come to the runtime's end.
pub(crate) struct PollGuard(());

/// An error if the runtime must not be called any more.
pub(crate) fn begin_poll() -> Result<PollGuard, ContractError> {
    ACTIVE_POLLS.fetch_add(1, Ordering::SeqCst);
    let asking = PollGuard(());
    // Either we see that the end has begun, or it sees us.
    if DRIVER.load(Ordering::SeqCst).is_null() { refuse().map(|()| asking) } else { Ok(asking) }
}

impl Drop for PollGuard {
    fn drop(&mut self) {
        ACTIVE_POLLS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Returns `true` if the calling thread is inside `exit`. It runs the destructors of its thread-local
/// variables there, before the functions of `atexit`, and nothing else tells that from the thread's own
/// end. Also returns `false` if the stack cannot be read.
///
/// Takes some time: it walks the stack.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn is_in_exit() -> bool {
    let mut frames = [std::ptr::null_mut(); 64];
    // SAFETY: `frames` has room for as many addresses as are asked for.
    let count = unsafe { libc::backtrace(frames.as_mut_ptr(), frames.len() as c_int) };
    let count = usize::try_from(count).unwrap_or(0);
    frames.iter().take(count).any(|frame| {
        let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
        // The address is behind the call, which may be the last instruction of a function.
        let call = frame.wrapping_byte_sub(1);
        // SAFETY: takes any address; `info` is a valid out-pointer.
        if unsafe { libc::dladdr(call, info.as_mut_ptr()) } == 0 {
            return false;
        }
        // SAFETY: `dladdr` has written it, and all zeros are a valid value.
        let name = unsafe { info.assume_init() }.dli_sname;
        // SAFETY: the name is null or a C string of a library whose code is on the stack.
        !name.is_null() && unsafe { CStr::from_ptr(name) } == c"exit"
    })
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn is_in_exit() -> bool {
    false
}

/// Called by the C library when the process ends, before what the runtime has registered.
#[cfg(unix)]
extern "C" fn end() {
    if PROCESS_STATE.load(Ordering::SeqCst) == FORKED {
        return;
    }
    PROCESS_STATE.store(ENDING, Ordering::SeqCst);
    DRIVER.store(std::ptr::null_mut(), Ordering::SeqCst);
    // A question that meets another thread's blocked record of a handle that was given out waits for it
    // inside the runtime: so there is a limit.
    let begin = std::time::Instant::now();
    while ACTIVE_POLLS.load(Ordering::SeqCst) > 0 && begin.elapsed() < LIMIT {
        std::thread::yield_now();
    }
    // Threads that are in any other call right now are not counted, which would cost every call. They
    // are out in some microseconds, and so is what the runtime does on threads of its own behind work
    // that has just ended. HIP 7.2 crashed at every third end without this.
    std::thread::sleep(GRACE);
}
