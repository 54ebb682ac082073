//! The driver functions that this crate calls, and no others.
//!
//! The names are those that the library exports, with the `_v2` that the headers hide behind a macro. The types are those
//! of `cuda.h`, except that each handle is a bare pointer and each code an integer.

use std::ffi::{c_char, c_int, c_uint, c_void};

use crate::CudaCode;

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

gpu_stream_driver_common::symbols! {
    required {
        init = cuInit(c_uint) -> CudaCode;
        error_name = cuGetErrorName(CudaCode, *mut *const c_char) -> CudaCode;
        error_text = cuGetErrorString(CudaCode, *mut *const c_char) -> CudaCode;
        device_count = cuDeviceGetCount(*mut c_int) -> CudaCode;
        device_get = cuDeviceGet(*mut DeviceHandle, c_int) -> CudaCode;
        device_name = cuDeviceGetName(*mut c_char, c_int, DeviceHandle) -> CudaCode;
        primary_retain = cuDevicePrimaryCtxRetain(*mut Ptr, DeviceHandle) -> CudaCode;
        primary_state = cuDevicePrimaryCtxGetState(DeviceHandle, *mut c_uint, *mut c_int) -> CudaCode;
        ctx_current = cuCtxGetCurrent(*mut Ptr) -> CudaCode;
        // For the drop of cudarc's streams, which changes the current context.
        ctx_set_current = cuCtxSetCurrent(Ptr) -> CudaCode;
        ctx_push = cuCtxPushCurrent_v2(Ptr) -> CudaCode;
        ctx_pop = cuCtxPopCurrent_v2(*mut Ptr) -> CudaCode;
        ctx_device = cuCtxGetDevice(*mut DeviceHandle) -> CudaCode;
        exchange_capture_mode = cuThreadExchangeStreamCaptureMode(*mut c_int) -> CudaCode;
        stream_create = cuStreamCreateWithPriority(*mut Ptr, c_uint, c_int) -> CudaCode;
        stream_destroy = cuStreamDestroy_v2(Ptr) -> CudaCode;
        stream_query = cuStreamQuery(Ptr) -> CudaCode;
        stream_synchronize = cuStreamSynchronize(Ptr) -> CudaCode;
        stream_wait_event = cuStreamWaitEvent(Ptr, Ptr, c_uint) -> CudaCode;
        stream_is_capturing = cuStreamIsCapturing(Ptr, *mut c_int) -> CudaCode;
        event_create = cuEventCreate(*mut Ptr, c_uint) -> CudaCode;
        event_destroy = cuEventDestroy_v2(Ptr) -> CudaCode;
        event_query = cuEventQuery(Ptr) -> CudaCode;
        event_synchronize = cuEventSynchronize(Ptr) -> CudaCode;
        event_record = cuEventRecord(Ptr, Ptr) -> CudaCode;
        event_elapsed = cuEventElapsedTime(*mut f32, Ptr, Ptr) -> CudaCode;
    }
    optional {
        // NVIDIA's driver has these in all supported versions; other drivers may not.
        ctx_priorities = cuCtxGetStreamPriorityRange "5.5" (*mut c_int, *mut c_int) -> CudaCode;
        stream_context = cuStreamGetCtx "9.2" (Ptr, *mut Ptr) -> CudaCode;
        stream_priority = cuStreamGetPriority "5.5" (Ptr, *mut c_int) -> CudaCode;
        launch_host_func = cuLaunchHostFunc "10.0" (Ptr, HostFn, *mut c_void) -> CudaCode;
        stream_flags = cuStreamGetFlags "5.5" (Ptr, *mut c_uint) -> CudaCode;
        ipc_event_handle = cuIpcGetEventHandle "4.1" (*mut IpcHandle, Ptr) -> CudaCode;
        ipc_open_event = cuIpcOpenEventHandle "4.1" (*mut Ptr, IpcHandle) -> CudaCode;
        stream_capture_info_v1 = cuStreamGetCaptureInfo "10.1" (Ptr, *mut c_int, *mut u64) -> CudaCode;
        stream_capture_info = cuStreamGetCaptureInfo_v2 "11.3"
            (Ptr, *mut c_int, *mut u64, *mut Ptr, *mut *const Ptr, *mut usize) -> CudaCode;
        stream_id = cuStreamGetId "12.0" (Ptr, *mut u64) -> CudaCode;
        ctx_id = cuCtxGetId "12.0" (Ptr, *mut u64) -> CudaCode;
        ctx_from_green = cuCtxFromGreenCtx "12.4" (*mut Ptr, Ptr) -> CudaCode;
        stream_green = cuStreamGetGreenCtx "12.4" (Ptr, *mut Ptr) -> CudaCode;
        green_stream_create = cuGreenCtxStreamCreate "12.5" (*mut Ptr, Ptr, c_uint, c_int) -> CudaCode;
        stream_context_v2 = cuStreamGetCtx_v2 "12.5" (Ptr, *mut Ptr, *mut Ptr) -> CudaCode;
        event_elapsed_v2 = cuEventElapsedTime_v2 "12.8" (*mut f32, Ptr, Ptr) -> CudaCode;
    }
}
