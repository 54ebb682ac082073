//! The entry of every exported function: [`exports`].

use std::ffi::{c_int, c_void};

use gpu_stream_faults::Action;

use crate::codes::Code;
use crate::config::config;
use crate::{state, thread};

/// Any handle.
pub type Ptr = *mut c_void;

/// The result of a driver function, apart from its out-pointers.
pub type Answer = Result<(), Code>;

/// The conditions under which a function can be called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Also before `cuInit`, and inside a host function.
    Always,
    /// After `cuInit`, also inside a host function.
    Inside,
    /// After `cuInit`, but not inside a host function.
    Initialized,
}

/// Exports driver functions, each with its call condition ([`When`]), name, arguments and body.
macro_rules! exports {
    ($($when:ident $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block)*) => {$(
        /// Simulates the driver's function of this name.
        ///
        /// # Safety
        /// The requirements of the driver's function, except for handles, which are checked.
        #[allow(non_snake_case, reason = "the driver's name")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> ::std::ffi::c_int {
            let body = || -> $crate::call::Answer {
                // SAFETY: the pointers are valid, as the driver's function requires of its caller.
                // The body needs nothing else.
                #[allow(unused_unsafe, reason = "not all of them have arguments to write to")]
                unsafe { $body }
            };
            $crate::call::enter($crate::call::exports!(@ $when), stringify!($name), body)
        }
    )*};
    (@ always) => { $crate::call::When::Always };
    (@ inside) => { $crate::call::When::Inside };
    (@ initialized) => { $crate::call::When::Initialized };
}
pub(crate) use exports;

pub fn enter(when: When, name: &'static str, body: impl FnOnce() -> Answer) -> c_int {
    let action = gpu_stream_faults::on_call(name);
    if let Action::Answer(code) = action {
        return code;
    }
    if config().stub {
        return Code::STUB_LIBRARY.0;
    }
    if when != When::Always && !state::is_initialized() {
        return Code::NOT_INITIALIZED.0;
    }
    if when == When::Initialized && thread::is_inside_host_function() {
        return Code::NOT_PERMITTED.0;
    }
    if config().strict && needs_context(name) && thread::top() == 0 {
        return Code::INVALID_CONTEXT.0;
    }
    thread::set_current_call(name);
    let answer = body();
    action.after_work();
    match action {
        Action::PassThenAnswer(code) => code,
        _ => answer.err().map_or(0, |code| code.0),
    }
}

/// Returns `true` if the function needs a current context with `CUDA_SIM_STRICT`.
fn needs_context(name: &str) -> bool {
    let is_on_object = ["cuStream", "cuEvent", "cuLaunchHostFunc"];
    is_on_object.iter().any(|start| name.starts_with(start)) && !name.contains("Destroy")
}

/// Writes to the caller's out-pointer. Returns an error if it is null.
///
/// # Safety
/// `out` is null or valid for a write of `T`.
pub unsafe fn write_out<T>(out: *mut T, value: T) -> Answer {
    if out.is_null() {
        return Err(Code::INVALID_VALUE);
    }
    // SAFETY: `out` is not null, so it is valid for a write (caller contract).
    unsafe { out.write(value) };
    Ok(())
}

/// Writes to the caller's out-pointer. Does nothing if it is null.
///
/// # Safety
/// `out` is null or valid for a write of `T`.
pub unsafe fn write_optional<T>(out: *mut T, value: T) {
    if !out.is_null() {
        // SAFETY: `out` is not null, so it is valid for a write (caller contract).
        unsafe { out.write(value) };
    }
}
