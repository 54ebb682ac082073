//! hip-sys, the bindings that gpu-stream's feature `hip-sys` converts from and to.

mod cases;

/// The bindings, under the names that the cases use.
mod api {
    pub use hip_sys::hiprt::*;

    pub const SUCCESS: hipError_t = hipError_t::hipSuccess;
    pub const NOT_READY: hipError_t = hipError_t::hipErrorNotReady;
    pub const HOST_TO_DEVICE: hipMemcpyKind = hipMemcpyKind::hipMemcpyHostToDevice;
    pub const DEVICE_TO_HOST: hipMemcpyKind = hipMemcpyKind::hipMemcpyDeviceToHost;
    pub const CAPTURE_MODE: hipStreamCaptureMode =
        hipStreamCaptureMode::hipStreamCaptureModeThreadLocal;
}
