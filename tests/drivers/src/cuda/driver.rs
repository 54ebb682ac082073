//! The table of the CUDA driver's functions: [`driver`], [`Driver`].

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

use gpu_stream_cuda::Cuda;

use crate::driver::driver_table;
pub use crate::driver::{DriverError, HostFn, NOT_READY, Ptr, ok};

driver_table! {
    /// The functions of the CUDA driver, with the signatures of `cuda.h`.
    of Cuda;
    always {
        init = "cuInit" (c_uint);
        error_name = "cuGetErrorName" (c_int, *mut *const c_char);
        device_count = "cuDeviceGetCount" (*mut c_int);
        device_name = "cuDeviceGetName" (*mut c_char, c_int, c_int);
        device_get = "cuDeviceGet" (*mut c_int, c_int);
        primary_retain = "cuDevicePrimaryCtxRetain" (*mut Ptr, c_int);
        primary_state = "cuDevicePrimaryCtxGetState" (c_int, *mut c_uint, *mut c_int);
        primary_reset = "cuDevicePrimaryCtxReset_v2" (c_int);
        ctx_device = "cuCtxGetDevice" (*mut c_int);
        ctx_priorities = "cuCtxGetStreamPriorityRange" (*mut c_int, *mut c_int);
        ctx_create = "cuCtxCreate_v2" (*mut Ptr, c_uint, c_int);
        ctx_current = "cuCtxGetCurrent" (*mut Ptr);
        ctx_set_current = "cuCtxSetCurrent" (Ptr);
        ctx_push = "cuCtxPushCurrent_v2" (Ptr);
        ctx_pop = "cuCtxPopCurrent_v2" (*mut Ptr);
        ctx_synchronize = "cuCtxSynchronize" ();
        exchange_capture_mode = "cuThreadExchangeStreamCaptureMode" (*mut c_int);
        mem_alloc = "cuMemAlloc_v2" (*mut u64, usize);
        mem_free = "cuMemFree_v2" (u64);
        host_alloc = "cuMemHostAlloc" (*mut Ptr, usize, c_uint);
        host_device_pointer = "cuMemHostGetDevicePointer_v2" (*mut u64, Ptr, c_uint);
        copy_to_host = "cuMemcpyDtoH_v2" (Ptr, u64, usize);
        memset = "cuMemsetD32_v2" (u64, c_uint, usize);
        module_load = "cuModuleLoadData" (*mut Ptr, *const c_void);
        module_function = "cuModuleGetFunction" (*mut Ptr, Ptr, *const c_char);
        launch_kernel = "cuLaunchKernel" (
            Ptr, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Ptr, *mut Ptr, *mut Ptr
        );
        stream_create = "cuStreamCreateWithPriority" (*mut Ptr, c_uint, c_int);
        stream_destroy = "cuStreamDestroy_v2" (Ptr);
        stream_context = "cuStreamGetCtx" (Ptr, *mut Ptr);
        stream_id = "cuStreamGetId" (Ptr, *mut u64);
        stream_priority = "cuStreamGetPriority" (Ptr, *mut c_int);
        stream_query = "cuStreamQuery" (Ptr);
        stream_synchronize = "cuStreamSynchronize" (Ptr);
        stream_wait_value = "cuStreamWaitValue32_v2" (Ptr, u64, u32, c_uint);
        stream_wait_event = "cuStreamWaitEvent" (Ptr, Ptr, c_uint);
        launch_host_func = "cuLaunchHostFunc" (Ptr, HostFn, Ptr);
        event_create = "cuEventCreate" (*mut Ptr, c_uint);
        event_destroy = "cuEventDestroy_v2" (Ptr);
        event_query = "cuEventQuery" (Ptr);
        event_synchronize = "cuEventSynchronize" (Ptr);
        event_record = "cuEventRecord" (Ptr, Ptr);
        event_elapsed = "cuEventElapsedTime" (*mut f32, Ptr, Ptr);
        begin_capture = "cuStreamBeginCapture_v2" (Ptr, c_int);
        end_capture = "cuStreamEndCapture" (Ptr, *mut Ptr);
        capture_status = "cuStreamIsCapturing" (Ptr, *mut c_int);
        capture_info = "cuStreamGetCaptureInfo_v2" (
            Ptr, *mut c_int, *mut u64, *mut Ptr, *mut *const Ptr, *mut usize
        );
        graph_nodes = "cuGraphGetNodes" (Ptr, *mut Ptr, *mut usize);
        graph_instantiate = "cuGraphInstantiateWithFlags" (*mut Ptr, Ptr, u64);
        graph_launch = "cuGraphLaunch" (Ptr, Ptr);
        graph_destroy = "cuGraphDestroy" (Ptr);
        graph_exec_destroy = "cuGraphExecDestroy" (Ptr);
    }
    optional {
        // Since CUDA 12.4.
        device_resource = "cuDeviceGetDevResource" (c_int, Ptr, c_int);
        resource_desc = "cuDevResourceGenerateDesc" (*mut Ptr, Ptr, c_uint);
        green_create = "cuGreenCtxCreate" (*mut Ptr, Ptr, c_int, c_uint);
        // Since CUDA 12.5.
        green_stream_create = "cuGreenCtxStreamCreate" (*mut Ptr, Ptr, c_uint, c_int);
        stream_green = "cuStreamGetGreenCtx" (Ptr, *mut Ptr);
        // Since CUDA 12.8.
        event_elapsed_v2 = "cuEventElapsedTime_v2" (*mut f32, Ptr, Ptr);
    }
}

/// Returns the driver's name of a code.
fn name_of(code: c_int) -> Option<String> {
    let mut name = std::ptr::null();
    // SAFETY: `&mut name` is a valid out-pointer.
    let known = unsafe { (Driver::load().ok()?.error_name)(code, &mut name) } == 0;
    // SAFETY: on success `name` is a C string of the library, which is never closed.
    (known && !name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_string_lossy().into())
}
