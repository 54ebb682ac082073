//! The real library, loaded at the first call.

use std::env;
use std::ffi::{OsStr, OsString, c_int};
use std::sync::OnceLock;

use libloading::Library;

/// The names that the backend tries, newest first.
const NAMES: [&str; 4] =
    ["libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5", "libamdhip64.so"];

/// Returns the real library. Returns `None` if none can be loaded.
pub(crate) fn library() -> Option<&'static Library> {
    static LIBRARY: OnceLock<Option<Library>> = OnceLock::new();
    LIBRARY.get_or_init(open).as_ref()
}

fn open() -> Option<Library> {
    let named = env::var_os("HIP_FAULTS_REAL").filter(|name| !name.is_empty());
    let names: Vec<OsString> = match named {
        Some(name) => vec![name],
        None => NAMES.iter().map(OsString::from).collect(),
    };
    names.iter().find_map(|name| open_loaded(name)).or_else(|| {
        // SAFETY: loading runs the library's initialisers. The library is AMD's runtime, or the one
        // that the user named in `HIP_FAULTS_REAL`.
        names.iter().find_map(|name| unsafe { Library::new(name) }.ok())
    })
}

/// Returns the library of this name if the process has loaded it.
#[cfg(target_os = "linux")]
fn open_loaded(name: &OsStr) -> Option<Library> {
    use libloading::os::unix;
    const RTLD_NOLOAD: c_int = 4;
    let flags = unix::RTLD_LAZY | unix::RTLD_LOCAL | RTLD_NOLOAD;
    // SAFETY: `RTLD_NOLOAD` loads no library and runs no initialiser.
    unsafe { unix::Library::open(Some(name), flags) }.ok().map(Library::from)
}

#[cfg(not(target_os = "linux"))]
fn open_loaded(_: &OsStr) -> Option<Library> {
    None
}

/// Resolves the real function of this name. Returns `None` if the real library lacks it.
///
/// # Safety
/// `F` is the type of a pointer to that function.
pub(crate) unsafe fn find<F: Copy>(name: &str) -> Option<F> {
    // SAFETY: `F` is the function's type (caller contract), and the library is never closed.
    unsafe { library()?.get::<F>(name) }.ok().map(|found| *found)
}

/// Returns the version that the layer presents: `HIP_FAULTS_VERSION`, or the library's own.
pub(crate) fn version() -> c_int {
    static VERSION: OnceLock<c_int> = OnceLock::new();
    *VERSION.get_or_init(|| {
        let set = env::var("HIP_FAULTS_VERSION").ok().and_then(|text| text.parse().ok());
        set.unwrap_or_else(|| {
            type Function = unsafe extern "C" fn(*mut c_int) -> c_int;
            let mut version = 0;
            // SAFETY: `hip_runtime_api.h` declares the function with this type, and `&mut version`
            // is a valid out-pointer.
            unsafe {
                find::<Function>("hipRuntimeGetVersion")
                    .map(|get_version| get_version(&mut version))
            };
            version
        })
    })
}
