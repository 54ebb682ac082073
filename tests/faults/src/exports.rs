//! The C functions that set the plan, for a library to export:
//! [`export_controls`](crate::export_controls).

use std::ffi::{CStr, c_char};
use std::time::Duration;

use crate::objects;
use crate::plan::{self, Action, Effect, ThreadFilter};

/// Exports the functions that [`Controls`](crate::Controls) resolves. Use it once in the library,
/// at the top of a module.
#[macro_export]
macro_rules! export_controls {
    () => {
        $crate::export_controls! { @
            driver_faults_set(
                call: *const ::core::ffi::c_char, at: u64, threads: u32, effect: u32, code: i32
            ) -> bool;
            driver_faults_clear() -> ();
            driver_faults_watch(threads: u32) -> ();
            driver_faults_seen(text: *mut u8, capacity: usize) -> usize;
            driver_faults_triggered() -> u64;
            driver_faults_await_held(count: u64, timeout_ms: u64) -> bool;
            driver_faults_release() -> ();
            driver_faults_live(kind: *const ::core::ffi::c_char) -> u64;
            driver_faults_wrong() -> u64;
        }
    };
    (@ $($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {$(
        /// A control of the fault plan.
        ///
        /// # Safety
        /// The requirements of the function of this name in `gpu_stream_faults::exports`.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> $answer {
            // SAFETY: the two functions have the same requirements, which the caller meets.
            unsafe { $crate::exports::$name($($argument),*) }
        }
    )*};
}

/// Returns `text` as a string. Returns `None` if it is not UTF-8.
///
/// # Safety
/// `text` is a C string. The result is not used after the C string is freed.
unsafe fn string(text: *const c_char) -> Option<&'static str> {
    // SAFETY: `text` is a C string (caller contract).
    unsafe { CStr::from_ptr(text) }.to_str().ok()
}

fn thread_filter(number: u32) -> Option<ThreadFilter> {
    match number {
        0 => Some(ThreadFilter::All),
        1 => Some(ThreadFilter::Only(plan::this_thread())),
        2 => Some(ThreadFilter::Not(plan::this_thread())),
        _ => None,
    }
}

/// Sets a fault. Returns `false` if `threads` or `effect` is unknown, or `call` is not UTF-8.
///
/// - `threads` is 0 for all threads, 1 for the calling thread, 2 for all other threads.
/// - `effect` is 0 to return `code` without doing the work, 1 to return it after the work, 2 to
///   hold the call before the work, 3 to hold it after the work.
///
/// # Safety
/// `call` is a C string.
pub unsafe fn driver_faults_set(
    call: *const c_char,
    at: u64,
    threads: u32,
    effect: u32,
    code: i32,
) -> bool {
    let effect = match effect {
        0 => Effect::Act(Action::Answer(code)),
        1 => Effect::Act(Action::PassThenAnswer(code)),
        2 => Effect::Hold,
        3 => Effect::PassThenHold,
        _ => return false,
    };
    // SAFETY: `call` is a C string (caller contract), and the result is copied before this function
    // returns.
    let (Some(call), Some(filter)) = (unsafe { string(call) }, thread_filter(threads)) else {
        return false;
    };
    plan::set(call.to_owned(), at, filter, effect);
    true
}

/// Removes all faults, stops recording, and releases the held calls.
///
/// # Safety
/// No requirements.
pub unsafe fn driver_faults_clear() {
    plan::clear();
}

/// Starts to record calls. `threads` has the values of [`driver_faults_set`].
///
/// # Safety
/// No requirements.
pub unsafe fn driver_faults_watch(threads: u32) {
    if let Some(filter) = thread_filter(threads) {
        plan::watch(filter);
    }
}

/// Writes the recorded calls to `text`, one a line, cut at `capacity` bytes. Returns the whole
/// text's length.
///
/// # Safety
/// `text` is valid for writes of `capacity` bytes.
pub unsafe fn driver_faults_seen(text: *mut u8, capacity: usize) -> usize {
    let seen = plan::seen();
    // SAFETY: `text` is valid for `capacity` writes (caller contract), and at most that many bytes
    // are copied.
    unsafe { text.copy_from_nonoverlapping(seen.as_ptr(), capacity.min(seen.len())) };
    seen.len()
}

/// Returns how many calls a fault applied to since the last clear.
///
/// # Safety
/// No requirements.
pub unsafe fn driver_faults_triggered() -> u64 {
    plan::triggered()
}

/// Waits until `count` calls are held. Returns `false` if fewer are held after `timeout_ms`.
///
/// # Safety
/// No requirements.
pub unsafe fn driver_faults_await_held(count: u64, timeout_ms: u64) -> bool {
    plan::await_held(count, Duration::from_millis(timeout_ms))
}

/// Releases the calls that are held now.
///
/// # Safety
/// No requirements.
pub unsafe fn driver_faults_release() {
    plan::release();
}

/// Returns how many objects of `kind` are alive.
///
/// # Safety
/// `kind` is a C string.
pub unsafe fn driver_faults_live(kind: *const c_char) -> u64 {
    // SAFETY: `kind` is a C string (caller contract), and the result is used only during this call.
    unsafe { string(kind) }.map_or(0, objects::live)
}

/// Returns how many times a handle was destroyed that was not alive.
///
/// # Safety
/// No requirements.
pub unsafe fn driver_faults_wrong() -> u64 {
    objects::wrong()
}
