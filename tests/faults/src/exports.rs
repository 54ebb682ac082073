//! The C functions by which a test sets the plan: [`export_controls`](crate::export_controls).

use std::ffi::{CStr, c_char};
use std::time::Duration;

use crate::objects;
use crate::plan::{self, Action, Effect, Who};

/// Exports the functions that [`Controls`](crate::Controls) looks for. Once in the library, at the
/// top of a module.
#[macro_export]
macro_rules! export_controls {
    () => {
        $crate::export_controls! { @
            driver_faults_set(
                call: *const ::core::ffi::c_char, at: u64, who: u32, effect: u32, code: i32
            ) -> bool;
            driver_faults_clear() -> ();
            driver_faults_watch(who: u32) -> ();
            driver_faults_seen(text: *mut u8, room: usize) -> usize;
            driver_faults_struck() -> u64;
            driver_faults_await_held(count: u64, at_most_ms: u64) -> bool;
            driver_faults_release() -> ();
            driver_faults_live(kind: *const ::core::ffi::c_char) -> u64;
            driver_faults_wrong() -> u64;
        }
    };
    (@ $($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {$(
        /// A control of the fault plan.
        ///
        /// # Safety
        /// As the function of the same name in driver-faults says.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> $answer {
            // SAFETY: the caller promises the same.
            unsafe { $crate::exports::$name($($argument),*) }
        }
    )*};
}

/// `text` as a string, if it is one.
///
/// # Safety
/// A C string.
unsafe fn string(text: *const c_char) -> Option<&'static str> {
    // SAFETY: the caller promises it. It is used only during the call.
    unsafe { CStr::from_ptr(text) }.to_str().ok()
}

fn who(number: u32) -> Option<Who> {
    match number {
        0 => Some(Who::All),
        1 => Some(Who::Only(plan::this_thread())),
        2 => Some(Who::Not(plan::this_thread())),
        _ => None,
    }
}

/// Sets a fault. `who` is 0 for all threads, 1 for the calling one, 2 for all others; `effect` is 0
/// for an answer, 1 for one after the work was done, 2 for a call that is held. False if that is
/// none of these.
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
        _ => return false,
    };
    // SAFETY: the caller promises it.
    let (Some(call), Some(who)) = (unsafe { string(call) }, who(threads)) else { return false };
    plan::set(call.to_owned(), at, who, effect);
    true
}

/// Forgets all faults and the watch, and lets go what is held.
///
/// # Safety
/// None is needed.
pub unsafe fn driver_faults_clear() {
    plan::clear();
}

/// Notes the calls from here on; `threads` as in [`driver_faults_set`].
///
/// # Safety
/// None is needed.
pub unsafe fn driver_faults_watch(threads: u32) {
    if let Some(who) = who(threads) {
        plan::watch(who);
    }
}

/// Writes the calls that were noted, a line each, as far as there is room. How long the text is.
///
/// # Safety
/// `text` has room for `room` bytes.
pub unsafe fn driver_faults_seen(text: *mut u8, room: usize) -> usize {
    let seen = plan::seen();
    // SAFETY: the caller promises the room, and no more than that is written.
    unsafe { text.copy_from_nonoverlapping(seen.as_ptr(), room.min(seen.len())) };
    seen.len()
}

/// How many calls met a fault since the last clear.
///
/// # Safety
/// None is needed.
pub unsafe fn driver_faults_struck() -> u64 {
    plan::triggered()
}

/// Waits until so many calls are held, but no longer than the time. Whether they are.
///
/// # Safety
/// None is needed.
pub unsafe fn driver_faults_await_held(count: u64, at_most_ms: u64) -> bool {
    plan::await_held(count, Duration::from_millis(at_most_ms))
}

/// Lets go the calls that are held now.
///
/// # Safety
/// None is needed.
pub unsafe fn driver_faults_release() {
    plan::release();
}

/// How many objects of the kind are alive.
///
/// # Safety
/// `kind` is a C string.
pub unsafe fn driver_faults_live(kind: *const c_char) -> u64 {
    // SAFETY: the caller promises it.
    unsafe { string(kind) }.map_or(0, objects::live)
}

/// How many objects were destroyed that were not there.
///
/// # Safety
/// None is needed.
pub unsafe fn driver_faults_wrong() -> u64 {
    objects::wrong()
}
