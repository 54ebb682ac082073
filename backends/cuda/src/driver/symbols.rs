//! The driver functions that this crate calls, and no others.
//!
//! The names are those that the library exports, with the `_v2` that the headers hide behind a macro. The
//! types are those of `cuda.h`, except that each handle is a bare pointer and each code an integer.

use std::ffi::{c_char, c_int, c_uint, c_void};

use libloading::Library;

use super::code::CudaCode;

/// `CUcontext`, `CUstream`, `CUevent`, `CUgreenCtx`, `CUgraph`.
pub(crate) type Ptr = *mut c_void;

/// `CUdevice`: a number.
pub(crate) type DeviceHandle = c_int;

/// `CUhostFn`.
pub(crate) type HostFn = unsafe extern "C" fn(*mut c_void);

/// `CUipcEventHandle`, which is passed by value.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct IpcHandle {
    pub(crate) reserved: [u8; 64],
}

/// A function that older drivers lack, with the first CUDA version that has it.
#[derive(Clone, Copy)]
pub(crate) struct Optional<F> {
    pub(crate) function: Option<F>,
    pub(crate) name: &'static str,
    pub(crate) since: &'static str,
}

macro_rules! symbols {
    (
        required { $($required:ident = $name:literal ($($argument:ty),*);)* }
        optional { $($optional:ident = $optional_name:literal $since:literal ($($of_optional:ty),*);)* }
    ) => {
        pub(crate) struct Symbols {
            $(pub(crate) $required: unsafe extern "C" fn($($argument),*) -> CudaCode,)*
            $(pub(crate) $optional: Optional<unsafe extern "C" fn($($of_optional),*) -> CudaCode>,)*
        }

        impl Symbols {
            /// Resolves all functions. Returns the name of the first missing required one otherwise.
            pub(crate) fn resolve(library: &Library) -> Result<Self, &'static str> {
                Ok(Symbols {
                    $($required: {
                        type Function = unsafe extern "C" fn($($argument),*) -> CudaCode;
                        // SAFETY: the driver's function of this name has this signature in every version.
                        // The library is never closed.
                        unsafe { find::<Function>(library, $name) }.ok_or($name)?
                    },)*
                    $($optional: {
                        type Function = unsafe extern "C" fn($($of_optional),*) -> CudaCode;
                        // SAFETY: the function has this signature, and the library is never closed.
                        let function = unsafe { find::<Function>(library, $optional_name) };
                        Optional { function, name: $optional_name, since: $since }
                    },)*
                })
            }

            /// Returns the names of the optional functions that this driver lacks.
            pub(crate) fn missing(&self) -> Vec<&'static str> {
                let mut missing = Vec::new();
                $(if self.$optional.function.is_none() {
                    missing.push(self.$optional.name);
                })*
                missing
            }
        }
    };
}

symbols! {
    required {
        init = "cuInit" (c_uint);
        error_name = "cuGetErrorName" (CudaCode, *mut *const c_char);
        error_text = "cuGetErrorString" (CudaCode, *mut *const c_char);
        device_count = "cuDeviceGetCount" (*mut c_int);
        device_get = "cuDeviceGet" (*mut DeviceHandle, c_int);
        device_name = "cuDeviceGetName" (*mut c_char, c_int, DeviceHandle);
        primary_retain = "cuDevicePrimaryCtxRetain" (*mut Ptr, DeviceHandle);
        primary_state = "cuDevicePrimaryCtxGetState" (DeviceHandle, *mut c_uint, *mut c_int);
        ctx_current = "cuCtxGetCurrent" (*mut Ptr);
        // For the drop of cudarc's streams, which changes the current context.
        ctx_set_current = "cuCtxSetCurrent" (Ptr);
        ctx_push = "cuCtxPushCurrent_v2" (Ptr);
        ctx_pop = "cuCtxPopCurrent_v2" (*mut Ptr);
        ctx_device = "cuCtxGetDevice" (*mut DeviceHandle);
        exchange_capture_mode = "cuThreadExchangeStreamCaptureMode" (*mut c_int);
        stream_create = "cuStreamCreateWithPriority" (*mut Ptr, c_uint, c_int);
        stream_destroy = "cuStreamDestroy_v2" (Ptr);
        stream_query = "cuStreamQuery" (Ptr);
        stream_synchronize = "cuStreamSynchronize" (Ptr);
        stream_wait_event = "cuStreamWaitEvent" (Ptr, Ptr, c_uint);
        stream_is_capturing = "cuStreamIsCapturing" (Ptr, *mut c_int);
        event_create = "cuEventCreate" (*mut Ptr, c_uint);
        event_destroy = "cuEventDestroy_v2" (Ptr);
        event_query = "cuEventQuery" (Ptr);
        event_synchronize = "cuEventSynchronize" (Ptr);
        event_record = "cuEventRecord" (Ptr, Ptr);
        event_elapsed = "cuEventElapsedTime" (*mut f32, Ptr, Ptr);
    }
    optional {
        // NVIDIA's driver has these in all supported versions; other drivers may not.
        ctx_priorities = "cuCtxGetStreamPriorityRange" "5.5" (*mut c_int, *mut c_int);
        stream_context = "cuStreamGetCtx" "9.2" (Ptr, *mut Ptr);
        stream_priority = "cuStreamGetPriority" "5.5" (Ptr, *mut c_int);
        launch_host_func = "cuLaunchHostFunc" "10.0" (Ptr, HostFn, *mut c_void);
        stream_flags = "cuStreamGetFlags" "5.5" (Ptr, *mut c_uint);
        ipc_event_handle = "cuIpcGetEventHandle" "4.1" (*mut IpcHandle, Ptr);
        ipc_open_event = "cuIpcOpenEventHandle" "4.1" (*mut Ptr, IpcHandle);
        stream_capture_info_v1 = "cuStreamGetCaptureInfo" "10.1" (Ptr, *mut c_int, *mut u64);
        stream_capture_info = "cuStreamGetCaptureInfo_v2" "11.3"
            (Ptr, *mut c_int, *mut u64, *mut Ptr, *mut *const Ptr, *mut usize);
        stream_id = "cuStreamGetId" "12.0" (Ptr, *mut u64);
        ctx_id = "cuCtxGetId" "12.0" (Ptr, *mut u64);
        ctx_from_green = "cuCtxFromGreenCtx" "12.4" (*mut Ptr, Ptr);
        stream_green = "cuStreamGetGreenCtx" "12.4" (Ptr, *mut Ptr);
        green_stream_create = "cuGreenCtxStreamCreate" "12.5" (*mut Ptr, Ptr, c_uint, c_int);
        stream_context_v2 = "cuStreamGetCtx_v2" "12.5" (Ptr, *mut Ptr, *mut Ptr);
        event_elapsed_v2 = "cuEventElapsedTime_v2" "12.8" (*mut f32, Ptr, Ptr);
    }
}

/// Returns the function with this name.
///
/// # Safety
/// - `F` is the type of a pointer to that function.
/// - The result is used only while the library is loaded.
pub(crate) unsafe fn find<F: Copy>(library: &Library, name: &str) -> Option<F> {
    // SAFETY: `F` is the function's type (caller contract).
    unsafe { library.get::<F>(name) }.ok().map(|symbol| *symbol)
}
