//! The table of the HIP runtime's functions: [`driver`], [`Driver`].

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

use gpu_stream_hip::Hip;

use crate::driver::driver_table;
pub use crate::driver::{DriverError, HostFn, NOT_READY, Ptr, ok};

/// `hipStreamCallback_t`, which older runtimes take instead of a host function: the stream, its status,
/// and the user's pointer.
pub type Callback = unsafe extern "C" fn(Ptr, c_int, Ptr);

driver_table! {
    /// The functions of the HIP runtime, with the signatures of `hip_runtime_api.h`.
    of Hip;
    always {
        device_count = "hipGetDeviceCount" (*mut c_int);
        device_get = "hipDeviceGet" (*mut c_int, c_int);
        device_name = "hipDeviceGetName" (*mut c_char, c_int, c_int);
        device_priorities = "hipDeviceGetStreamPriorityRange" (*mut c_int, *mut c_int);
        device_reset = "hipDeviceReset" ();
        get_device = "hipGetDevice" (*mut c_int);
        set_device = "hipSetDevice" (c_int);
        runtime_version = "hipRuntimeGetVersion" (*mut c_int);
        last_error = "hipGetLastError" ();
        peek_error = "hipPeekAtLastError" ();
        exchange_capture_mode = "hipThreadExchangeStreamCaptureMode" (*mut c_int);
        mem_alloc = "hipMalloc" (*mut Ptr, usize);
        mem_free = "hipFree" (Ptr);
        host_alloc = "hipHostMalloc" (*mut Ptr, usize, c_uint);
        host_device_pointer = "hipHostGetDevicePointer" (*mut Ptr, Ptr, c_uint);
        memset_words = "hipMemsetD32Async" (Ptr, c_int, usize, Ptr);
        copy_async = "hipMemcpyAsync" (Ptr, *const c_void, usize, c_int, Ptr);
        stream_create = "hipStreamCreateWithPriority" (*mut Ptr, c_uint, c_int);
        stream_destroy = "hipStreamDestroy" (Ptr);
        stream_priority = "hipStreamGetPriority" (Ptr, *mut c_int);
        stream_query = "hipStreamQuery" (Ptr);
        stream_synchronize = "hipStreamSynchronize" (Ptr);
        stream_wait_value = "hipStreamWaitValue32" (Ptr, Ptr, u32, c_uint, u32);
        stream_write_value = "hipStreamWriteValue32" (Ptr, Ptr, u32, c_uint);
        stream_wait_event = "hipStreamWaitEvent" (Ptr, Ptr, c_uint);
        add_callback = "hipStreamAddCallback" (Ptr, Callback, Ptr, c_uint);
        event_create = "hipEventCreateWithFlags" (*mut Ptr, c_uint);
        event_destroy = "hipEventDestroy" (Ptr);
        event_query = "hipEventQuery" (Ptr);
        event_synchronize = "hipEventSynchronize" (Ptr);
        event_record = "hipEventRecord" (Ptr, Ptr);
        event_elapsed = "hipEventElapsedTime" (*mut f32, Ptr, Ptr);
        begin_capture = "hipStreamBeginCapture" (Ptr, c_int);
        end_capture = "hipStreamEndCapture" (Ptr, *mut Ptr);
        capture_status = "hipStreamIsCapturing" (Ptr, *mut c_int);
        capture_info = "hipStreamGetCaptureInfo_v2" (
            Ptr, *mut c_int, *mut u64, *mut Ptr, *mut *const Ptr, *mut usize
        );
        graph_nodes = "hipGraphGetNodes" (Ptr, *mut Ptr, *mut usize);
        graph_instantiate = "hipGraphInstantiate" (*mut Ptr, Ptr, *mut Ptr, *mut c_char, usize);
        graph_launch = "hipGraphLaunch" (Ptr, Ptr);
        graph_destroy = "hipGraphDestroy" (Ptr);
        graph_exec_destroy = "hipGraphExecDestroy" (Ptr);
    }
    optional {
        // Since HIP 5.6.
        stream_device = "hipStreamGetDevice" (Ptr, *mut c_int);
        // Before HIP 5.6, under AMD's own name. It returns the device.
        stream_device_id = "hipGetStreamDeviceId" (Ptr);
        // Since HIP 5.3.
        launch_host_func = "hipLaunchHostFunc" (Ptr, HostFn, Ptr);
        // Since HIP 7.2.
        stream_id = "hipStreamGetId" (Ptr, *mut u64);
    }
}

/// Returns the runtime's name of a code.
pub fn name_of(code: c_int) -> Option<String> {
    type ErrorName = unsafe extern "C" fn(c_int) -> *const c_char;
    let library = Driver::load().ok()?.library;
    // SAFETY: the type is the function's signature in `hip_runtime_api.h`.
    let error_name = unsafe { library.get::<ErrorName>("hipGetErrorName") }.ok()?;
    // SAFETY: the function accepts any number.
    let name = unsafe { error_name(code) };
    // SAFETY: `name` is a C string of the library, which is never closed.
    (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_string_lossy().into())
}
