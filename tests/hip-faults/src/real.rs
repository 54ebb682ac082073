//! The library behind the layer, loaded at the first call.

use std::env;
use std::ffi::{OsStr, OsString, c_int};
use std::sync::OnceLock;

use libloading::Library;

/// As the backend has them: newest first.
const NAMES: [&str; 4] =
    ["libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5", "libamdhip64.so"];

/// The real library, or `None` if there is none.
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
    names.iter().find_map(|name| present(name)).or_else(|| {
        // SAFETY: loading runs the library's initialisers. It is AMD's runtime, or what the person
        // who set the variable vouches for.
        names.iter().find_map(|name| unsafe { Library::new(name) }.ok())
    })
}

/// The library of this name, if the process has loaded it.
#[cfg(target_os = "linux")]
fn present(name: &OsStr) -> Option<Library> {
    use libloading::os::unix;
    const RTLD_NOLOAD: c_int = 4;
    let flags = unix::RTLD_LAZY | unix::RTLD_LOCAL | RTLD_NOLOAD;
    // SAFETY: nothing is loaded, and no initialiser run.
    unsafe { unix::Library::open(Some(name), flags) }.ok().map(Library::from)
}

#[cfg(not(target_os = "linux"))]
fn present(_: &OsStr) -> Option<Library> {
    None
}

/// The real function with this name.
///
/// # Safety
/// `F` is the type of a pointer to that function.
pub(crate) unsafe fn find<F: Copy>(name: &str) -> Option<F> {
    // SAFETY: the caller promises the type; the library is never closed.
    unsafe { library()?.get::<F>(name) }.ok().map(|found| *found)
}

/// The version that the layer shows: the variable's, or the library's own.
pub(crate) fn version() -> c_int {
    static VERSION: OnceLock<c_int> = OnceLock::new();
    *VERSION.get_or_init(|| {
        let set = env::var("HIP_FAULTS_VERSION").ok().and_then(|text| text.parse().ok());
        set.unwrap_or_else(|| {
            type Function = unsafe extern "C" fn(*mut c_int) -> c_int;
            let mut version = 0;
            // SAFETY: that is the function's type, and `version` is a place for the number.
            unsafe { find::<Function>("hipRuntimeGetVersion").map(|ask| ask(&mut version)) };
            version
        })
    })
}
