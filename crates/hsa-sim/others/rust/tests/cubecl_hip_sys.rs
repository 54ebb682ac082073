//! cubecl-hip-sys, the bindings of Burn's compute language.
//!
//! They load libamdhip64 and libhiprtc at the first call, under the names without a version.

mod cases;

/// The bindings, under the names that the cases use.
mod api {
    pub use cubecl_hip_sys::*;

    pub const SUCCESS: hipError_t = HIP_SUCCESS;
    pub const NOT_READY: hipError_t = hipError_t_hipErrorNotReady;
    pub const HOST_TO_DEVICE: hipMemcpyKind = hipMemcpyKind_hipMemcpyHostToDevice;
    pub const DEVICE_TO_HOST: hipMemcpyKind = hipMemcpyKind_hipMemcpyDeviceToHost;
    pub const CAPTURE_MODE: hipStreamCaptureMode =
        hipStreamCaptureMode_hipStreamCaptureModeThreadLocal;
}

#[test]
fn both_libraries_are_found() {
    assert!(cubecl_hip_sys::is_available(), "neither is linked: each is found at run time");
}
