//! Closures on a stream, and what must not happen inside them.
//!
//! The runtime gets a key as user data, never a pointer. A capture that begins between the check and the launch makes
//! the function a node of the graph, which runs with each launch.

use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use gpu_stream_driver_common::UserCode;
use gpu_stream_driver_common::host_func::ensure_outside;

pub(crate) use gpu_stream_driver_common::host_func::is_inside;

use crate::HipError;
use crate::code::HipCode;

/// The user code of this backend.
pub(crate) static USER_CODE: UserCode = UserCode::new();

/// The number of closures that the runtime's threads have begun to run.
static BEGUN: AtomicUsize = AtomicUsize::new(0);
/// The number of closures that have ended.
static ENDED: AtomicUsize = AtomicUsize::new(0);

/// Returns `true` if a host function of this crate is running, on any stream.
pub(crate) fn any_running() -> bool {
    // Loaded first, so that a function that runs during both loads is seen.
    let ended = ended();
    BEGUN.load(Ordering::SeqCst) != ended
}

/// Returns the number of host functions of this crate that have ended.
pub(crate) fn ended() -> usize {
    ENDED.load(Ordering::SeqCst)
}

/// Returns a number that identifies the wrapper of a stream and its clones, where the runtime has no stream ids. It is
/// never 0, 1 or 2, which are handles of default streams.
#[inline]
pub(crate) fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(3);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Runs the closure with the key `user_data`. The runtime calls this on one of its threads.
pub(crate) unsafe extern "C" fn run(user_data: *mut c_void) {
    run_counted(user_data);
}

/// Runs the closure with the key `user_data`, for runtimes without `hipLaunchHostFunc`. Their code is success in each
/// case.
pub(crate) unsafe extern "C" fn run_callback(
    _stream: *mut c_void,
    _code: HipCode,
    user_data: *mut c_void,
) {
    run_counted(user_data);
}

/// Runs the closure with the key `user_data`, and counts it. A panic is caught inside.
fn run_counted(user_data: *mut c_void) {
    BEGUN.fetch_add(1, Ordering::SeqCst);
    USER_CODE.run_host_func(user_data);
    ENDED.fetch_add(1, Ordering::SeqCst);
}

/// Returns an error inside a host function. Blocking there would block the thread that runs all host functions.
pub(crate) fn ensure_outside_host_func(operation: &'static str) -> Result<(), HipError> {
    Ok(ensure_outside(operation)?)
}
