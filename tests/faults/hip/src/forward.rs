//! Forwarding of one call: asks the plan, then calls the real function.

use std::ffi::c_int;

use gpu_stream_faults::Action;

use crate::last_error;

/// `hipErrorNotSupported`: the answer of a function that the real library lacks.
pub(crate) const NOT_SUPPORTED: c_int = 801;

/// `hipErrorContextIsDestroyed`: the answer to a handle that is not alive.
pub(crate) const CONTEXT_IS_DESTROYED: c_int = 709;

/// Does what the plan prescribes for the function `name`. Calls `real` unless the plan forbids the
/// work.
pub(crate) fn follow_plan(name: &'static str, real: impl FnOnce() -> c_int) -> c_int {
    let action = gpu_stream_faults::on_call(name);
    let (pass, planned) = match action {
        Action::Pass | Action::PassThenHold(_) => (true, None),
        Action::Answer(code) => (false, Some(code)),
        Action::PassThenAnswer(code) => (true, Some(code)),
    };
    let mut code = 0;
    if pass {
        code = real();
        last_error::record_answer(code);
        action.after_work();
    }
    if let Some(planned) = planned {
        code = planned;
        last_error::set_planned(code);
    }
    code
}

/// Resolves the real function's address, once for each use.
macro_rules! real {
    ($name:literal as $type:ty) => {{
        static FOUND: std::sync::OnceLock<Option<$type>> = std::sync::OnceLock::new();
        // SAFETY: `hip_runtime_api.h` declares the function with this type.
        *FOUND.get_or_init(|| unsafe { $crate::real::find::<$type>($name) })
    }};
}
pub(crate) use real;

/// Exports functions that return a code and are forwarded unchanged. With `[check]`, a call is forwarded
/// only if the check passes. With `[check, after]`, the second function gets the code of the real one.
macro_rules! forward {
    ($(fn $name:ident($($argument:ident: $type:ty),*) $([$check:expr $(, $after:expr)?])?;)*) => {$(
        /// Forwards to the function of the same name in `hip_runtime_api.h`, subject to the plan.
        ///
        /// # Safety
        /// The requirements of that function.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> std::ffi::c_int {
            $crate::forward::follow_plan(stringify!($name), || {
                type Function = unsafe extern "C" fn($($type),*) -> std::ffi::c_int;
                let name = const { stringify!($name) };
                static FOUND: std::sync::OnceLock<Option<Function>> = std::sync::OnceLock::new();
                // SAFETY: `hip_runtime_api.h` declares the function with this type.
                let found = FOUND.get_or_init(|| unsafe { $crate::real::find::<Function>(name) });
                let Some(function) = found else { return $crate::forward::NOT_SUPPORTED };
                $(if !$check {
                    return $crate::forward::CONTEXT_IS_DESTROYED;
                })?
                // SAFETY: the caller meets the function's requirements.
                let code = unsafe { function($($argument),*) };
                $($($after(code);)?)?
                code
            })
        }
    )*};
}
pub(crate) use forward;
