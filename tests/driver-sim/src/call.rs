//! How every exported function is entered: [`exports`].

use std::ffi::{c_int, c_void};

use gpu_stream_faults::Action;

use crate::codes::Code;
use crate::config::config;
use crate::{state, thread};

/// Any handle.
pub type Ptr = *mut c_void;

/// What a function answers, but for what it writes.
pub type Answer = Result<(), Code>;

/// When a function can be called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Also before `cuInit`, and inside a host function.
    Always,
    /// After `cuInit`, also inside a host function.
    Inside,
    /// After `cuInit`, and not inside a host function.
    Initialized,
}

/// Exported functions: when they can be called, name, arguments, and what they do.
macro_rules! exports {
    ($($when:ident $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block)*) => {$(
        /// As the driver's function of this name.
        ///
        /// # Safety
        /// As the driver's, but for handles, which are looked up.
        #[allow(non_snake_case, reason = "the driver's name")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> ::std::ffi::c_int {
            let body = || -> $crate::call::Answer {
                // SAFETY: whoever calls a function of the driver promises that what it writes to and
                // reads from is there; nothing else here is unsafe.
                #[allow(unused_unsafe, reason = "not all of them have arguments to write to")]
                unsafe { $body }
            };
            $crate::call::enter($crate::call::exports!(@ $when), stringify!($name), body)
        }
    )*};
    (@ always) => { $crate::call::When::Always };
    (@ inside) => { $crate::call::When::Inside };
    (@ ready) => { $crate::call::When::Initialized };
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
    if when != When::Always && !state::is_started() {
        return Code::NOT_INITIALIZED.0;
    }
    if when == When::Initialized && thread::is_inside_host_function() {
        return Code::NOT_PERMITTED.0;
    }
    thread::in_call(name);
    let answer = body();
    match action {
        Action::PassThenAnswer(code) => code,
        _ => answer.err().map_or(0, |code| code.0),
    }
}

/// Writes to a place that the caller named.
///
/// # Safety
/// `place` is null, or a place for a `T`.
pub unsafe fn put<T>(place: *mut T, value: T) -> Answer {
    if place.is_null() {
        return Err(Code::INVALID_VALUE);
    }
    // SAFETY: the caller promises it.
    unsafe { place.write(value) };
    Ok(())
}

/// Likewise, where null means that nobody wants to know.
///
/// # Safety
/// As [`put`].
pub unsafe fn put_if<T>(place: *mut T, value: T) {
    if !place.is_null() {
        // SAFETY: the caller promises it.
        unsafe { place.write(value) };
    }
}
