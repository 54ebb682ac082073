//! CUDA without the backend under test.
//!
//! - [`driver`] returns the table of the driver's functions.
//! - [`ContextGuard`] and its module set what is current, and create contexts and streams.
//! - [`Kernels`], [`hold`] and [`arena`] are what a stream can do: stores, copies, gates.
//! - [`Space`] puts them together for a test that panics if the driver fails.
//!
//! The tests pass handles of live objects. A test that passes another one crashes, and the crash is the
//! report. So functions that take a handle are safe unless they also take a pointer to memory.

#![allow(clippy::not_unsafe_ptr_arg_deref, reason = "the tests' handles are live")]

mod capture;
mod context;
mod driver;
mod space;
mod work;

pub use self::capture::{
    CAPTURE_ACTIVE, CapturedGraph, capture_status, end_capture, start_capture,
};
pub use self::context::{
    ContextGuard, begin_capture, capture_mode, create_context, create_event, create_stream,
    current, device_handle, enter, new_context, new_event, new_stream, primary_context,
    retain_primary, set_capture_mode, set_current, thread_state,
};
pub use self::driver::{Driver, DriverError, HostFn, NOT_READY, Ptr, check, driver, ok};
pub use self::space::Space;
pub use self::work::{Kernels, PTX, arena, hold};
pub use crate::numbers::{Arena, Gate, Number};
