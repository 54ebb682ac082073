//! Functions with which a test program finds and installs the simulator.

use std::env;
use std::ffi::{CStr, CString, OsStr, OsString, c_int, c_void};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
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

/// Returns the simulator's path. Set `GPU_STREAM_CUDA_LIBRARY` to it.
///
/// It is the library that this process has loaded as its driver, if that is the simulator. Otherwise it is the one in
/// `CUDA_SIM_LIBRARY`, or the one that cargo built beside the running program. Cargo builds it for a dependency by `path`,
/// git or a registry.
///
/// # Errors
/// A message for the user that lists the paths that were tried.
pub fn library() -> Result<PathBuf, String> {
    if let Some(loaded) = loaded_library() {
        return Ok(loaded);
    }
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

/// Returns the file of the simulator that this process has loaded as its driver.
///
/// Copies under other names, which stand for further drivers, do not count, nor does a file that is gone.
fn loaded_library() -> Option<PathBuf> {
    let version = loaded_function(c"cuda_sim_version")?;
    let mut found = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: `found` is a valid out-pointer, and `version` is only compared with addresses.
    if unsafe { libc::dladdr(version, found.as_mut_ptr()) } == 0 {
        return None;
    }
    // SAFETY: `dladdr` succeeded, so the name is a C string that lives as long as the library, which is not closed.
    let path = unsafe { CStr::from_ptr(found.assume_init().dli_fname) };
    let path = PathBuf::from(OsStr::from_bytes(path.to_bytes()));
    let name = path.file_name()?.as_bytes();
    let is_driver = name.starts_with(b"libcuda.so") || name.starts_with(b"libcuda_sim");
    (is_driver && path.is_file()).then_some(path)
}

/// Returns a function of the driver that this process has loaded, if it is there.
fn loaded_function(name: &CStr) -> Option<*mut c_void> {
    let library = open(SONAME, libc::RTLD_LAZY | libc::RTLD_NOLOAD)?;
    // SAFETY: `library` is an open library, and the name is a C string.
    let function = unsafe { libc::dlsym(library, name.as_ptr()) };
    (!function.is_null()).then_some(function)
}

/// Opens a library. Returns `None` if it cannot be opened, or is not loaded although the flags require it.
fn open(name: &CStr, flags: c_int) -> Option<*mut c_void> {
    // SAFETY: the name is a C string. Loading runs initialisers: the simulator's only reads the environment and its own
    // tables, and the driver's starts nothing before `cuInit`.
    let library = unsafe { libc::dlopen(name.as_ptr(), flags) };
    (!library.is_null()).then_some(library)
}

/// Loads the simulator as this process's driver, with `gpus` devices.
///
/// Sets `GPU_STREAM_CUDA_LIBRARY` and `CUDA_SIM_GPUS`, and then loads the library. gpu-stream's CUDA backend finds it by
/// the variable. Whatever loads `libcuda.so.1` later, such as cudarc, gets it by its SONAME. Call it before any code
/// loads CUDA, and set the simulator's other variables before it: they are read now. On a second call, the library stays
/// as it is.
///
/// cudarc and others look for `libcuda.so` first. On a machine where a real driver has this name, they find the real one.
/// There, use the command `gpu-stream-cuda-sim`.
///
/// The library is never unloaded. The call does not block, except for reading the file.
///
/// # Errors
/// Errors as [`library`], and a message for the user if the library cannot be loaded, or the process has already loaded
/// another `libcuda.so.1`.
///
/// # Safety
/// No other thread is running, as at the start of `main`: this function sets environment variables.
pub unsafe fn install(gpus: usize) -> Result<(), String> {
    let soname = SONAME.to_string_lossy();
    if open(SONAME, libc::RTLD_LAZY | libc::RTLD_NOLOAD).is_some() && !is_loaded() {
        return Err(format!(
            "the process has already loaded another {soname}: call cuda_sim::install before any code loads CUDA"
        ));
    }
    let library = library()?;
    let path = CString::new(library.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    // SAFETY: no other thread runs (caller contract), so none accesses the environment.
    unsafe {
        env::set_var(BACKEND, &library);
        env::set_var("CUDA_SIM_GPUS", gpus.to_string());
    }
    if open(&path, libc::RTLD_NOW | libc::RTLD_LOCAL).is_none() {
        return Err(format!("{} cannot be loaded: {}", library.display(), loader_error()));
    }
    if is_loaded() {
        return Ok(());
    }
    Err(format!(
        "{} was loaded but is not found as {soname}: it is not the simulator",
        library.display()
    ))
}

/// Returns the dynamic linker's message about its last failure.
fn loader_error() -> String {
    // SAFETY: `dlerror` has no requirements.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return "the dynamic linker gives no reason".into();
    }
    // SAFETY: `text` is not null, so it is a C string that is valid until this thread's next call of the linker.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Returns `true` if this machine has no CUDA driver and no variable names one. Tests that need a device then use the
/// simulator. Call it before [`install`], after which it returns `false`: the simulator is then there.
///
/// It does not start a driver that is present.
pub fn no_driver_here() -> bool {
    if env::var_os(BACKEND).is_some_and(|name| !name.is_empty()) {
        return false;
    }
    open(SONAME, libc::RTLD_LAZY | libc::RTLD_LOCAL).is_none()
}

/// Returns `true` if the process has loaded the simulator as its driver.
pub fn is_loaded() -> bool {
    loaded_function(c"cuda_sim_version").is_some()
}

/// Enqueues work on `stream` that fails with `code`, as a kernel can. From then on, the stream's context returns that
/// code.
///
/// `stream` is a handle of the loaded simulator. Any other handle aborts the process with a message, as in each of the
/// simulator's functions.
///
/// # Errors
/// The simulator's code, such as 709 for a stream of a context that was reset, or -1 if the simulator is not loaded.
pub fn fail(stream: usize, code: c_int) -> Result<(), c_int> {
    type Fail = unsafe extern "C" fn(*mut c_void, c_int) -> c_int;
    let found = loaded_function(c"cuda_sim_fail").ok_or(-1)?;
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
