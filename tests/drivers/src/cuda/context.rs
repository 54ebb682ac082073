//! What is current on a thread, contexts, and streams in them: [`ContextGuard`].

use std::ffi::{c_int, c_uint};

use super::driver::{DriverError, Ptr, check, driver, ok};

/// A context that is current until this is dropped. The drop makes the previous one current again.
#[must_use = "the drop makes the previous context current again"]
#[derive(Debug)]
pub struct ContextGuard(Ptr);

impl ContextGuard {
    /// Makes `context` current. It must live as long as the process.
    ///
    /// # Errors
    /// The driver's error.
    pub fn enter(context: Ptr) -> Result<Self, DriverError> {
        let before = current()?;
        // SAFETY: the context lives as long as the process (caller contract).
        check("cuCtxSetCurrent", unsafe { (driver().ctx_set_current)(context) })?;
        Ok(ContextGuard(before))
    }
}

impl Drop for ContextGuard {
    fn drop(&mut self) {
        // Fails if the context was destroyed meanwhile, as by a reset. Then there is nothing to restore.
        // SAFETY: the context was current on this thread before, or is null.
        unsafe { (driver().ctx_set_current)(self.0) };
    }
}

/// Makes `context` current until the result is dropped.
///
/// # Panics
/// If the driver fails.
#[track_caller]
pub fn enter(context: Ptr) -> ContextGuard {
    ContextGuard::enter(context).expect("entering a context")
}

/// Returns the current context, or null.
///
/// # Errors
/// The driver's error.
pub fn current() -> Result<Ptr, DriverError> {
    let mut context = std::ptr::null_mut();
    // SAFETY: `&mut context` is a valid out-pointer.
    check("cuCtxGetCurrent", unsafe { (driver().ctx_current)(&mut context) })?;
    Ok(context)
}

/// Makes a context current, or none.
///
/// # Panics
/// If the driver fails.
#[track_caller]
pub fn set_current(context: Ptr) {
    // SAFETY: the tests' contexts live as long as the process.
    ok("ctx_set_current", unsafe { (driver().ctx_set_current)(context) });
}

/// Returns the thread's capture mode.
///
/// # Errors
/// The driver's error.
pub fn capture_mode() -> Result<c_int, DriverError> {
    let (exchange, mut mode) = (driver().exchange_capture_mode, 0);
    // SAFETY: 0 is a valid mode, and `&mut mode` is a valid pointer to it.
    check("cuThreadExchangeStreamCaptureMode", unsafe { exchange(&mut mode) })?;
    let found = mode;
    // SAFETY: `mode` is the previous mode, which this call restores.
    check("cuThreadExchangeStreamCaptureMode", unsafe { exchange(&mut mode) })?;
    Ok(found)
}

/// Sets the thread's capture mode.
///
/// # Panics
/// If the driver fails.
#[track_caller]
pub fn set_capture_mode(mut mode: c_int) {
    // SAFETY: `&mut mode` is a valid pointer to a valid mode.
    ok("exchange_capture_mode", unsafe { (driver().exchange_capture_mode)(&mut mode) });
}

/// Returns the thread's current context and capture mode.
///
/// # Panics
/// If the driver fails.
#[track_caller]
pub fn thread_state() -> (usize, c_int) {
    (current().expect("the current context").addr(), capture_mode().expect("the capture mode"))
}

/// Returns the driver's handle of a device.
///
/// # Errors
/// The driver's error.
pub fn device_handle(ordinal: c_int) -> Result<c_int, DriverError> {
    let mut device = 0;
    // SAFETY: `&mut device` is a valid out-pointer.
    check("cuDeviceGet", unsafe { (driver().device_get)(&mut device, ordinal) })?;
    Ok(device)
}

/// Retains the primary context of a device. It is never released.
///
/// # Errors
/// The driver's error.
pub fn retain_primary(ordinal: c_int) -> Result<Ptr, DriverError> {
    let (device, mut context) = (device_handle(ordinal)?, std::ptr::null_mut());
    // SAFETY: `&mut context` is a valid out-pointer, and the driver named the device.
    check("cuDevicePrimaryCtxRetain", unsafe { (driver().primary_retain)(&mut context, device) })?;
    Ok(context)
}

/// Creates another context of a device, which is never destroyed. Leaves the current one current.
///
/// # Errors
/// The driver's error.
pub fn create_context(ordinal: c_int) -> Result<Ptr, DriverError> {
    let (device, before) = (device_handle(ordinal)?, current()?);
    let (mut context, mut popped) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: both are valid out-pointers. The new context is pushed, and popped again.
    unsafe {
        check("cuCtxCreate", (driver().ctx_create)(&mut context, 0, device))?;
        check("cuCtxPopCurrent", (driver().ctx_pop)(&mut popped))?;
    }
    assert_eq!((popped, current()?), (context, before), "the stack of contexts");
    Ok(context)
}

/// Creates a stream of a context. Flags 1: it does not synchronize with the default stream.
///
/// # Errors
/// The driver's error.
pub fn create_stream(context: Ptr, flags: c_uint, priority: c_int) -> Result<Ptr, DriverError> {
    let _current = ContextGuard::enter(context)?;
    let (create, mut stream) = (driver().stream_create, std::ptr::null_mut());
    // SAFETY: `&mut stream` is a valid out-pointer, and a context is current.
    check("cuStreamCreateWithPriority", unsafe { create(&mut stream, flags, priority) })?;
    Ok(stream)
}

/// Returns the primary context of the first device.
///
/// # Panics
/// If the driver fails.
#[track_caller]
pub fn primary_context() -> Ptr {
    retain_primary(0).expect("the primary context")
}

/// Creates another context of the first device. Does not leave it current.
///
/// # Panics
/// If the driver fails.
#[track_caller]
pub fn new_context() -> Ptr {
    create_context(0).expect("a context")
}

/// Creates a stream of the context, which is never destroyed. Flags 1: it does not synchronize with
/// the default stream.
///
/// # Panics
/// If the driver fails.
#[track_caller]
pub fn new_stream(context: Ptr, flags: c_uint, priority: c_int) -> Ptr {
    create_stream(context, flags, priority).expect("a stream")
}

/// Creates an event in the current context. Flags 2: without timing.
///
/// # Errors
/// The driver's error.
pub fn create_event(flags: c_uint) -> Result<Ptr, DriverError> {
    let mut event = std::ptr::null_mut();
    // SAFETY: `&mut event` is a valid out-pointer.
    check("cuEventCreate", unsafe { (driver().event_create)(&mut event, flags) })?;
    Ok(event)
}

/// Creates an event in the current context, which only the test itself destroys. Flags 2: without timing.
///
/// # Panics
/// If the driver fails.
#[track_caller]
pub fn new_event(flags: c_uint) -> Ptr {
    create_event(flags).expect("an event")
}

/// Begins a capture on a stream of the primary context: mode 0 is global, 1 thread-local, 2 relaxed.
///
/// # Panics
/// If the driver fails.
#[track_caller]
pub fn begin_capture(stream: Ptr, mode: c_int) {
    let _current = enter(primary_context());
    // SAFETY: the tests' streams are live.
    ok("begin_capture", unsafe { (driver().begin_capture)(stream, mode) });
}
