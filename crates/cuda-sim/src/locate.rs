//! Functions with which a test program finds and installs the simulator.

use std::env;
use std::ffi::{CStr, OsStr, OsString, c_int, c_void};
use std::path::PathBuf;

/// The file name that cargo gives this crate's cdylib. As a dependency from git or a registry, the name
/// also has a hash.
pub const FILE: &str = "libcuda_sim.so";

/// The folder of this build, which the cdylib contains as well: see [`gpu_stream_faults::built_by`].
pub(crate) const BUILD: &str = env!("OUT_DIR");

/// The variable that names the CUDA backend's library.
const BACKEND: &str = "GPU_STREAM_CUDA_LIBRARY";

/// The name under which programs load the driver, real or simulated.
const SONAME: &CStr = c"libcuda.so.1";

/// Returns the simulator's path: that in `CUDA_SIM_LIBRARY`, or the library that cargo built
/// beside the running program, whether this crate came by `path`, git or a registry. Set `GPU_STREAM_CUDA_LIBRARY` to it.
///
/// # Errors
/// A message for the user that lists the paths that were tried.
pub fn library() -> Result<PathBuf, String> {
    match env::var_os("CUDA_SIM_LIBRARY").filter(|name| !name.is_empty()) {
        None => gpu_stream_faults::built_by(FILE, BUILD),
        Some(named) => {
            let path = PathBuf::from(named);
            if path.is_file() {
                return Ok(path);
            }
            Err(format!("CUDA_SIM_LIBRARY={}: there is no such file", path.display()))
        }
    }
}

/// Makes the CUDA backend of this process run over the simulator, with `gpus` devices.
///
/// Sets `GPU_STREAM_CUDA_LIBRARY` and `CUDA_SIM_GPUS`. Call it before any code loads CUDA.
///
/// # Errors
/// Errors as [`library`].
///
/// # Safety
/// No other thread is running, as at the start of `main`: this function sets environment variables.
pub unsafe fn install(gpus: usize) -> Result<(), String> {
    let library = library()?;
    // SAFETY: no other thread runs (caller contract), so none accesses the environment.
    unsafe {
        env::set_var(BACKEND, library);
        env::set_var("CUDA_SIM_GPUS", gpus.to_string());
    }
    Ok(())
}

/// Returns `true` if this machine has no CUDA driver and no variable names one. Tests that need a
/// device then use the simulator.
///
/// It does not start a driver that is present.
pub fn no_driver_here() -> bool {
    if env::var_os(BACKEND).is_some_and(|name| !name.is_empty()) {
        return false;
    }
    // SAFETY: the name is a C string. Loading the real driver starts nothing before `cuInit`.
    let found = unsafe { libc::dlopen(SONAME.as_ptr(), libc::RTLD_LAZY | libc::RTLD_LOCAL) };
    found.is_null()
}

/// Returns `true` if the process has loaded the simulator as its driver.
pub fn is_loaded() -> bool {
    // SAFETY: the names are C strings, and `RTLD_NOLOAD` loads nothing.
    unsafe {
        let found = libc::dlopen(SONAME.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD);
        !found.is_null() && !libc::dlsym(found, c"cuda_sim_version".as_ptr()).is_null()
    }
}

/// Enqueues work on `stream` that fails with `code`, as a kernel can. From then on, the stream's
/// context returns that code.
///
/// `stream` is a handle of the loaded simulator.
///
/// # Errors
/// The simulator's code, or -1 if the simulator is not loaded.
pub fn fail(stream: usize, code: c_int) -> Result<(), c_int> {
    type Fail = unsafe extern "C" fn(*mut c_void, c_int) -> c_int;
    // SAFETY: the names are C strings, and `RTLD_NOLOAD` loads nothing.
    let found = unsafe {
        let library = libc::dlopen(SONAME.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD);
        if library.is_null() {
            return Err(-1);
        }
        libc::dlsym(library, c"cuda_sim_fail".as_ptr())
    };
    if found.is_null() {
        return Err(-1);
    }
    // SAFETY: only the simulator exports a function of this name, and it has this signature.
    let fail: Fail = unsafe { std::mem::transmute(found) };
    // SAFETY: the simulator checks the handle.
    match unsafe { fail(std::ptr::without_provenance_mut(stream), code) } {
        0 => Ok(()),
        code => Err(code),
    }
}

/// Returns the value of `CUDA_SIM_HIDE` that hides these functions.
pub fn without<S: AsRef<OsStr>>(names: &[S]) -> OsString {
    names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(OsStr::new(","))
}
