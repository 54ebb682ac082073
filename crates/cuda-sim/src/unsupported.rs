//! Stubs for platforms without the simulated driver.

use std::path::PathBuf;

const REASON: &str = "the simulated CUDA driver is for Linux only";

/// Returns an error: the driver is simulated on Linux only.
///
/// # Errors
/// Always, on this platform.
pub fn library() -> Result<PathBuf, String> {
    Err(REASON.into())
}

/// Returns an error: the driver is simulated on Linux only.
///
/// # Errors
/// Always, on this platform.
///
/// # Safety
/// No requirements on this platform.
pub unsafe fn install(_gpus: usize) -> Result<(), String> {
    Err(REASON.into())
}

/// Returns `false`: the simulated driver cannot be used on this platform.
pub fn no_driver_here() -> bool {
    false
}

/// Returns `false`: the simulated driver cannot be loaded on this platform.
pub fn is_loaded() -> bool {
    false
}

/// Returns an error: the simulated driver cannot be loaded on this platform.
///
/// # Errors
/// Always -1, on this platform.
pub fn fail(_stream: usize, _code: std::ffi::c_int) -> Result<(), std::ffi::c_int> {
    Err(-1)
}
