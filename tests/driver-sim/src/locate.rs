//! What a test program calls to find the simulator.

use std::env;
use std::ffi::{CStr, OsStr, OsString, c_int, c_void};
use std::path::PathBuf;

/// What cargo calls the cdylib of this crate.
pub const FILE: &str = "libdriver_sim.so";

/// The variable that names the CUDA backend's library.
const BACKEND: &str = "GPU_STREAM_CUDA_LIBRARY";

/// The name under which the real driver and the simulator are looked for.
const SONAME: &CStr = c"libcuda.so.1";

/// Where the simulator is: what `DRIVER_SIM_LIBRARY` names, or the library that cargo built beside
/// the running program. Set `GPU_STREAM_CUDA_LIBRARY` to it.
///
/// # Errors
/// A sentence for the user that names the places where it was looked for.
pub fn library() -> Result<PathBuf, String> {
    match env::var_os("DRIVER_SIM_LIBRARY").filter(|name| !name.is_empty()) {
        None => gpu_stream_faults::built(FILE),
        Some(named) => {
            let path = PathBuf::from(named);
            if path.is_file() {
                return Ok(path);
            }
            Err(format!("DRIVER_SIM_LIBRARY={}: there is no such file", path.display()))
        }
    }
}

/// Has the CUDA backend of this process run over the simulator, with so many devices: sets
/// `GPU_STREAM_CUDA_LIBRARY` and `DRIVER_SIM_GPUS`. Call it before anything loads CUDA.
///
/// # Errors
/// As [`library`].
///
/// # Safety
/// No other thread is running, as at the start of `main`: it sets environment variables.
pub unsafe fn install(gpus: usize) -> Result<(), String> {
    let library = library()?;
    // SAFETY: nobody else reads or writes the environment meanwhile, as the caller promises.
    unsafe {
        env::set_var(BACKEND, library);
        env::set_var("DRIVER_SIM_GPUS", gpus.to_string());
    }
    Ok(())
}

/// Whether this machine has no CUDA driver and nothing names one: then tests that want a device go
/// over the simulator. Does not start a driver that is there.
pub fn no_driver_here() -> bool {
    if env::var_os(BACKEND).is_some_and(|name| !name.is_empty()) {
        return false;
    }
    // SAFETY: a C string. Loading the real driver starts nothing before `cuInit`.
    let found = unsafe { libc::dlopen(SONAME.as_ptr(), libc::RTLD_LAZY | libc::RTLD_LOCAL) };
    found.is_null()
}

/// Whether the process has loaded the simulator as its driver.
pub fn is_loaded() -> bool {
    // SAFETY: C strings; nothing is loaded that was not there already.
    unsafe {
        let found = libc::dlopen(SONAME.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD);
        !found.is_null() && !libc::dlsym(found, c"driver_sim_version".as_ptr()).is_null()
    }
}

/// Enqueues work on `stream` that fails with `code`, as a kernel can. From then on the stream's context
/// answers with that code. The handle is one of the simulator that is loaded.
///
/// # Errors
/// The code of the simulator, or -1 if it is not loaded.
pub fn fail(stream: usize, code: c_int) -> Result<(), c_int> {
    type Fail = unsafe extern "C" fn(*mut c_void, c_int) -> c_int;
    // SAFETY: C strings; nothing is loaded that was not there already.
    let found = unsafe {
        let library = libc::dlopen(SONAME.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD);
        if library.is_null() {
            return Err(-1);
        }
        libc::dlsym(library, c"driver_sim_fail".as_ptr())
    };
    if found.is_null() {
        return Err(-1);
    }
    // SAFETY: only the simulator has a function of this name, and this is its signature.
    let fail: Fail = unsafe { std::mem::transmute(found) };
    // SAFETY: the simulator looks the handle up.
    match unsafe { fail(std::ptr::without_provenance_mut(stream), code) } {
        0 => Ok(()),
        code => Err(code),
    }
}

/// What to give `DRIVER_SIM_HIDE`, so that these functions are missing.
pub fn without<S: AsRef<OsStr>>(names: &[S]) -> OsString {
    names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(OsStr::new(","))
}
