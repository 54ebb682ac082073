//! The functions that the layer exports.
//!
//! Types are those of `cl.h`, with every handle a bare pointer and every code an integer.

use std::ffi::{c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use gpu_stream_faults::{gone, retained, used};

use crate::forward::{INVALID_OPERATION, Ptr, follow_plan, follow_plan_of_object, forward, real};

/// The callback of `clSetEventCallback`.
type EventCallback = unsafe extern "C" fn(Ptr, c_int, *mut c_void);

const INVALID_QUEUE: c_int = -36;
const INVALID_EVENT: c_int = -58;

/// Returns the code for a command on a queue to which the caller has no reference.
fn queue(queue: Ptr) -> Option<c_int> {
    (!used("stream", queue.addr())).then_some(INVALID_QUEUE)
}

/// Returns the code for the use of an event to which the caller has no reference.
fn event(event: Ptr) -> Option<c_int> {
    (!used("event", event.addr())).then_some(INVALID_EVENT)
}

/// Returns the code for a list with an event to which the caller has no reference.
///
/// # Safety
/// - `list` has `count` entries.
unsafe fn events(count: u32, list: *const Ptr) -> Option<c_int> {
    // SAFETY: the index is below `count`, and the list has as many entries (caller contract).
    (0..count as usize).find_map(|index| event(unsafe { list.add(index).read() }))
}

/// Counts a reference if `code` is success. Returns the code.
fn retain(kind: &'static str, object: Ptr, code: c_int) -> c_int {
    if code == 0 && !object.is_null() {
        retained(kind, object.addr());
    }
    code
}

/// Counts a reference to the object at `out`, unless it is null or `code` is not success. Returns the code.
///
/// # Safety
/// - `out` is null, or points to the object if `code` is success.
unsafe fn retain_out(kind: &'static str, out: *mut Ptr, code: c_int) -> c_int {
    if code != 0 || out.is_null() {
        return code;
    }
    // SAFETY: `out` points to the object (caller contract).
    retain(kind, unsafe { out.read() }, code)
}

/// Takes a reference away, before the release. Returns `invalid` if there is none.
fn release(kind: &'static str, object: Ptr, invalid: c_int) -> Option<c_int> {
    (!gone(kind, object.addr())).then_some(invalid)
}

/// Counts the reference again if the release failed. Returns the code.
fn released(kind: &'static str, object: Ptr, code: c_int) -> c_int {
    if code != 0 {
        retained(kind, object.addr());
    }
    code
}

forward! {
    fn clGetPlatformIDs(room: u32, platforms: *mut Ptr, count: *mut u32);
    fn clGetPlatformInfo(platform: Ptr, fact: u32, size: usize, room: *mut c_void, needed: *mut usize);
    fn clGetDeviceIDs(platform: Ptr, types: u64, room: u32, devices: *mut Ptr, count: *mut u32);
    fn clRetainContext(context: Ptr) [None, |code| retain("context", context, code)];
    fn clReleaseContext(context: Ptr) [release("context", context, -34), |code| released("context", context, code)];
    fn clRetainCommandQueue(queue: Ptr) [None, |code| retain("stream", queue, code)];
    fn clReleaseCommandQueue(queue: Ptr)
        [release("stream", queue, INVALID_QUEUE), |code| released("stream", queue, code)];
    fn clGetCommandQueueInfo(queue: Ptr, fact: u32, size: usize, room: *mut c_void, needed: *mut usize);
    fn clFlush(queue: Ptr);
    fn clFinish(queue: Ptr);
    fn clEnqueueMarkerWithWaitList(of: Ptr, count: u32, list: *const Ptr, made: *mut Ptr)
        // SAFETY: the list has `count` entries, and `made` is null or a valid out-pointer (caller contract).
        [queue(of).or(unsafe { events(count, list) }), |code| unsafe { retain_out("event", made, code) }];
    fn clEnqueueBarrierWithWaitList(of: Ptr, count: u32, list: *const Ptr, made: *mut Ptr)
        // SAFETY: the list has `count` entries, and `made` is null or a valid out-pointer (caller contract).
        [queue(of).or(unsafe { events(count, list) }), |code| unsafe { retain_out("event", made, code) }];
    fn clRetainEvent(event: Ptr) [None, |code| retain("event", event, code)];
    fn clReleaseEvent(event: Ptr) [release("event", event, INVALID_EVENT), |code| released("event", event, code)];
    fn clGetEventInfo(of: Ptr, fact: u32, size: usize, room: *mut c_void, needed: *mut usize) [event(of)];
    fn clGetEventProfilingInfo(of: Ptr, fact: u32, size: usize, room: *mut c_void, needed: *mut usize) [event(of)];
    // SAFETY: the list has `count` entries (caller contract).
    fn clWaitForEvents(count: u32, list: *const Ptr) [unsafe { events(count, list) }];
    fn clSetUserEventStatus(of: Ptr, status: c_int) [event(of)];
}

/// Exports functions that return a new object, and write their code to the last argument.
macro_rules! creating {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $kind:literal;)*) => {$(
        /// Forwards to the function of the same name in `cl.h`, subject to the plan. Counts a reference to the new
        /// object.
        ///
        /// # Safety
        /// The requirements of that function.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type,)* answer: *mut c_int) -> Ptr {
            let real = |code: &mut c_int| {
                let found = real!(stringify!($name), fn($($type,)* *mut c_int) -> Ptr);
                let Some(function) = found else {
                    *code = INVALID_OPERATION;
                    return std::ptr::null_mut();
                };
                // SAFETY: the caller meets the function's requirements, and `code` is a valid out-pointer.
                let object = unsafe { function($($argument,)* code) };
                retain($kind, object, *code);
                object
            };
            // SAFETY: `answer` is null or a valid out-pointer (caller contract).
            unsafe { follow_plan_of_object(stringify!($name), answer, real) }
        }
    )*};
}

creating! {
    fn clCreateContext(
        properties: *const isize, count: u32, devices: *const Ptr, notify: *const c_void, data: *mut c_void
    ) -> "context";
    fn clCreateCommandQueue(context: Ptr, device: Ptr, properties: u64) -> "stream";
    fn clCreateUserEvent(context: Ptr) -> "event";
}

/// A callback that the driver has not called yet, and the number that stands for it while it is alive.
struct Callback {
    func: EventCallback,
    data: *mut c_void,
    number: usize,
}

/// Forwards to the function of the same name in `cl.h`, subject to the plan. Counts the callback until it has returned.
///
/// # Safety
/// The requirements of that function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clSetEventCallback(
    of: Ptr,
    status: c_int,
    func: EventCallback,
    data: *mut c_void,
) -> c_int {
    static NUMBERS: AtomicUsize = AtomicUsize::new(1);
    follow_plan("clSetEventCallback", || {
        let found =
            real!("clSetEventCallback", fn(Ptr, c_int, EventCallback, *mut c_void) -> c_int);
        let Some(function) = found else { return INVALID_OPERATION };
        if let Some(code) = event(of) {
            return code;
        }
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        retained("callback", number);
        let callback = Box::into_raw(Box::new(Callback { func, data, number }));
        // SAFETY: the caller meets the function's requirements. `call_back` takes the box over.
        let code = unsafe { function(of, status, call_back, callback.cast()) };
        if code != 0 {
            gone("callback", number);
            // SAFETY: the driver has not taken the box, which was made above.
            drop(unsafe { Box::from_raw(callback) });
        }
        code
    })
}

/// Calls the caller's callback.
///
/// # Safety
/// - `data` is a [`Callback`] in a box, which belongs to this call.
unsafe extern "C" fn call_back(event: Ptr, status: c_int, data: *mut c_void) {
    // SAFETY: the box belongs to this call (caller contract).
    let callback = unsafe { Box::from_raw(data.cast::<Callback>()) };
    // SAFETY: the arguments are those of the driver, and the data is what the caller gave with the callback.
    unsafe { (callback.func)(event, status, callback.data) };
    gone("callback", callback.number);
}

/// Forwards to the function of the same name in `cl.h`, subject to the plan. The version of a device is the one of
/// `OPENCL_FAULTS_VERSION`, if that is set.
///
/// # Safety
/// The requirements of that function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clGetDeviceInfo(
    device: Ptr,
    fact: u32,
    size: usize,
    room: *mut c_void,
    needed: *mut usize,
) -> c_int {
    const DEVICE_VERSION: u32 = 0x102F;
    const INVALID_VALUE: c_int = -30;
    static VERSION: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let set = || std::env::var("OPENCL_FAULTS_VERSION").ok();
    let version = VERSION.get_or_init(|| set().map(|text| [text.as_bytes(), &[0]].concat()));
    follow_plan("clGetDeviceInfo", || {
        let found = real!("clGetDeviceInfo", fn(Ptr, u32, usize, *mut c_void, *mut usize) -> c_int);
        let Some(function) = found else { return INVALID_OPERATION };
        let Some(text) = version.as_ref().filter(|_| fact == DEVICE_VERSION) else {
            // SAFETY: the caller meets the function's requirements.
            return unsafe { function(device, fact, size, room, needed) };
        };
        if !needed.is_null() {
            // SAFETY: it is a valid out-pointer unless it is null (caller contract).
            unsafe { needed.write(text.len()) };
        }
        if room.is_null() {
            return 0;
        }
        if size < text.len() {
            return INVALID_VALUE;
        }
        // SAFETY: the room has at least as many bytes as the text.
        unsafe { room.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), text.len()) };
        0
    })
}
