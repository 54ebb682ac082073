//! The functions of OpenCL that this crate calls, and no others.
//!
//! The types are those of `cl.h`, except that each handle is a bare pointer and each code an integer.

use std::ffi::c_void;

/// `cl_platform_id`, `cl_device_id`, `cl_context`, `cl_command_queue`, `cl_event`.
pub(crate) type Ptr = *mut c_void;

/// The callback of `clSetEventCallback`: the event, its status, and the user's data.
pub(crate) type EventCallback = unsafe extern "C" fn(Ptr, i32, *mut c_void);

/// The callback of `clCreateContext`. This crate gives none.
type ContextCallback = *const c_void;

gpu_stream_driver_common::symbols! {
    required {
        platform_ids = clGetPlatformIDs(u32, *mut Ptr, *mut u32) -> i32;
        platform_info = clGetPlatformInfo(Ptr, u32, usize, *mut c_void, *mut usize) -> i32;
        device_ids = clGetDeviceIDs(Ptr, u64, u32, *mut Ptr, *mut u32) -> i32;
        device_info = clGetDeviceInfo(Ptr, u32, usize, *mut c_void, *mut usize) -> i32;
        context_create = clCreateContext(*const isize, u32, *const Ptr, ContextCallback, *mut c_void, *mut i32) -> Ptr;
        queue_create = clCreateCommandQueue(Ptr, Ptr, u64, *mut i32) -> Ptr;
        queue_retain = clRetainCommandQueue(Ptr) -> i32;
        queue_release = clReleaseCommandQueue(Ptr) -> i32;
        queue_info = clGetCommandQueueInfo(Ptr, u32, usize, *mut c_void, *mut usize) -> i32;
        flush = clFlush(Ptr) -> i32;
        marker = clEnqueueMarkerWithWaitList(Ptr, u32, *const Ptr, *mut Ptr) -> i32;
        barrier = clEnqueueBarrierWithWaitList(Ptr, u32, *const Ptr, *mut Ptr) -> i32;
        event_retain = clRetainEvent(Ptr) -> i32;
        event_release = clReleaseEvent(Ptr) -> i32;
        event_info = clGetEventInfo(Ptr, u32, usize, *mut c_void, *mut usize) -> i32;
        event_wait = clWaitForEvents(u32, *const Ptr) -> i32;
        event_profiling = clGetEventProfilingInfo(Ptr, u32, usize, *mut c_void, *mut usize) -> i32;
        event_callback = clSetEventCallback(Ptr, i32, EventCallback, *mut c_void) -> i32;
        user_event_create = clCreateUserEvent(Ptr, *mut i32) -> Ptr;
        user_event_set = clSetUserEventStatus(Ptr, i32) -> i32;
    }
    optional {}
}
