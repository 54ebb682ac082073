//! Finding the runtime's library, once.

use std::env;
use std::ffi::{OsStr, OsString, c_int};
use std::sync::Arc;

use libloading::Library;

use super::code::HipCode;
use super::symbols::{Symbols, find};
use crate::HipError;

/// Names the library, instead of the usual names.
const VARIABLE: &str = "GPU_STREAM_HIP_LIBRARY";

/// Newest first. Where the loader looks is its own affair: `LD_LIBRARY_PATH`, `ldconfig`, `PATH`.
const NAMES: &[&str] = if cfg!(windows) {
    &["amdhip64_7.dll", "amdhip64_6.dll", "amdhip64.dll"]
} else {
    &["libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5", "libamdhip64.so"]
};

/// The oldest runtime that this crate was tried with: 5.2.
const OLDEST: c_int = 50_200_000;

/// Where the functions come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// A library that we loaded.
    Loaded,
    /// A library that the process had loaded before.
    Present,
    /// The program was linked with them.
    #[cfg(feature = "hip-sys")]
    Linked,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Source::Loaded => "by its name",
            Source::Present => "in the process, which had loaded it before",
            #[cfg(feature = "hip-sys")]
            Source::Linked => "linked into the program",
        })
    }
}

/// The library and what was found in it.
pub(super) struct Found {
    pub(super) library: Arc<str>,
    pub(super) source: Source,
    pub(super) version: c_int,
    pub(super) symbols: Symbols,
}

type GetVersion = unsafe extern "C" fn(*mut c_int) -> HipCode;

/// The function that tells the version.
const VERSION: &str = "hipRuntimeGetVersion";

/// Whether a version is CUDA's, 12090 for instance, which HIP's NVIDIA platform gives for its own.
pub(crate) const fn is_on_cuda(version: c_int) -> bool {
    version < 1_000_000
}

/// What a runtime without any device says: 100 since HIP 6, 101 before. The same 101 from a call
/// that names a device would be about that one.
pub(super) const fn is_no_device(code: HipCode) -> bool {
    matches!(code, HipCode::NO_DEVICE | HipCode::INVALID_DEVICE)
}

/// Loads the library and starts the runtime.
pub(super) fn load() -> Result<Found, HipError> {
    let (opened, library, source) = open()?;
    // Never closed: the runtime starts threads of its own, and has handlers for the end of threads
    // and of the process.
    let opened: &'static Library = Box::leak(Box::new(opened));
    let missing = |symbol| HipError::SymbolNotFound { symbol, library: Arc::clone(&library) };
    // First, since an old runtime lacks other functions, and its age is what the user has to know.
    // SAFETY: that is the function's signature, and the library is loaded for ever.
    let get_version: GetVersion =
        unsafe { find(opened, VERSION) }.ok_or_else(|| missing(VERSION))?;
    let version = version(get_version, &library)?;
    let symbols = Symbols::resolve(opened).map_err(missing)?;
    start(Found { library, source, version, symbols })
}

/// The functions that hip-sys has linked the program with.
#[cfg(feature = "hip-sys")]
pub(super) fn linked() -> Result<Found, HipError> {
    let symbols = linked_symbols();
    let file = file_of(symbols.init as usize);
    let library: Arc<str> = file.as_deref().unwrap_or("libamdhip64.so").into();
    let get_version =
        super::abi::as_ours(hip_sys::hiprt::hipRuntimeGetVersion as unsafe extern "C" fn(_) -> _);
    let version = version(get_version, &library)?;
    start(Found { library, source: Source::Linked, version, symbols })
}

#[cfg(feature = "hip-sys")]
fn linked_symbols() -> Symbols {
    // Where what is linked is found, as is all that the program itself has.
    let program = libloading::os::unix::Library::this();
    Symbols::linked(&program.into())
}

/// Whether these are the functions of the library that the program is linked with: the run-time
/// loader may have found the same.
#[cfg(feature = "hip-sys")]
pub(super) fn is_linked(symbols: &Symbols) -> bool {
    std::ptr::fn_addr_eq(symbols.event_record, linked_symbols().event_record)
}

fn version(get_version: GetVersion, library: &Arc<str>) -> Result<c_int, HipError> {
    let mut version = 0;
    // SAFETY: `version` is a place for the number; the call needs no initialisation.
    let code = unsafe { get_version(&mut version) };
    if is_no_device(code) {
        // HIP up to 5 starts itself for this call, and says nothing else without a device.
        return Err(HipError::NoDevice { library: Arc::clone(library), version });
    }
    if code != HipCode::SUCCESS {
        return Err(HipError::Driver { operation: "loading the runtime", function: VERSION, code });
    }
    if version < OLDEST && !is_on_cuda(version) {
        let library = Arc::clone(library);
        return Err(HipError::DriverTooOld { library, version, oldest: OLDEST });
    }
    Ok(version)
}

fn start(found: Found) -> Result<Found, HipError> {
    // SAFETY: flags must be 0, and are.
    match unsafe { (found.symbols.init)(0) } {
        HipCode::SUCCESS => Ok(found),
        code if is_no_device(code) => {
            Err(HipError::NoDevice { library: found.library, version: found.version })
        }
        // The texts are not asked of a runtime that did not start.
        code => {
            Err(HipError::Driver { operation: "loading the runtime", function: "hipInit", code })
        }
    }
}

/// The library, its name as it was given to the loader, and whether it was there before.
fn open() -> Result<(Library, Arc<str>, Source), HipError> {
    let named = env::var_os(VARIABLE).filter(|name| !name.is_empty());
    let by_variable = named.is_some();
    let names: Vec<OsString> = match named {
        Some(name) => vec![name],
        None => NAMES.iter().map(OsString::from).collect(),
    };
    // One process must not have two runtimes, and PyTorch brings its own: one that is there is the
    // one that the caller's streams are of.
    for name in &names {
        if let Some(library) = present(name) {
            return Ok((library, name.to_string_lossy().into(), Source::Present));
        }
    }
    let mut tried = String::new();
    for name in names {
        let shown = name.to_string_lossy();
        // SAFETY: loading runs the library's initialisers. By its usual name it is AMD's runtime;
        // by the variable's, it is what the person who set it vouches for.
        match unsafe { Library::new(&name) } {
            Ok(library) => return Ok((library, shown.as_ref().into(), Source::Loaded)),
            Err(error) => {
                let separator = if tried.is_empty() { "" } else { "; " };
                // The loader's own text is behind the error, not in it.
                let reason = std::error::Error::source(&error)
                    .map_or_else(|| error.to_string(), ToString::to_string);
                tried.push_str(&format!("{separator}{shown} ({reason})"));
            }
        }
    }
    if by_variable {
        tried.push_str(&format!("; {VARIABLE} names it, so that no other was tried"));
    }
    Err(HipError::LibraryNotFound { tried: tried.into() })
}

/// The library of this name, if the process has loaded it: by this name, or as its own name.
#[cfg(target_os = "linux")]
fn present(name: &OsStr) -> Option<Library> {
    use libloading::os::unix;
    const RTLD_NOLOAD: c_int = 4;
    // SAFETY: nothing is loaded, and no initialiser run; what is there was loaded by somebody who
    // vouched for it.
    let library = unsafe {
        unix::Library::open(Some(name), unix::RTLD_LAZY | unix::RTLD_LOCAL | RTLD_NOLOAD)
    };
    library.ok().map(Library::from)
}

/// Elsewhere the loader itself takes the one that is there, if the name is the same.
#[cfg(not(target_os = "linux"))]
fn present(_: &OsStr) -> Option<Library> {
    None
}

/// The file that a function was loaded from.
#[cfg(target_os = "linux")]
pub(crate) fn file_of(function: usize) -> Option<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().find_map(|line| {
        // from-to rights offset device inode path
        let (range, rest) = line.split_once(' ')?;
        let (from, to) = range.split_once('-')?;
        let parse = |text| usize::from_str_radix(text, 16).ok();
        let inside = (parse(from)?..parse(to)?).contains(&function);
        let path = &rest[rest.find('/')?..];
        inside.then(|| path.to_owned())
    })
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn file_of(_: usize) -> Option<String> {
    None
}
