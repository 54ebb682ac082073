//! The functions that the layer exports.
//!
//! Types are those of `hip_runtime_api.h`, with every handle a bare pointer and every code an
//! integer.

use std::ffi::{c_char, c_int, c_uint, c_void};

use gpu_stream_faults::{Action, on_call};

use crate::forward::{CONTEXT_IS_DESTROYED, NOT_SUPPORTED, follow_plan, forward, real};
use crate::{last_error, real, records};

/// Any handle.
type Ptr = *mut c_void;
/// `hipHostFn_t`.
type HostFn = unsafe extern "C" fn(Ptr);
/// `hipStreamCallback_t`.
type Callback = unsafe extern "C" fn(Ptr, c_int, Ptr);

/// `hipIpcEventHandle_t`, which is passed by value.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IpcHandle {
    reserved: [u8; 64],
}

forward! {
    fn hipInit(flags: c_uint);
    fn hipGetDeviceCount(count: *mut c_int);
    fn hipDeviceGet(device: *mut c_int, ordinal: c_int);
    fn hipDeviceGetName(name: *mut c_char, length: c_int, device: c_int);
    fn hipDeviceGetStreamPriorityRange(least: *mut c_int, greatest: *mut c_int);
    fn hipGetDevice(device: *mut c_int);
    fn hipSetDevice(device: c_int);
    fn hipThreadExchangeStreamCaptureMode(mode: *mut c_int);
    fn hipStreamQuery(stream: Ptr) [records::use_stream(stream)];
    fn hipStreamSynchronize(stream: Ptr) [records::use_stream(stream)];
    fn hipStreamWaitEvent(stream: Ptr, event: Ptr, flags: c_uint) [records::use_stream(stream) & records::use_event(event)];
    fn hipStreamWaitValue32(stream: Ptr, word: Ptr, value: u32, flags: c_uint, mask: u32);
    fn hipStreamWriteValue32(stream: Ptr, word: Ptr, value: u32, flags: c_uint);
    fn hipStreamGetPriority(stream: Ptr, priority: *mut c_int) [records::use_stream(stream)];
    fn hipStreamGetDevice(stream: Ptr, device: *mut c_int) [records::use_stream(stream)];
    fn hipStreamGetId(stream: Ptr, id: *mut u64);
    fn hipStreamIsCapturing(stream: Ptr, status: *mut c_int) [records::use_stream(stream)];
    fn hipStreamGetCaptureInfo_v2(
        stream: Ptr, status: *mut c_int, id: *mut u64, graph: *mut Ptr, nodes: *mut *const Ptr,
        count: *mut usize
    );
    fn hipStreamUpdateCaptureDependencies(
        stream: Ptr, nodes: *mut Ptr, count: usize, flags: c_uint
    );
    fn hipStreamGetFlags(stream: Ptr, flags: *mut c_uint);
    fn hipStreamBeginCapture(stream: Ptr, mode: c_int) [true, |code| records::capture_began(stream, code)];
    fn hipStreamEndCapture(stream: Ptr, graph: *mut Ptr) [true, |_| records::capture_ended(stream)];
    fn hipStreamAddCallback(stream: Ptr, func: Callback, data: Ptr, flags: c_uint) [records::use_stream(stream)];
    fn hipLaunchHostFunc(stream: Ptr, func: HostFn, data: Ptr) [records::use_stream(stream)];
    fn hipEventQuery(event: Ptr) [records::use_event(event)];
    fn hipEventSynchronize(event: Ptr) [records::use_event(event)];
    fn hipEventRecord(event: Ptr, stream: Ptr) [records::use_stream(stream), |code| records::recorded(event, stream, code)];
    fn hipEventElapsedTime(milliseconds: *mut f32, start: Ptr, end: Ptr) [records::use_event(start) & records::use_event(end)];
    fn hipIpcGetEventHandle(handle: *mut IpcHandle, event: Ptr);
    fn hipHostMalloc(memory: *mut Ptr, size: usize, flags: c_uint);
    fn hipHostGetDevicePointer(pointer: *mut Ptr, memory: Ptr, flags: c_uint);
    fn hipMalloc(memory: *mut Ptr, size: usize);
    fn hipFree(memory: Ptr);
    fn hipMemsetD32Async(memory: Ptr, value: c_int, count: usize, stream: Ptr);
    fn hipMemcpyAsync(to: Ptr, from: *const c_void, size: usize, kind: c_int, stream: Ptr);
    fn hipGraphInstantiate(
        made: *mut Ptr, graph: Ptr, node: *mut Ptr, log: *mut c_char, capacity: usize
    );
    fn hipGraphLaunch(graph: Ptr, stream: Ptr);
    fn hipGraphDestroy(graph: Ptr);
    fn hipGraphExecDestroy(graph: Ptr);
}

/// Exports functions that create an object and write its handle to their first argument.
macro_rules! creating {
    ($(fn $name:ident($made:ident $(, $argument:ident: $type:ty)*) -> $kind:literal;)*) => {$(
        /// Forwards to the function of the same name in `hip_runtime_api.h`, subject to the plan.
        /// Counts the object that it creates.
        ///
        /// # Safety
        /// The requirements of that function.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($made: *mut Ptr $(, $argument: $type)*) -> c_int {
            follow_plan(stringify!($name), || {
                type Function = unsafe extern "C" fn(*mut Ptr $(, $type)*) -> c_int;
                static FOUND: std::sync::OnceLock<Option<Function>> = std::sync::OnceLock::new();
                // SAFETY: `hip_runtime_api.h` declares the function with this type.
                let found = FOUND.get_or_init(|| unsafe { real::find(stringify!($name)) });
                let Some(function) = found else { return NOT_SUPPORTED };
                // SAFETY: the caller meets the function's requirements.
                let code = unsafe { function($made $(, $argument)*) };
                if code == 0 {
                    // SAFETY: the function succeeded, so it has written the handle.
                    let made = unsafe { $made.read() }.addr();
                    gpu_stream_faults::made($kind, made);
                    records::made($kind, made);
                }
                code
            })
        }
    )*};
}

creating! {
    fn hipStreamCreateWithPriority(made, flags: c_uint, priority: c_int) -> "stream";
    fn hipEventCreateWithFlags(made, flags: c_uint) -> "event";
    fn hipIpcOpenEventHandle(made, handle: IpcHandle) -> "event";
}

/// Exports functions that destroy the object of their argument.
macro_rules! destroying {
    ($(fn $name:ident($handle:ident) -> $kind:literal;)*) => {$(
        /// Forwards to the function of the same name in `hip_runtime_api.h`, subject to the plan.
        ///
        /// A handle that is not alive is not forwarded: the mistake is counted, and the answer is
        /// 709.
        ///
        /// # Safety
        /// The requirements of that function.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($handle: Ptr) -> c_int {
            follow_plan(stringify!($name), || {
                type Function = unsafe extern "C" fn(Ptr) -> c_int;
                static FOUND: std::sync::OnceLock<Option<Function>> = std::sync::OnceLock::new();
                // SAFETY: `hip_runtime_api.h` declares the function with this type.
                let found = FOUND.get_or_init(|| unsafe { real::find(stringify!($name)) });
                let Some(function) = found else { return NOT_SUPPORTED };
                if !gpu_stream_faults::gone($kind, $handle.addr()) {
                    return CONTEXT_IS_DESTROYED;
                }
                records::gone($kind, $handle.addr());
                // SAFETY: the caller meets the function's requirements, and the handle is alive.
                let code = unsafe { function($handle) };
                if code != 0 {
                    gpu_stream_faults::made($kind, $handle.addr());
                    records::made($kind, $handle.addr());
                }
                code
            })
        }
    )*};
}

destroying! {
    fn hipStreamDestroy(stream) -> "stream";
    fn hipEventDestroy(event) -> "event";
}

/// Returns the version that the layer presents: [`real::version`].
///
/// # Safety
/// `version` is a valid out-pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipRuntimeGetVersion(version: *mut c_int) -> c_int {
    follow_plan("hipRuntimeGetVersion", || {
        let Some(function) =
            real!("hipRuntimeGetVersion" as unsafe extern "C" fn(*mut c_int) -> c_int)
        else {
            return NOT_SUPPORTED;
        };
        // SAFETY: `version` is a valid out-pointer (caller contract).
        let code = unsafe { function(version) };
        if code == 0 {
            // SAFETY: `version` is a valid out-pointer (caller contract).
            unsafe { version.write(real::version()) };
        }
        code
    })
}

/// Returns the stream's device, or a negative number on failure. A planned code is returned as it
/// is.
///
/// # Safety
/// The requirements of the function of the same name in `hip_runtime_api.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipGetStreamDeviceId(stream: Ptr) -> c_int {
    let real = real!("hipGetStreamDeviceId" as unsafe extern "C" fn(Ptr) -> c_int);
    let action = on_call("hipGetStreamDeviceId");
    if let Action::Answer(answer) | Action::PassThenAnswer(answer) = action {
        return answer;
    }
    // SAFETY: the caller meets the function's requirements.
    let device = real.map_or(-1, |function| unsafe { function(stream) });
    action.after_work();
    device
}

/// Returns the code's name. Returns null if a fault plans an answer.
///
/// # Safety
/// No requirements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipGetErrorName(code: c_int) -> *const c_char {
    let real = real!("hipGetErrorName" as unsafe extern "C" fn(c_int) -> *const c_char);
    // SAFETY: the function accepts any number.
    text_unless_planned("hipGetErrorName", || real.map(|name| unsafe { name(code) }))
}

/// Returns the code's description. Returns null if a fault plans an answer.
///
/// # Safety
/// No requirements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipGetErrorString(code: c_int) -> *const c_char {
    let real = real!("hipGetErrorString" as unsafe extern "C" fn(c_int) -> *const c_char);
    // SAFETY: the function accepts any number.
    text_unless_planned("hipGetErrorString", || real.map(|text| unsafe { text(code) }))
}

/// Returns the result of `real`. Returns null if a fault plans an answer, or if `real` returns `None`.
fn text_unless_planned(
    name: &'static str,
    real: impl FnOnce() -> Option<*const c_char>,
) -> *const c_char {
    let action = on_call(name);
    if let Action::Answer(_) | Action::PassThenAnswer(_) = action {
        return std::ptr::null();
    }
    let text = real().unwrap_or(std::ptr::null());
    action.after_work();
    text
}

/// Returns and clears the last error: the planned code that replaced it, else the runtime's own.
///
/// # Safety
/// No requirements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipGetLastError() -> c_int {
    let real = real!("hipGetLastError" as unsafe extern "C" fn() -> c_int);
    let action = on_call("hipGetLastError");
    if let Action::Answer(code) = action {
        return code;
    }
    // SAFETY: the function has no requirements.
    let real = real.map_or(NOT_SUPPORTED, |fetch| unsafe { fetch() });
    action.after_work();
    match (action, last_error::fetch()) {
        (Action::PassThenAnswer(code), _) => code,
        (_, Some(planned)) => planned,
        (_, None) => real,
    }
}

/// Returns the last error without clearing it: the planned code that replaced it, else the
/// runtime's own.
///
/// # Safety
/// No requirements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipPeekAtLastError() -> c_int {
    let real = real!("hipPeekAtLastError" as unsafe extern "C" fn() -> c_int);
    let action = on_call("hipPeekAtLastError");
    if let Action::Answer(code) | Action::PassThenAnswer(code) = action {
        return code;
    }
    // SAFETY: the function has no requirements.
    let real = || real.map_or(NOT_SUPPORTED, |peek| unsafe { peek() });
    let last = last_error::peek().unwrap_or_else(real);
    action.after_work();
    last
}
