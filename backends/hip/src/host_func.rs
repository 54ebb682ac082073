//! Closures on a stream, and what must not happen inside them.
//!
//! The runtime gets a key as user data, never a pointer. A capture that begins between the check and the launch makes
//! the function a node of the graph, which runs with each launch.

use std::ffi::c_void;

use gpu_stream_driver_common::UserCode;
use gpu_stream_driver_common::host_func::ensure_outside;

pub(crate) use gpu_stream_driver_common::host_func::is_inside;

use crate::HipError;
use crate::code::HipCode;

/// The user code of this backend.
pub(crate) static USER_CODE: UserCode = UserCode::new();

/// Runs the closure with the key `user_data`. The runtime calls this on one of its threads.
pub(crate) unsafe extern "C" fn run(user_data: *mut c_void) {
    USER_CODE.run_host_func(user_data);
}

/// Runs the closure with the key `user_data`, for runtimes without `hipLaunchHostFunc`. Their code is success in each
/// case.
pub(crate) unsafe extern "C" fn run_callback(
    _stream: *mut c_void,
    _code: HipCode,
    user_data: *mut c_void,
) {
    USER_CODE.run_host_func(user_data);
}

/// Returns an error inside a host function. Blocking there would block the thread that runs all host functions.
pub(crate) fn ensure_outside_host_func(operation: &'static str) -> Result<(), HipError> {
    Ok(ensure_outside(operation)?)
}
