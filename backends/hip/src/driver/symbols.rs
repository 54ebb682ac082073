//! The functions of the runtime that this crate calls: [`Symbols`].
//!
//! Types are those of `hip_runtime_api.h`, with each handle a bare pointer and each code an integer.

use std::ffi::{c_char, c_int, c_uint, c_void};

use crate::code::HipCode;

/// `hipStream_t`, `hipEvent_t`, `hipGraph_t`.
pub(crate) type Ptr = *mut c_void;

/// `hipDevice_t`: a number.
pub(crate) type DeviceHandle = c_int;

/// `hipHostFn_t`.
pub(crate) type HostFn = unsafe extern "C" fn(*mut c_void);

/// `hipStreamCallback_t`. The code is meant as the state of the stream, and is success in each case.
pub(crate) type StreamCallback = unsafe extern "C" fn(Ptr, HipCode, *mut c_void);

gpu_stream_driver_common::symbols! {
    required {
        init = hipInit(c_uint) -> HipCode;
        error_name = hipGetErrorName(HipCode) -> *const c_char;
        error_text = hipGetErrorString(HipCode) -> *const c_char;
        last_error = hipGetLastError() -> HipCode;
        peek_error = hipPeekAtLastError() -> HipCode;
        device_count = hipGetDeviceCount(*mut c_int) -> HipCode;
        device_get = hipDeviceGet(*mut DeviceHandle, c_int) -> HipCode;
        device_name = hipDeviceGetName(*mut c_char, c_int, DeviceHandle) -> HipCode;
        device_priorities = hipDeviceGetStreamPriorityRange(*mut c_int, *mut c_int) -> HipCode;
        current_device = hipGetDevice(*mut c_int) -> HipCode;
        set_device = hipSetDevice(c_int) -> HipCode;
        stream_create = hipStreamCreateWithPriority(*mut Ptr, c_uint, c_int) -> HipCode;
        stream_destroy = hipStreamDestroy(Ptr) -> HipCode;
        stream_query = hipStreamQuery(Ptr) -> HipCode;
        stream_wait_event = hipStreamWaitEvent(Ptr, Ptr, c_uint) -> HipCode;
        stream_priority = hipStreamGetPriority(Ptr, *mut c_int) -> HipCode;
        stream_is_capturing = hipStreamIsCapturing(Ptr, *mut c_int) -> HipCode;
        add_callback = hipStreamAddCallback(Ptr, StreamCallback, *mut c_void, c_uint) -> HipCode;
        event_create = hipEventCreateWithFlags(*mut Ptr, c_uint) -> HipCode;
        event_destroy = hipEventDestroy(Ptr) -> HipCode;
        event_query = hipEventQuery(Ptr) -> HipCode;
        event_synchronize = hipEventSynchronize(Ptr) -> HipCode;
        event_record = hipEventRecord(Ptr, Ptr) -> HipCode;
        event_elapsed = hipEventElapsedTime(*mut f32, Ptr, Ptr) -> HipCode;
    }
    optional {
        // Each version has one of the two. HIP's NVIDIA platform may have neither.
        stream_device = hipStreamGetDevice "5.6" (Ptr, *mut DeviceHandle) -> HipCode;
        stream_device_id = hipGetStreamDeviceId "4.5" (Ptr) -> c_int;
        launch_host_func = hipLaunchHostFunc "5.3" (Ptr, HostFn, *mut c_void) -> HipCode;
        exchange_capture_mode = hipThreadExchangeStreamCaptureMode "5.1" (*mut c_int) -> HipCode;
        stream_capture_info = hipStreamGetCaptureInfo_v2 "5.0"
            (Ptr, *mut c_int, *mut u64, *mut Ptr, *mut *const Ptr, *mut usize) -> HipCode;
        // For waits inside of one capture.
        update_dependencies = hipStreamUpdateCaptureDependencies "4.5"
            (Ptr, *mut Ptr, usize, c_uint) -> HipCode;
        stream_flags = hipStreamGetFlags "3.0" (Ptr, *mut c_uint) -> HipCode;
        stream_id = hipStreamGetId "7.2" (Ptr, *mut u64) -> HipCode;
    }
}
