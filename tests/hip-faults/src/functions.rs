//! The functions that the layer exports. Types are those of `hip_runtime_api.h`, with every handle a
//! bare pointer and every code an integer.

use std::ffi::{c_char, c_int, c_uint, c_void};

use gpu_stream_faults::{Action, on_call};

use crate::forward::{NOT_SUPPORTED, by_plan, forward, real};
use crate::{last_error, real};

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
    fn hipStreamQuery(stream: Ptr);
    fn hipStreamSynchronize(stream: Ptr);
    fn hipStreamWaitEvent(stream: Ptr, event: Ptr, flags: c_uint);
    fn hipStreamWaitValue32(stream: Ptr, word: Ptr, value: u32, flags: c_uint, mask: u32);
    fn hipStreamWriteValue32(stream: Ptr, word: Ptr, value: u32, flags: c_uint);
    fn hipStreamGetPriority(stream: Ptr, priority: *mut c_int);
    fn hipStreamGetDevice(stream: Ptr, device: *mut c_int);
    fn hipStreamGetId(stream: Ptr, id: *mut u64);
    fn hipStreamIsCapturing(stream: Ptr, status: *mut c_int);
    fn hipStreamGetCaptureInfo_v2(
        stream: Ptr, status: *mut c_int, id: *mut u64, graph: *mut Ptr, nodes: *mut *const Ptr,
        count: *mut usize
    );
    fn hipStreamUpdateCaptureDependencies(
        stream: Ptr, nodes: *mut Ptr, count: usize, flags: c_uint
    );
    fn hipStreamGetFlags(stream: Ptr, flags: *mut c_uint);
    fn hipStreamBeginCapture(stream: Ptr, mode: c_int);
    fn hipStreamEndCapture(stream: Ptr, graph: *mut Ptr);
    fn hipStreamAddCallback(stream: Ptr, func: Callback, data: Ptr, flags: c_uint);
    fn hipLaunchHostFunc(stream: Ptr, func: HostFn, data: Ptr);
    fn hipEventQuery(event: Ptr);
    fn hipEventSynchronize(event: Ptr);
    fn hipEventRecord(event: Ptr, stream: Ptr);
    fn hipEventElapsedTime(milliseconds: *mut f32, start: Ptr, end: Ptr);
    fn hipIpcGetEventHandle(handle: *mut IpcHandle, event: Ptr);
    fn hipHostMalloc(memory: *mut Ptr, size: usize, flags: c_uint);
    fn hipHostGetDevicePointer(pointer: *mut Ptr, memory: Ptr, flags: c_uint);
    fn hipMalloc(memory: *mut Ptr, size: usize);
    fn hipFree(memory: Ptr);
    fn hipMemsetD32Async(memory: Ptr, value: c_int, count: usize, stream: Ptr);
    fn hipMemcpyAsync(to: Ptr, from: *const c_void, size: usize, kind: c_int, stream: Ptr);
    fn hipGraphInstantiate(
        made: *mut Ptr, graph: Ptr, node: *mut Ptr, log: *mut c_char, room: usize
    );
    fn hipGraphLaunch(graph: Ptr, stream: Ptr);
    fn hipGraphDestroy(graph: Ptr);
    fn hipGraphExecDestroy(graph: Ptr);
}

/// Functions that make something and write its handle to their first argument.
macro_rules! making {
    ($(fn $name:ident($made:ident $(, $argument:ident: $type:ty)*) -> $kind:literal;)*) => {$(
        /// As the function of the same name in `hip_runtime_api.h`, by the plan; what it makes is
        /// counted.
        ///
        /// # Safety
        /// As there.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($made: *mut Ptr $(, $argument: $type)*) -> c_int {
            by_plan(stringify!($name), || {
                type Function = unsafe extern "C" fn(*mut Ptr $(, $type)*) -> c_int;
                static FOUND: std::sync::OnceLock<Option<Function>> = std::sync::OnceLock::new();
                // SAFETY: that is the function's type.
                let found = FOUND.get_or_init(|| unsafe { real::find(stringify!($name)) });
                let Some(function) = found else { return NOT_SUPPORTED };
                // SAFETY: the caller promises what the function asks for.
                let code = unsafe { function($made $(, $argument)*) };
                if code == 0 {
                    // SAFETY: it has just been written.
                    gpu_stream_faults::made($kind, unsafe { $made.read() }.addr());
                }
                code
            })
        }
    )*};
}

making! {
    fn hipStreamCreateWithPriority(made, flags: c_uint, priority: c_int) -> "stream";
    fn hipEventCreateWithFlags(made, flags: c_uint) -> "event";
    fn hipIpcOpenEventHandle(made, handle: IpcHandle) -> "event";
}

/// Functions that destroy what they are given.
macro_rules! destroying {
    ($(fn $name:ident($handle:ident) -> $kind:literal;)*) => {$(
        /// As the function of the same name in `hip_runtime_api.h`, by the plan. What is not there
        /// is not destroyed again: it is counted, and answered with 709.
        ///
        /// # Safety
        /// As there.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($handle: Ptr) -> c_int {
            by_plan(stringify!($name), || {
                type Function = unsafe extern "C" fn(Ptr) -> c_int;
                static FOUND: std::sync::OnceLock<Option<Function>> = std::sync::OnceLock::new();
                // SAFETY: that is the function's type.
                let found = FOUND.get_or_init(|| unsafe { real::find(stringify!($name)) });
                let Some(function) = found else { return NOT_SUPPORTED };
                const CONTEXT_IS_DESTROYED: c_int = 709;
                if !gpu_stream_faults::gone($kind, $handle.addr()) {
                    return CONTEXT_IS_DESTROYED;
                }
                // SAFETY: the caller promises what the function asks for.
                let code = unsafe { function($handle) };
                if code != 0 {
                    gpu_stream_faults::made($kind, $handle.addr());
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

/// The version that the layer shows.
///
/// # Safety
/// `version` is a place for the number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipRuntimeGetVersion(version: *mut c_int) -> c_int {
    by_plan("hipRuntimeGetVersion", || {
        let Some(ask) = real!("hipRuntimeGetVersion" as unsafe extern "C" fn(*mut c_int) -> c_int)
        else {
            return NOT_SUPPORTED;
        };
        // SAFETY: the caller promises the place.
        let code = unsafe { ask(version) };
        if code == 0 {
            // SAFETY: as above.
            unsafe { version.write(real::version()) };
        }
        code
    })
}

/// Answers with the device itself, or a negative number. A planned code is the answer.
///
/// # Safety
/// As the function of the same name in HIP.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipGetStreamDeviceId(stream: Ptr) -> c_int {
    let real = real!("hipGetStreamDeviceId" as unsafe extern "C" fn(Ptr) -> c_int);
    match (on_call("hipGetStreamDeviceId"), real) {
        (Action::Answer(answer) | Action::PassThenAnswer(answer), _) => answer,
        // SAFETY: the caller promises what the function asks for.
        (Action::Pass, Some(ask)) => unsafe { ask(stream) },
        (Action::Pass, None) => -1,
    }
}

/// Null if anything is planned.
///
/// # Safety
/// Takes any number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipGetErrorName(code: c_int) -> *const c_char {
    let real = real!("hipGetErrorName" as unsafe extern "C" fn(c_int) -> *const c_char);
    match (on_call("hipGetErrorName"), real) {
        // SAFETY: takes any number.
        (Action::Pass, Some(name)) => unsafe { name(code) },
        _ => std::ptr::null(),
    }
}

/// Null if anything is planned.
///
/// # Safety
/// Takes any number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipGetErrorString(code: c_int) -> *const c_char {
    let real = real!("hipGetErrorString" as unsafe extern "C" fn(c_int) -> *const c_char);
    match (on_call("hipGetErrorString"), real) {
        // SAFETY: takes any number.
        (Action::Pass, Some(text)) => unsafe { text(code) },
        _ => std::ptr::null(),
    }
}

/// The planned code that was answered last, or what the runtime says; it is fetched.
///
/// # Safety
/// Takes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipGetLastError() -> c_int {
    let real = real!("hipGetLastError" as unsafe extern "C" fn() -> c_int);
    let action = on_call("hipGetLastError");
    if let Action::Answer(code) = action {
        return code;
    }
    // SAFETY: takes nothing.
    let real = real.map_or(NOT_SUPPORTED, |fetch| unsafe { fetch() });
    match (action, last_error::fetch()) {
        (Action::PassThenAnswer(code), _) => code,
        (_, Some(planned)) => planned,
        (_, None) => real,
    }
}

/// As [`hipGetLastError`], and it stays.
///
/// # Safety
/// Takes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hipPeekAtLastError() -> c_int {
    let real = real!("hipPeekAtLastError" as unsafe extern "C" fn() -> c_int);
    match (on_call("hipPeekAtLastError"), last_error::peek()) {
        (Action::Answer(code) | Action::PassThenAnswer(code), _) => code,
        (Action::Pass, Some(planned)) => planned,
        // SAFETY: takes nothing.
        (Action::Pass, None) => real.map_or(NOT_SUPPORTED, |peek| unsafe { peek() }),
    }
}
