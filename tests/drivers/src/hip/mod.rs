//! HIP without the backend under test.
//!
//! - [`driver`] returns the table of the runtime's functions.
//! - [`DeviceGuard`] and its module set what is current, and create streams and events.
//! - [`store`], [`copy`], [`wait_for`] and [`arena`] are what a stream can do.
//! - [`Words`] and [`gate`] are the same for a test that panics if the runtime fails.
//!
//! The tests pass handles of live objects. A test that passes another one crashes, and the crash is the
//! report. So functions that take a handle are safe unless they also work on memory.

#![allow(clippy::not_unsafe_ptr_arg_deref, reason = "the tests' handles are live")]

mod capture;
mod device;
mod driver;
mod words;
mod work;

pub use self::capture::{
    CAPTURE_ACTIVE, CapturedGraph, capture_status, end_capture, start_capture,
};
pub use self::device::{
    DeviceGuard, begin_capture, capture_mode, create_event, create_stream, current, enter,
    fetch_error, keeps_errors, new_event, new_stream, peek_error, record, set_capture_mode,
    set_device, synchronize, thread_state, version,
};
pub use self::driver::{
    Callback, Driver, DriverError, HostFn, NOT_READY, Ptr, check, driver, name_of, ok,
};
pub use self::words::{Words, gate, words};
pub use self::work::{arena, block_host_funcs, copy, staging, store, wait_for};
pub use crate::numbers::{Arena, Gate, Number};
