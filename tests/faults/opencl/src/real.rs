//! The real loader, opened at the first call.

use std::env;
use std::ffi::OsString;
use std::sync::OnceLock;

use libloading::Library;

/// The names that the backend tries, in its order.
const NAMES: &[&str] =
    if cfg!(windows) { &["OpenCL.dll"] } else { &["libOpenCL.so.1", "libOpenCL.so"] };

/// Returns the real loader. Returns `None` if none can be opened.
fn library() -> Option<&'static Library> {
    static LIBRARY: OnceLock<Option<Library>> = OnceLock::new();
    LIBRARY.get_or_init(open).as_ref()
}

fn open() -> Option<Library> {
    let named = env::var_os("OPENCL_FAULTS_REAL").filter(|name| !name.is_empty());
    let names: Vec<OsString> = match named {
        Some(name) => vec![name],
        None => NAMES.iter().map(OsString::from).collect(),
    };
    // SAFETY: loading runs the library's initializers. The library is an OpenCL loader, or the one that the user named
    // in `OPENCL_FAULTS_REAL`.
    names.iter().find_map(|name| unsafe { Library::new(name) }.ok())
}

/// Resolves the real function of this name. Returns `None` if the real loader lacks it.
///
/// # Safety
/// `F` is the type of a pointer to that function.
pub(crate) unsafe fn find<F: Copy>(name: &str) -> Option<F> {
    // SAFETY: `F` is the function's type (caller contract), and the library is never closed.
    unsafe { library()?.get::<F>(name) }.ok().map(|found| *found)
}
