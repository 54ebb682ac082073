//! What a start that failed means. The driver has no texts before it has started.

use super::code::CudaCode;

/// Returns the name of a code that a start can end with, and what to do about it.
pub(crate) fn on_start(code: CudaCode) -> (&'static str, &'static str) {
    match code.get() {
        2 => (" CUDA_ERROR_OUT_OF_MEMORY", "free memory, or raise the limits of this process"),
        3 => (" CUDA_ERROR_NOT_INITIALIZED", "the driver is not ready; the next call tries again"),
        46 => (" CUDA_ERROR_DEVICE_UNAVAILABLE", "another process may hold the device exclusively"),
        101 => (" CUDA_ERROR_INVALID_DEVICE", "correct CUDA_VISIBLE_DEVICES"),
        304 => (" CUDA_ERROR_OPERATING_SYSTEM", "see whether this user may open /dev/nvidia*"),
        802 => (" CUDA_ERROR_SYSTEM_NOT_READY", "wait for, or start, NVIDIA's fabric manager"),
        803 => (
            " CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
            "the library is not of the version of the kernel's module; restart after an update, or use the other file",
        ),
        804 => (
            " CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE",
            "take the compat library out of the loader's path",
        ),
        999 => (" CUDA_ERROR_UNKNOWN", "see whether the modules nvidia and nvidia_uvm are loaded"),
        _ => ("", "see what nvidia-smi says"),
    }
}
