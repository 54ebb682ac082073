//! What a test program finds where the driver is not simulated.

/// Has the CUDA backend run over the simulated driver: only on Linux.
///
/// # Errors
/// Always here: the driver is only simulated on Linux.
///
/// # Safety
/// None is needed here.
pub unsafe fn install(_gpus: usize) -> Result<(), String> {
    Err("the simulated CUDA driver is for Linux only".into())
}

/// Whether the simulated driver is to be used: never here.
pub fn no_driver_here() -> bool {
    false
}

/// Whether the process has loaded the simulated driver: never here.
pub fn is_loaded() -> bool {
    false
}

/// Enqueues work that fails: never here.
///
/// # Errors
/// Always here: -1, as the simulated driver is not loaded.
pub fn fail(_stream: usize, _code: std::ffi::c_int) -> Result<(), std::ffi::c_int> {
    Err(-1)
}
