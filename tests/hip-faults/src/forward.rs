//! One call: ask the plan, pass it on.

use std::ffi::c_int;

use gpu_stream_faults::Action;

use crate::last_error;

/// What a function answers that the real library lacks: `hipErrorNotSupported`.
pub(crate) const NOT_SUPPORTED: c_int = 801;

/// Does what the plan says, with a call of the real function. `real` is told whether the call is to
/// be made at all, and returns what it answered.
pub(crate) fn by_plan(name: &'static str, real: impl FnOnce() -> c_int) -> c_int {
    let (pass, planned) = match gpu_stream_faults::on_call(name) {
        Action::Pass => (true, None),
        Action::Answer(code) => (false, Some(code)),
        Action::PassThenAnswer(code) => (true, Some(code)),
    };
    let mut code = 0;
    if pass {
        code = real();
        last_error::answered(code);
    }
    if let Some(planned) = planned {
        code = planned;
        last_error::planned(code);
    }
    code
}

/// The real function's address, looked up once for each name.
macro_rules! real {
    ($name:literal as $type:ty) => {{
        static FOUND: std::sync::OnceLock<Option<$type>> = std::sync::OnceLock::new();
        // SAFETY: that is the function's type in `hip_runtime_api.h`.
        *FOUND.get_or_init(|| unsafe { $crate::real::find::<$type>($name) })
    }};
}
pub(crate) use real;

/// Functions that answer with a code and are passed on as they are.
macro_rules! forward {
    ($(fn $name:ident($($argument:ident: $type:ty),*);)*) => {$(
        /// As the function of the same name in `hip_runtime_api.h`, by the plan.
        ///
        /// # Safety
        /// As there.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> std::ffi::c_int {
            $crate::forward::by_plan(stringify!($name), || {
                type Function = unsafe extern "C" fn($($type),*) -> std::ffi::c_int;
                let name = const { stringify!($name) };
                static FOUND: std::sync::OnceLock<Option<Function>> = std::sync::OnceLock::new();
                // SAFETY: that is the function's type in `hip_runtime_api.h`.
                let found = FOUND.get_or_init(|| unsafe { $crate::real::find::<Function>(name) });
                match found {
                    // SAFETY: the caller promises what the function asks for.
                    Some(function) => unsafe { function($($argument),*) },
                    None => $crate::forward::NOT_SUPPORTED,
                }
            })
        }
    )*};
}
pub(crate) use forward;
