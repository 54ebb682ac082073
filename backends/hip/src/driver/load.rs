//! Finding the runtime's library, and starting the runtime: [`load`].

use std::env;
use std::ffi::c_int;
use std::fmt;
use std::sync::Arc;

use gpu_stream_driver_common::library::{
    Folder, Found as FoundLibrary, LibrarySpec, NotFound, Origin,
};
use libloading::Library;

use super::code::HipCode;
use super::quirks::{OLDEST, OLDEST_OF_AMD, is_on_cuda};
use super::symbols::{Symbols, find};
use crate::HipError;

/// AMD's runtime: its file names, its folders and its functions.
pub(super) static SPEC: LibrarySpec = LibrarySpec {
    variable: "GPU_STREAM_HIP_LIBRARY",
    // Newest first.
    names: if cfg!(windows) {
        &["amdhip64_7.dll", "amdhip64_6.dll", "amdhip64.dll"]
    } else {
        &[
            "libamdhip64.so.8",
            "libamdhip64.so.7",
            "libamdhip64.so.6",
            "libamdhip64.so.5",
            "libamdhip64.so",
        ]
    },
    folders: if cfg!(target_os = "linux") { FOLDERS } else { &[] },
    functions: &[
        c"hipInit",
        c"hipRuntimeGetVersion",
        c"hipGetDeviceCount",
        c"hipSetDevice",
        c"hipStreamQuery",
        c"hipStreamDestroy",
        c"hipEventRecord",
        c"hipEventQuery",
    ],
    unusable: |_| None,
    // A call of a second runtime would start it. The variable decides between a wrapper library and the one that it
    // wraps.
    is_same: |_, _| false,
};

/// Folders that the loader does not search: ROCm's own, and conda's.
const FOLDERS: &[Folder] = &[
    Folder::Below { variable: "ROCM_PATH", folder: "lib" },
    Folder::At("/opt/rocm/lib"),
    Folder::Below { variable: "CONDA_PREFIX", folder: "lib" },
];

/// The origin of the functions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// A library that was found.
    Found(Origin),
    /// The program was linked with them.
    #[cfg(feature = "hip-sys")]
    Linked,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Found(origin) => origin.fmt(f),
            #[cfg(feature = "hip-sys")]
            Source::Linked => f.write_str("linked into the program"),
        }
    }
}

/// A library that was loaded, and its functions.
pub(super) struct Found {
    pub(super) opened: Library,
    /// The library's file.
    pub(super) library: Arc<str>,
    pub(super) source: Source,
    pub(super) version: c_int,
    pub(super) symbols: Symbols,
}

type GetVersion = unsafe extern "C" fn(*mut c_int) -> HipCode;

/// The function that returns the runtime's version.
const VERSION: &str = "hipRuntimeGetVersion";

/// Returns `true` for the code of a runtime without any device: 100 since HIP 6, and 101 before. From a call that
/// names a device, 101 would be about that device.
pub(super) const fn is_no_device(code: HipCode) -> bool {
    matches!(code, HipCode::NO_DEVICE | HipCode::INVALID_DEVICE)
}

/// Returns `true` if the user named the library, so that no other is used.
pub(super) fn is_named() -> bool {
    env::var_os(SPEC.variable).is_some_and(|name| !name.is_empty())
}

/// Finds the library and starts the runtime.
pub(super) fn load() -> Result<Found, HipError> {
    // SAFETY: a file with one of these names is AMD's runtime, and so is an object that exports all of its functions.
    // The user who sets the variable promises the same of its file.
    let FoundLibrary { library: opened, file, origin } =
        unsafe { SPEC.find() }.map_err(not_found)?;
    let library: Arc<str> = file.into();
    match resolve(&opened, &library) {
        Ok((version, symbols)) => {
            Ok(Found { opened, library, source: Source::Found(origin), version, symbols })
        }
        Err(error) => {
            // Not closed: the runtime may have started threads, and has registered functions for the end of threads
            // and of the process.
            std::mem::forget(opened);
            Err(error)
        }
    }
}

/// Resolves the functions and starts the runtime. Returns its version and the functions.
fn resolve(opened: &Library, library: &Arc<str>) -> Result<(c_int, Symbols), HipError> {
    let missing = |symbol| HipError::SymbolNotFound { symbol, library: Arc::clone(library) };
    // The version is checked first: an old runtime lacks functions, and the error has to name its age.
    // SAFETY: the type is the function's signature, and the library is open.
    let get_version: GetVersion =
        unsafe { find(opened, VERSION) }.ok_or_else(|| missing(VERSION))?;
    let version = version(get_version, library)?;
    let symbols = Symbols::resolve(opened).map_err(missing)?;
    start(&symbols, version, library)?;
    Ok((version, symbols))
}

fn not_found(error: NotFound) -> HipError {
    match error {
        NotFound::Missing(tried) => HipError::LibraryNotFound { tried: tried.into() },
        NotFound::Ambiguous(files) => {
            HipError::AmbiguousLibrary { operation: "loading the runtime", files: files.into() }
        }
    }
}

/// Returns `true` if a later attempt to start can succeed.
pub(super) fn can_pass(error: &HipError) -> bool {
    !matches!(
        error,
        HipError::SymbolNotFound { .. } | HipError::DriverTooOld { .. } | HipError::NotAmd { .. }
    )
}

/// Starts the runtime with the functions that hip-sys has linked the program with.
#[cfg(feature = "hip-sys")]
pub(super) fn linked() -> Result<Found, HipError> {
    let (program, symbols) = linked_symbols();
    let file = gpu_stream_driver_common::library::file_of(symbols.init as usize);
    let file = file.map_or_else(|| "libamdhip64.so".into(), |file| file.display().to_string());
    let library: Arc<str> = file.into();
    let get_version =
        super::abi::as_ours(hip_sys::hiprt::hipRuntimeGetVersion as unsafe extern "C" fn(_) -> _);
    let version = version(get_version, &library)?;
    start(&symbols, version, &library)?;
    Ok(Found { opened: program, library, source: Source::Linked, version, symbols })
}

#[cfg(feature = "hip-sys")]
fn linked_symbols() -> (Library, Symbols) {
    // The program itself, in which linked functions are found.
    let program = libloading::os::unix::Library::this().into();
    let symbols = Symbols::linked(&program);
    (program, symbols)
}

/// Returns `true` if these functions are those that the program is linked with. The search may have found the same
/// library.
#[cfg(feature = "hip-sys")]
pub(super) fn is_linked(symbols: &Symbols) -> bool {
    std::ptr::fn_addr_eq(symbols.event_record, linked_symbols().1.event_record)
}

fn version(get_version: GetVersion, library: &Arc<str>) -> Result<c_int, HipError> {
    let mut version = 0;
    // SAFETY: `&mut version` is a valid out-pointer. The call needs no initialization.
    let code = unsafe { get_version(&mut version) };
    let library = || Arc::clone(library);
    if is_no_device(code) {
        // HIP up to 5 starts itself for this call, and returns this code without a device.
        return Err(HipError::NoDevice { library: library(), version });
    }
    if code != HipCode::SUCCESS {
        return Err(HipError::NotStarted { library: library(), version, function: VERSION, code });
    }
    if version < OLDEST_OF_AMD && !is_on_cuda(version) {
        return Err(HipError::NotAmd { library: library(), version });
    }
    if version < OLDEST && !is_on_cuda(version) {
        return Err(HipError::DriverTooOld { library: library(), version, oldest: OLDEST });
    }
    Ok(version)
}

fn start(symbols: &Symbols, version: c_int, library: &Arc<str>) -> Result<(), HipError> {
    // SAFETY: the flags are 0, as required.
    let code = unsafe { (symbols.init)(0) };
    check_start(code, "hipInit", version, library)
}

/// Returns an error unless `code`, the result of a call during the start, is success.
pub(super) fn check_start(
    code: HipCode,
    function: &'static str,
    version: c_int,
    library: &Arc<str>,
) -> Result<(), HipError> {
    let library = || Arc::clone(library);
    match code {
        HipCode::SUCCESS => Ok(()),
        code if is_no_device(code) => Err(HipError::NoDevice { library: library(), version }),
        code => Err(HipError::NotStarted { library: library(), version, function, code }),
    }
}
