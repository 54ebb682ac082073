//! Closures on a stream, and what must not happen inside them.
//!
//! The runtime gets a key as user data, never a pointer. A capture that begins between the check and the launch makes
//! the function a node of the graph, which runs with each launch.

use std::ffi::c_void;

use gpu_stream_core::KeepAlive;
use gpu_stream_driver_common::deferred::drop_here;
use gpu_stream_driver_common::host_func::ensure_outside;
use gpu_stream_driver_common::{Deferred, HostFuncs, Panics};

pub(crate) use gpu_stream_driver_common::host_func::is_inside;

use crate::HipError;
use crate::driver::code::HipCode;
use crate::driver::symbols::Ptr;

/// The closures that were launched and have not run.
pub(crate) static HOST_FUNCS: HostFuncs = HostFuncs::new();
/// The streams on which a closure panicked.
pub(crate) static PANICS: Panics = Panics::new();
/// Destructors to run at the end of the next public call.
pub(crate) static DEFERRED: Deferred = Deferred::new();

/// Runs the closure with the key `user_data`. The runtime calls this on one of its threads.
pub(crate) unsafe extern "C" fn run(user_data: *mut c_void) {
    HOST_FUNCS.run(user_data, &PANICS);
}

/// Runs the closure with the key `user_data`, for runtimes without `hipLaunchHostFunc`. Their code is success in each
/// case.
pub(crate) unsafe extern "C" fn run_callback(_stream: Ptr, _code: HipCode, user_data: *mut c_void) {
    HOST_FUNCS.run(user_data, &PANICS);
}

/// Returns an error inside a host function. Blocking there would block the thread that runs all host functions.
pub(crate) fn ensure_outside_host_func(operation: &'static str) -> Result<(), HipError> {
    Ok(ensure_outside(operation)?)
}

/// Drops an owner. Inside a host function, defers the drop to the end of the next call on another thread.
pub(crate) fn drop_owner(owner: KeepAlive) {
    if !owner.is_owned() {
        return;
    }
    if is_inside() { DEFERRED.push(move || drop(owner)) } else { drop_here(owner) }
}
