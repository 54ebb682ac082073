//! What is current on a thread, streams and events of a device: [`DeviceGuard`].

use std::ffi::{c_int, c_uint};

use super::driver::{DriverError, Ptr, check, driver, ok};

/// A device that is current until this is dropped. The drop makes the previous one current again.
#[must_use = "the drop makes the previous device current again"]
#[derive(Debug)]
pub struct DeviceGuard(c_int);

impl DeviceGuard {
    /// Makes `device` current.
    ///
    /// # Errors
    /// The runtime's error.
    pub fn enter(device: c_int) -> Result<Self, DriverError> {
        let before = current()?;
        // SAFETY: the function accepts any number.
        check("hipSetDevice", unsafe { (driver().set_device)(device) })?;
        Ok(DeviceGuard(before))
    }
}

impl Drop for DeviceGuard {
    fn drop(&mut self) {
        // SAFETY: the function accepts any number.
        unsafe { (driver().set_device)(self.0) };
    }
}

/// Makes `device` current until the result is dropped.
///
/// # Panics
/// If the runtime fails.
#[track_caller]
pub fn enter(device: c_int) -> DeviceGuard {
    DeviceGuard::enter(device).expect("entering a device")
}

/// Returns the current device.
///
/// # Errors
/// The runtime's error.
pub fn current() -> Result<c_int, DriverError> {
    let mut device = 0;
    // SAFETY: `&mut device` is a valid out-pointer.
    check("hipGetDevice", unsafe { (driver().get_device)(&mut device) })?;
    Ok(device)
}

/// Makes a device current.
///
/// # Panics
/// If the runtime fails.
#[track_caller]
pub fn set_device(device: c_int) {
    // SAFETY: the function accepts any number.
    ok("set_device", unsafe { (driver().set_device)(device) });
}

/// Returns the thread's capture mode.
///
/// # Errors
/// The runtime's error.
pub fn capture_mode() -> Result<c_int, DriverError> {
    let (exchange, mut mode) = (driver().exchange_capture_mode, 0);
    // SAFETY: 0 is a valid mode, and `&mut mode` is a valid pointer to it.
    check("hipThreadExchangeStreamCaptureMode", unsafe { exchange(&mut mode) })?;
    let found = mode;
    // SAFETY: `mode` is the previous mode, which this call restores.
    check("hipThreadExchangeStreamCaptureMode", unsafe { exchange(&mut mode) })?;
    Ok(found)
}

/// Sets the thread's capture mode.
///
/// # Panics
/// If the runtime fails.
#[track_caller]
pub fn set_capture_mode(mut mode: c_int) {
    // SAFETY: `&mut mode` is a valid pointer to a valid mode.
    ok("exchange_capture_mode", unsafe { (driver().exchange_capture_mode)(&mut mode) });
}

/// Returns the thread's current device and capture mode.
///
/// # Panics
/// If the runtime fails.
#[track_caller]
pub fn thread_state() -> (c_int, c_int) {
    (current().expect("the current device"), capture_mode().expect("the capture mode"))
}

/// Returns the runtime's version: 70253211 is 7.2.53211.
///
/// # Panics
/// If the runtime fails.
pub fn version() -> c_int {
    let mut version = 0;
    // SAFETY: `&mut version` is a valid out-pointer.
    ok("runtime_version", unsafe { (driver().runtime_version)(&mut version) });
    version
}

/// Returns `true` if errors stay in `hipGetLastError` until they are fetched.
///
/// # Panics
/// If the runtime fails.
pub fn keeps_errors() -> bool {
    !(1_000_000..70_000_000).contains(&version())
}

/// Returns the thread's last error without clearing it. Any other call may replace it.
pub fn peek_error() -> c_int {
    // SAFETY: the function takes no arguments.
    unsafe { (driver().peek_error)() }
}

/// Returns the thread's last error and clears it.
pub fn fetch_error() -> c_int {
    // SAFETY: the function takes no arguments.
    unsafe { (driver().last_error)() }
}

/// Creates a stream of a device. Flags 1: it does not synchronize with the default stream.
///
/// # Errors
/// The runtime's error.
pub fn create_stream(device: c_int, flags: c_uint, priority: c_int) -> Result<Ptr, DriverError> {
    let _current = DeviceGuard::enter(device)?;
    let (create, mut stream) = (driver().stream_create, std::ptr::null_mut());
    // SAFETY: `&mut stream` is a valid out-pointer.
    check("hipStreamCreateWithPriority", unsafe { create(&mut stream, flags, priority) })?;
    Ok(stream)
}

/// Creates a stream, which only the test itself destroys. Flags 1: it does not synchronize with the
/// default stream.
///
/// # Panics
/// If the runtime fails.
#[track_caller]
pub fn new_stream(device: c_int, flags: c_uint, priority: c_int) -> Ptr {
    create_stream(device, flags, priority).expect("a stream")
}

/// Creates an event on the current device. Flags 2: without timing.
///
/// # Errors
/// The runtime's error.
pub fn create_event(flags: c_uint) -> Result<Ptr, DriverError> {
    let mut event = std::ptr::null_mut();
    // SAFETY: `&mut event` is a valid out-pointer.
    let code = unsafe { (driver().event_create)(&mut event, flags) };
    check("hipEventCreateWithFlags", code)?;
    Ok(event)
}

/// Creates an event on the current device, which only the test itself destroys. Flags 2: without timing.
///
/// # Panics
/// If the runtime fails.
#[track_caller]
pub fn new_event(flags: c_uint) -> Ptr {
    create_event(flags).expect("an event")
}

/// Records an event on a stream of its device.
///
/// # Panics
/// If the runtime fails.
#[track_caller]
pub fn record(event: Ptr, stream: Ptr) {
    // SAFETY: the tests' events and streams are live.
    ok("event_record", unsafe { (driver().event_record)(event, stream) });
}

/// Waits for all work of a stream.
///
/// # Panics
/// If the runtime fails.
#[track_caller]
pub fn synchronize(stream: Ptr) {
    // SAFETY: the tests' streams are live.
    ok("stream_synchronize", unsafe { (driver().stream_synchronize)(stream) });
}

/// Begins a capture: mode 0 is global, 1 thread-local, 2 relaxed.
///
/// # Panics
/// If the runtime fails.
#[track_caller]
pub fn begin_capture(stream: Ptr, mode: c_int) {
    // SAFETY: the tests' streams are live.
    ok("begin_capture", unsafe { (driver().begin_capture)(stream, mode) });
}
