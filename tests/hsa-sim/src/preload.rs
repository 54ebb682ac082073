//! What a test program calls to have HIP run over the simulator.

use std::ffi::{CStr, CString, OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// The name under which libamdhip64 asks for the runtime.
const SONAME: &CStr = c"libhsa-runtime64.so.1";

/// The function that only the simulator has.
const VERSION: &CStr = c"hsa_sim_version";

/// What cargo calls the cdylib of this crate.
const FILE: &str = "libhsa_sim.so";

/// Loads the simulated runtime into this process, so that a libamdhip64 that is loaded later uses
/// it.
///
/// Call it before anything loads HIP: the dynamic linker gives a library that asks for
/// `libhsa-runtime64.so.1` the one that is already there under this name. A second call, or a call
/// in a process that was started over the simulator, does nothing. The variables `HSA_SIM_GPUS` and
/// `HSA_SIM_TRACE` are read when HIP starts.
///
/// The library is never unloaded. Does not block, but for reading the file.
///
/// # Errors
///
/// A sentence for the user: the library was not found, cannot be loaded, or the process has already
/// loaded another HSA runtime.
pub fn preload() -> Result<(), String> {
    if loaded_version().is_some() {
        return Ok(());
    }
    if handle(SONAME, libc::RTLD_NOW | libc::RTLD_NOLOAD).is_some() {
        return Err(format!(
            "the process has already loaded another {}: call hsa_sim::preload before anything \
             loads the HIP library",
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
            "{} was loaded but does not answer as {}: it is not the simulator, or was linked by a \
             linker that this crate's build script does not know (it needs lld, Rust's default)",
            path.display(),
            SONAME.to_string_lossy()
        )),
    }
}

/// The version of the simulator that this process has loaded under the runtime's name, if it has.
pub fn loaded_version() -> Option<String> {
    let library = handle(SONAME, libc::RTLD_NOW | libc::RTLD_NOLOAD)?;
    // SAFETY: `library` is an open library, and the name a C string.
    let function = unsafe { libc::dlsym(library, VERSION.as_ptr()) };
    if function.is_null() {
        return None;
    }
    // SAFETY: only the simulator has this function, of this type.
    let version: unsafe extern "C" fn() -> *const c_char = unsafe { std::mem::transmute(function) };
    // SAFETY: it gives a text that stays as long as the library, which is never closed.
    Some(unsafe { CStr::from_ptr(version()) }.to_string_lossy().into_owned())
}

/// Where the simulated runtime is: what `HSA_SIM_LIBRARY` names, or the library that cargo built
/// beside the running program.
///
/// # Errors
///
/// A sentence for the user that names the places where it was looked for.
pub fn library() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os("HSA_SIM_LIBRARY").filter(|name| !name.is_empty()) {
        let path = PathBuf::from(named);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(format!("HSA_SIM_LIBRARY={}: there is no such file", path.display()))
        };
    }
    // Under another dynamic linker the running program is that linker, and only the first argument
    // tells the program that cargo built.
    let programs = [env::current_exe().ok(), env::args_os().next().map(PathBuf::from)];
    let folders = programs.iter().flatten().filter_map(|program| program.parent());
    let places: Vec<PathBuf> = folders.flat_map(beside).collect();
    places.iter().find(|place| place.is_file()).cloned().ok_or_else(|| {
        let names: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        format!(
            "the simulated HSA runtime was not found (looked for {}). Cargo builds it where \
             gpu-stream-hsa-sim is a dependency; HSA_SIM_LIBRARY can name it.",
            names.join(", ")
        )
    })
}

/// A command that starts the running program again, without its arguments.
///
/// This matters for a program that was started by hand through a dynamic linker, as `run` does for
/// a library of another Debian suite: [`std::env::current_exe`] is that linker then, and the
/// command has to go through it with the same folders. Elsewhere it is the running program.
///
/// # Errors
///
/// Those of reading `/proc/self/cmdline` and of [`std::env::current_exe`].
pub fn this_program() -> io::Result<Command> {
    let exe = env::current_exe()?;
    let is_linker = exe.file_name().is_some_and(|name| {
        let name = name.as_bytes();
        name.starts_with(b"ld-linux") || name.starts_with(b"ld-") && name.ends_with(b".so")
    });
    let mut command = Command::new(exe);
    if is_linker {
        // The linker's own arguments come before the program, which is the first that Rust tells.
        let whole = fs::read("/proc/self/cmdline")?;
        let count = whole.iter().filter(|&&byte| byte == 0).count();
        let own = count.saturating_sub(env::args_os().len());
        let words = whole.split(|&byte| byte == 0).take(own + 1).skip(1);
        command.args(words.map(OsStr::from_bytes));
    }
    Ok(command)
}

/// Where cargo may have put the library, seen from a program's folder: tests lie beside it,
/// programs above it and examples next to its folder.
fn beside(folder: &Path) -> [PathBuf; 4] {
    ["", "deps", "../deps", ".."].map(|step| folder.join(step).join(FILE))
}

/// Opens a library; `None` if it cannot be, or is not there already where that was asked.
fn handle(name: &CStr, flags: i32) -> Option<*mut c_void> {
    // SAFETY: a C string. Loading runs the library's initialisers: the simulator has none, and a
    // library that is already loaded has run its own.
    let library = unsafe { libc::dlopen(name.as_ptr(), flags) };
    (!library.is_null()).then_some(library)
}

/// What the dynamic linker says of its last failure.
fn loader_error() -> String {
    // SAFETY: it may be called at any time, and gives null or a C string of this thread.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return "no reason was given".into();
    }
    // SAFETY: not null.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
