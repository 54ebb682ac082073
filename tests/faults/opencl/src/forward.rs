//! Forwarding of one call: asks the plan, then calls the real function.

use std::ffi::{c_int, c_void};

use gpu_stream_faults::Action;

/// Any handle.
pub(crate) type Ptr = *mut c_void;

/// `CL_INVALID_OPERATION`: the answer of a function that the real loader lacks.
pub(crate) const INVALID_OPERATION: c_int = -59;

/// Does what the plan prescribes for the function `name`, and returns the code for the caller. Calls `real` unless the
/// plan forbids the work.
pub(crate) fn follow_plan(name: &'static str, real: impl FnOnce() -> c_int) -> c_int {
    let action = gpu_stream_faults::on_call(name);
    match action {
        Action::Answer(code) => code,
        Action::PassThenAnswer(code) => {
            let _ = real();
            code
        }
        Action::Pass | Action::PassThenHold(_) => {
            let code = real();
            action.after_work();
            code
        }
    }
}

/// Does what the plan prescribes for a function that returns an object and writes its code to `answer`. Returns null
/// with every code but success.
///
/// # Safety
/// - `answer` is null or a valid out-pointer.
pub(crate) unsafe fn follow_plan_of_object(
    name: &'static str,
    answer: *mut c_int,
    real: impl FnOnce(&mut c_int) -> Ptr,
) -> Ptr {
    let mut object = std::ptr::null_mut();
    let code = follow_plan(name, || {
        let mut code = 0;
        object = real(&mut code);
        code
    });
    if !answer.is_null() {
        // SAFETY: `answer` is a valid out-pointer (caller contract).
        unsafe { answer.write(code) };
    }
    if code == 0 { object } else { std::ptr::null_mut() }
}

/// Resolves the real function of this type, once for each use.
macro_rules! real {
    ($name:expr, fn($($argument:ty),*) -> $answer:ty) => {{
        type Function = unsafe extern "C" fn($($argument),*) -> $answer;
        static FOUND: std::sync::OnceLock<Option<Function>> = std::sync::OnceLock::new();
        // SAFETY: `cl.h` declares the function with this type.
        *FOUND.get_or_init(|| unsafe { $crate::real::find::<Function>($name) })
    }};
}
pub(crate) use real;

/// Exports functions that return a code. With `[check]`, a call is forwarded only if the check returns no code. With
/// `[check, after]`, the second function gets the code of the real one, and returns the code for the caller.
macro_rules! forward {
    ($(fn $name:ident($($argument:ident: $type:ty),*) $([$check:expr $(, $after:expr)?])?;)*) => {$(
        /// Forwards to the function of the same name in `cl.h`, subject to the plan.
        ///
        /// # Safety
        /// The requirements of that function.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> std::ffi::c_int {
            $crate::forward::follow_plan(stringify!($name), || {
                let found = $crate::forward::real!(stringify!($name), fn($($type),*) -> std::ffi::c_int);
                let Some(function) = found else { return $crate::forward::INVALID_OPERATION };
                $(if let Some(code) = $check {
                    return code;
                })?
                // SAFETY: the caller meets the function's requirements.
                let code = unsafe { function($($argument),*) };
                $($(let code = $after(code);)?)?
                code
            })
        }
    )*};
}
pub(crate) use forward;
