//! OpenCL without the backend under test.
//!
//! The tests pass handles of live objects. A test that passes another one crashes, and the crash is the report.

#![allow(clippy::not_unsafe_ptr_arg_deref, reason = "the tests' handles are live")]

mod calls;

use std::ffi::{c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

use gpu_stream_core::Backend as _;
use gpu_stream_opencl::OpenCl;

pub use self::calls::{barrier, end_time, flush, host_func, marker, wait_for};
pub use crate::driver::{DriverError, Ptr};
use crate::driver::{SUCCESS, open_loaded};

macro_rules! table {
    ($($field:ident = $name:literal ($($argument:ty),*) -> $answer:ty;)*) => {
        /// The functions of OpenCL, with the signatures of `cl.h`.
        struct Driver {
            $($field: unsafe extern "C" fn($($argument),*) -> $answer,)*
        }

        impl Driver {
            fn load() -> Result<Self, String> {
                let info = OpenCl::probe().map_err(|error| error.to_string())?;
                // Behind a layer that plays faults (`tests/faults/opencl`), the direct calls go past it.
                let real = std::env::var("OPENCL_FAULTS_REAL").ok().filter(|name| !name.is_empty());
                let library = open_loaded(&real.or(info.library).unwrap_or_default())?;
                Ok(Driver { $(
                    // SAFETY: the type is the function's signature in `cl.h`. The library is never closed.
                    $field: *unsafe { library.get($name) }.map_err(|error| error.to_string())?,
                )* })
            }
        }
    };
}

table! {
    queue_create = "clCreateCommandQueue" (Ptr, Ptr, u64, *mut c_int) -> Ptr;
    queue_retain = "clRetainCommandQueue" (Ptr) -> c_int;
    queue_release = "clReleaseCommandQueue" (Ptr) -> c_int;
    queue_info = "clGetCommandQueueInfo" (Ptr, u32, usize, *mut c_void, *mut usize) -> c_int;
    finish = "clFinish" (Ptr) -> c_int;
    flush = "clFlush" (Ptr) -> c_int;
    barrier = "clEnqueueBarrierWithWaitList" (Ptr, u32, *const Ptr, *mut Ptr) -> c_int;
    marker = "clEnqueueMarkerWithWaitList" (Ptr, u32, *const Ptr, *mut Ptr) -> c_int;
    fill = "clEnqueueFillBuffer"
        (Ptr, Ptr, *const c_void, usize, usize, usize, u32, *const Ptr, *mut Ptr) -> c_int;
    copy = "clEnqueueCopyBuffer" (Ptr, Ptr, Ptr, usize, usize, usize, u32, *const Ptr, *mut Ptr) -> c_int;
    read = "clEnqueueReadBuffer"
        (Ptr, Ptr, u32, usize, usize, *mut c_void, u32, *const Ptr, *mut Ptr) -> c_int;
    buffer_create = "clCreateBuffer" (Ptr, u64, usize, *mut c_void, *mut c_int) -> Ptr;
    buffer_release = "clReleaseMemObject" (Ptr) -> c_int;
    event_release = "clReleaseEvent" (Ptr) -> c_int;
    event_info = "clGetEventInfo" (Ptr, u32, usize, *mut c_void, *mut usize) -> c_int;
    event_retain = "clRetainEvent" (Ptr) -> c_int;
    event_wait = "clWaitForEvents" (u32, *const Ptr) -> c_int;
    event_profiling = "clGetEventProfilingInfo" (Ptr, u32, usize, *mut c_void, *mut usize) -> c_int;
    event_callback = "clSetEventCallback"
        (Ptr, c_int, unsafe extern "C" fn(Ptr, c_int, *mut c_void), *mut c_void) -> c_int;
    context_create = "clCreateContext"
        (*const isize, u32, *const Ptr, *const c_void, *mut c_void, *mut c_int) -> Ptr;
    context_release = "clReleaseContext" (Ptr) -> c_int;
    sub_devices = "clCreateSubDevices" (Ptr, *const isize, u32, *mut Ptr, *mut u32) -> c_int;
    user_event_create = "clCreateUserEvent" (Ptr, *mut c_int) -> Ptr;
    user_event_set = "clSetUserEventStatus" (Ptr, c_int) -> c_int;
}

/// The properties of a queue: in order, with or without timing.
pub const IN_ORDER: u64 = 0;
/// `CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE`.
pub const OUT_OF_ORDER: u64 = 1;
/// `CL_QUEUE_PROFILING_ENABLE`.
pub const PROFILING: u64 = 2;

const QUEUE_REFERENCES: u32 = 0x1092;
const QUEUE_CONTEXT: u32 = 0x1090;
const QUEUE_DEVICE: u32 = 0x1091;
const EVENT_STATUS: u32 = 0x11D3;
const COPY_HOST: u64 = 1 << 5;
const WORD: usize = size_of::<u32>();

fn driver() -> Result<&'static Driver, DriverError> {
    static DRIVER: OnceLock<Option<Driver>> = OnceLock::new();
    let driver = DRIVER.get_or_init(|| Driver::load().ok()).as_ref();
    driver.ok_or(DriverError { function: "loading OpenCL", code: -1001, name_of })
}

fn name_of(_: c_int) -> Option<String> {
    None
}

fn check(function: &'static str, code: c_int) -> Result<(), DriverError> {
    match code {
        SUCCESS => Ok(()),
        code => Err(DriverError { function, code, name_of }),
    }
}

/// Creates a queue.
///
/// # Errors
/// What OpenCL returns.
pub fn create_queue(context: Ptr, device: Ptr, properties: u64) -> Result<Ptr, DriverError> {
    let mut code = 0;
    // SAFETY: the handles are live, and `&mut code` is a valid out-pointer.
    let queue = unsafe { (driver()?.queue_create)(context, device, properties, &mut code) };
    check("clCreateCommandQueue", code).map(|()| queue)
}

/// Creates a context of one device. [`release_context`] releases it.
///
/// # Errors
/// What OpenCL returns.
pub fn create_context(device: Ptr) -> Result<Ptr, DriverError> {
    let mut code = 0;
    // SAFETY: the device is live, and one is given. `&mut code` is a valid out-pointer.
    let context =
        unsafe { (driver()?.context_create)(null(), 1, &device, null(), null_mut(), &mut code) };
    check("clCreateContext", code).map(|()| context)
}

/// Releases a reference of a context.
///
/// # Errors
/// What OpenCL returns.
pub fn release_context(context: Ptr) -> Result<(), DriverError> {
    // SAFETY: the context is live.
    check("clReleaseContext", unsafe { (driver()?.context_release)(context) })
}

/// Divides a device into parts of one compute unit each, and returns the first part.
///
/// # Errors
/// What OpenCL returns: `CL_DEVICE_PARTITION_FAILED` (-18) for a device that cannot be divided.
pub fn sub_device(device: Ptr) -> Result<Ptr, DriverError> {
    let equally: [isize; 3] = [0x1086, 1, 0];
    let (driver, mut count) = (driver()?, 0);
    // SAFETY: the device is live, and the list ends with 0. No room is given.
    let code = unsafe { (driver.sub_devices)(device, equally.as_ptr(), 0, null_mut(), &mut count) };
    check("clCreateSubDevices", code)?;
    let mut parts = vec![null_mut(); count as usize];
    let room = parts.as_mut_ptr();
    // SAFETY: the device is live, the list ends with 0, and there is room for `count` parts.
    let code = unsafe { (driver.sub_devices)(device, equally.as_ptr(), count, room, null_mut()) };
    check("clCreateSubDevices", code)?;
    parts.first().copied().ok_or(DriverError { function: "clCreateSubDevices", code: -18, name_of })
}

/// Adds a reference to a queue.
///
/// # Errors
/// What OpenCL returns.
pub fn retain_queue(queue: Ptr) -> Result<(), DriverError> {
    // SAFETY: the queue is live.
    check("clRetainCommandQueue", unsafe { (driver()?.queue_retain)(queue) })
}

/// Releases a reference of a queue.
///
/// # Errors
/// What OpenCL returns.
pub fn release_queue(queue: Ptr) -> Result<(), DriverError> {
    // SAFETY: the queue is live.
    check("clReleaseCommandQueue", unsafe { (driver()?.queue_release)(queue) })
}

fn info<T>(queue: Ptr, number: u32, mut value: T) -> Result<T, DriverError> {
    let room = (&raw mut value).cast();
    // SAFETY: the queue is live, and the callers give the fact's type.
    let code = unsafe { (driver()?.queue_info)(queue, number, size_of::<T>(), room, null_mut()) };
    check("clGetCommandQueueInfo", code).map(|()| value)
}

/// Returns the number of references to a queue.
///
/// # Errors
/// What OpenCL returns.
pub fn references(queue: Ptr) -> Result<u32, DriverError> {
    info(queue, QUEUE_REFERENCES, 0)
}

/// Returns the device of a queue.
///
/// # Errors
/// What OpenCL returns.
pub fn device_of(queue: Ptr) -> Result<Ptr, DriverError> {
    info(queue, QUEUE_DEVICE, null_mut())
}

/// Returns the context of a queue.
///
/// # Errors
/// What OpenCL returns.
pub fn context_of(queue: Ptr) -> Result<Ptr, DriverError> {
    info(queue, QUEUE_CONTEXT, null_mut())
}

/// Blocks until all work of a queue is done.
///
/// # Errors
/// What OpenCL returns.
pub fn finish(queue: Ptr) -> Result<(), DriverError> {
    // SAFETY: the queue is live.
    check("clFinish", unsafe { (driver()?.finish)(queue) })
}

/// Enqueues a marker, flushes the queue, and returns the marker's event.
///
/// # Errors
/// What OpenCL returns.
pub fn record(queue: Ptr) -> Result<Ptr, DriverError> {
    let event = marker(queue)?;
    flush(queue).map(|()| event)
}

/// Returns `true` if an event is complete.
///
/// # Errors
/// What OpenCL returns.
pub fn is_complete(event: Ptr) -> Result<bool, DriverError> {
    let mut status: c_int = 1;
    let room = (&raw mut status).cast();
    // SAFETY: the event is live, and the status is an `int`.
    let code = unsafe { (driver()?.event_info)(event, EVENT_STATUS, WORD, room, null_mut()) };
    check("clGetEventInfo", code).map(|()| status == 0)
}

/// Creates a user event, which is not complete.
///
/// # Errors
/// What OpenCL returns.
pub fn create_user_event(context: Ptr) -> Result<Ptr, DriverError> {
    let mut code = 0;
    // SAFETY: the context is live, and `&mut code` is a valid out-pointer.
    let event = unsafe { (driver()?.user_event_create)(context, &mut code) };
    check("clCreateUserEvent", code).map(|()| event)
}

/// Completes a user event.
///
/// # Errors
/// What OpenCL returns.
pub fn complete_user_event(event: Ptr) -> Result<(), DriverError> {
    // SAFETY: the event is live.
    check("clSetUserEventStatus", unsafe { (driver()?.user_event_set)(event, SUCCESS) })
}

/// Adds a reference to an event.
///
/// # Errors
/// What OpenCL returns.
pub fn retain_event(event: Ptr) -> Result<(), DriverError> {
    // SAFETY: the event is live.
    check("clRetainEvent", unsafe { (driver()?.event_retain)(event) })
}

/// Releases a reference of an event.
///
/// # Errors
/// What OpenCL returns.
pub fn release_event(event: Ptr) -> Result<(), DriverError> {
    // SAFETY: the event is live.
    check("clReleaseEvent", unsafe { (driver()?.event_release)(event) })
}

/// A user event that holds a queue back. Dropping it opens it.
#[derive(Debug)]
pub struct Gate {
    event: usize,
    opened: OnceLock<()>,
}

impl Gate {
    /// Holds later work of a queue back.
    ///
    /// # Errors
    /// What OpenCL returns.
    pub fn shut(context: Ptr, queue: Ptr) -> Result<Self, DriverError> {
        let driver = driver()?;
        let event = create_user_event(context)?;
        let gate = Gate { event: event.expose_provenance(), opened: OnceLock::new() };
        // SAFETY: the queue and the event are live, and of one context.
        let code = unsafe { (driver.barrier)(queue, 1, &event, null_mut()) };
        check("clEnqueueBarrierWithWaitList", code)?;
        // SAFETY: the queue is live.
        check("clFlush", unsafe { (driver.flush)(queue) })?;
        Ok(gate)
    }

    fn event(&self) -> Ptr {
        std::ptr::with_exposed_provenance_mut(self.event)
    }

    /// Opens the gate. A second call does nothing.
    pub fn open(&self) {
        self.opened.get_or_init(|| {
            if let Ok(driver) = driver() {
                // SAFETY: the event is live, and its status is set once.
                unsafe { (driver.user_event_set)(self.event(), 0) };
            }
        });
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
        // A failure cannot be reported here, and leaks the event.
        let _ = release_event(self.event());
    }
}

/// A number in a buffer of one context.
#[derive(Debug)]
pub struct Number {
    buffer: usize,
}

impl Number {
    /// Creates a number.
    ///
    /// # Errors
    /// What OpenCL returns.
    pub fn new(context: Ptr, mut value: u32) -> Result<Self, DriverError> {
        let (start, mut code) = ((&raw mut value).cast(), 0);
        // SAFETY: the context is live, and the value is copied before the call returns.
        let buffer =
            unsafe { (driver()?.buffer_create)(context, COPY_HOST, WORD, start, &mut code) };
        check("clCreateBuffer", code)?;
        Ok(Number { buffer: buffer.expose_provenance() })
    }

    fn buffer(&self) -> Ptr {
        std::ptr::with_exposed_provenance_mut(self.buffer)
    }

    /// Enqueues a store.
    ///
    /// # Errors
    /// What OpenCL returns.
    pub fn store(&self, queue: Ptr, value: u32) -> Result<(), DriverError> {
        let (driver, start) = (driver()?, (&raw const value).cast());
        // SAFETY: the handles are live. The pattern is copied before the call returns.
        let code = unsafe {
            (driver.fill)(queue, self.buffer(), start, WORD, 0, WORD, 0, null(), null_mut())
        };
        check("clEnqueueFillBuffer", code)?;
        // SAFETY: the queue is live.
        check("clFlush", unsafe { (driver.flush)(queue) })
    }

    /// Enqueues a copy of this number into another one.
    ///
    /// # Errors
    /// What OpenCL returns.
    pub fn copy(&self, queue: Ptr, to: &Number) -> Result<(), DriverError> {
        let (driver, from, to) = (driver()?, self.buffer(), to.buffer());
        // SAFETY: the handles are live.
        let code = unsafe { (driver.copy)(queue, from, to, 0, 0, WORD, 0, null(), null_mut()) };
        check("clEnqueueCopyBuffer", code)?;
        // SAFETY: the queue is live.
        check("clFlush", unsafe { (driver.flush)(queue) })
    }

    /// Returns the number, by a queue that nothing else uses.
    ///
    /// # Errors
    /// What OpenCL returns.
    pub fn load(&self, queue: Ptr) -> Result<u32, DriverError> {
        let mut value = 0_u32;
        let room = (&raw mut value).cast();
        // SAFETY: the handles are live. The call blocks until the value is written.
        let code = unsafe {
            (driver()?.read)(queue, self.buffer(), 1, 0, WORD, room, 0, null(), null_mut())
        };
        check("clEnqueueReadBuffer", code).map(|()| value)
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        if let Ok(driver) = driver() {
            // SAFETY: the buffer is live. Work that uses it keeps it.
            unsafe { (driver.buffer_release)(self.buffer()) };
        }
    }
}
