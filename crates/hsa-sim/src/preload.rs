//! Functions with which a test program makes HIP run over the simulator.

use std::ffi::{CStr, CString, OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs, io};

/// The name under which libamdhip64 looks up the runtime.
const SONAME: &CStr = c"libhsa-runtime64.so.1";

/// The function that only the simulator exports.
const VERSION: &CStr = c"hsa_sim_version";

/// The function that returns the number of live signals. Only the simulator exports it.
const LIVE_SIGNALS: &CStr = c"hsa_sim_live_signals";

/// The file name that cargo gives this crate's cdylib. As a dependency from git or a registry, the name
/// also has a hash.
const FILE: &str = "libhsa_sim.so";

/// The folder of this build, which the cdylib contains as well: see [`gpu_stream_faults::built_by`].
const BUILD: &str = env!("OUT_DIR");

/// Loads the simulated runtime into this process, so that a libamdhip64 that is loaded later uses
/// it.
///
/// Call it before any code loads HIP: the dynamic linker resolves `libhsa-runtime64.so.1` to the
/// library that is already loaded under this name. It does nothing on a second call, or in a
/// process that was started over the simulator. HIP reads the variables `HSA_SIM_GPUS` and
/// `HSA_SIM_TRACE` when it starts.
///
/// The library is never unloaded. The call does not block, except for reading the file.
///
/// # Errors
///
/// A message for the user: the library was not found, cannot be loaded, or the process has already
/// loaded another HSA runtime.
pub fn preload() -> Result<(), String> {
    if loaded_version().is_some() {
        return Ok(());
    }
    if handle(SONAME, libc::RTLD_NOW | libc::RTLD_NOLOAD).is_some() {
        return Err(format!(
            "the process has already loaded another {}: call hsa_sim::preload before any \
             code loads the HIP library",
            SONAME.to_string_lossy()
        ));
    }
    let path = library()?;
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    if handle(&name, libc::RTLD_NOW | libc::RTLD_GLOBAL).is_none() {
        return Err(format!("{} cannot be loaded: {}", path.display(), loader_error()));
    }
    match loaded_version() {
        Some(_) => Ok(()),
        None => Err(format!(
            "{} was loaded but is not found as {}: it is not the simulator, or was linked by another \
             linker than lld; build it again where this crate's build script finds one",
            path.display(),
            SONAME.to_string_lossy()
        )),
    }
}

/// Returns the version of the simulator that this process has loaded under the runtime's name.
/// Returns `None` if it has not.
pub fn loaded_version() -> Option<String> {
    let function = loaded_function(VERSION)?;
    // SAFETY: only the simulator exports this function, and it has this type.
    let version: unsafe extern "C" fn() -> *const c_char = unsafe { std::mem::transmute(function) };
    // SAFETY: the function returns a static string of the library, which is never closed.
    Some(unsafe { CStr::from_ptr(version()) }.to_string_lossy().into_owned())
}

/// Returns the number of signals that HIP has created and not destroyed, those of queues included. Returns `None` if
/// this process has not loaded the simulator.
pub fn live_signals() -> Option<u64> {
    let function = loaded_function(LIVE_SIGNALS)?;
    // SAFETY: only the simulator exports this function, and it has this type.
    let count: unsafe extern "C" fn() -> u64 = unsafe { std::mem::transmute(function) };
    // SAFETY: the function has no requirements.
    Some(unsafe { count() })
}

/// Returns a function of the HSA runtime that this process has loaded.
fn loaded_function(name: &CStr) -> Option<*mut c_void> {
    let library = handle(SONAME, libc::RTLD_NOW | libc::RTLD_NOLOAD)?;
    // SAFETY: `library` is an open library, and the name is a C string.
    let function = unsafe { libc::dlsym(library, name.as_ptr()) };
    (!function.is_null()).then_some(function)
}

/// Returns the path of the simulated runtime: that in `HSA_SIM_LIBRARY`, or the library that cargo
/// built beside the running program.
///
/// # Errors
///
/// A message for the user that lists the paths that were tried.
pub fn library() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os("HSA_SIM_LIBRARY").filter(|name| !name.is_empty()) {
        let path = PathBuf::from(named);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(format!("HSA_SIM_LIBRARY={}: there is no such file", path.display()))
        };
    }
    gpu_stream_faults::built_by(FILE, BUILD)
        .map_err(|error| format!("the simulated HSA runtime: {error}, or set HSA_SIM_LIBRARY"))
}

/// Returns a command that starts the running program again, without its arguments.
///
/// This matters for a program that was started through an explicit dynamic linker, as the command
/// `gpu-stream-hsa-sim` does for a library of another Debian suite. There,
/// [`std::env::current_exe`] is that linker, and the command must repeat it with the same folders.
/// Otherwise the command is the running program.
///
/// # Errors
///
/// Errors of reading `/proc/self/cmdline` and of [`std::env::current_exe`].
pub fn this_program() -> io::Result<Command> {
    let exe = env::current_exe()?;
    let is_linker = exe.file_name().is_some_and(|name| {
        let name = name.as_bytes();
        name.starts_with(b"ld-linux") || name.starts_with(b"ld-") && name.ends_with(b".so")
    });
    let mut command = Command::new(exe);
    if is_linker {
        // The linker's own arguments come before the program's, the first of which Rust reports as
        // the program.
        let whole = fs::read("/proc/self/cmdline")?;
        let count = whole.iter().filter(|&&byte| byte == 0).count();
        let own = count.saturating_sub(env::args_os().len());
        let words = whole.split(|&byte| byte == 0).take(own + 1).skip(1);
        command.args(words.map(OsStr::from_bytes));
    }
    Ok(command)
}

/// Opens a library. Returns `None` if it cannot be opened, or is not loaded although the flags
/// require it.
fn handle(name: &CStr, flags: i32) -> Option<*mut c_void> {
    // SAFETY: the name is a C string. Loading runs initialisers: the simulator has none, and a
    // library that is already loaded has run its own.
    let library = unsafe { libc::dlopen(name.as_ptr(), flags) };
    (!library.is_null()).then_some(library)
}

/// Returns the dynamic linker's message about its last failure.
fn loader_error() -> String {
    // SAFETY: `dlerror` has no requirements.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return "the dynamic linker gives no reason".into();
    }
    // SAFETY: `text` is not null, so it is a C string that is valid until this thread's next call
    // of the linker.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
