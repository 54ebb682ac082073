//! Finding the runtime's library, and starting the runtime: [`load`].

use std::ffi::c_int;

use gpu_stream_driver_common::library::{Folder, Found, LibrarySpec, LoadedLibrary, NotFound};
use gpu_stream_driver_common::symbols::find;

use super::quirks::{OLDEST, OLDEST_OF_AMD};
use super::symbols::Symbols;
use crate::HipError;
use crate::code::HipCode;
use crate::error::Version;

/// AMD's runtime: its file names, its folders and its functions.
static SPEC: LibrarySpec = LibrarySpec {
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

/// The function that returns the runtime's version.
const VERSION: &str = "hipRuntimeGetVersion";
type GetVersion = unsafe extern "C" fn(*mut c_int) -> HipCode;

/// The started runtime.
pub(super) struct Started {
    pub(super) runtime: LoadedLibrary,
    pub(super) version: c_int,
    pub(super) symbols: Symbols,
}

/// Returns `true` for the code of a runtime without any device: 100 since HIP 6, and 101 before. From a call that
/// names a device, 101 would be about that device.
const fn is_no_device(code: HipCode) -> bool {
    matches!(code, HipCode::NO_DEVICE | HipCode::INVALID_DEVICE)
}

/// Finds the library and starts the runtime.
pub(super) fn load() -> Result<Started, HipError> {
    // SAFETY: a file with one of these names is AMD's runtime, and so is an object that exports all of its functions.
    // The user who sets the variable promises the same of its file.
    let found = unsafe { SPEC.find() }.map_err(not_found)?;
    start(found)
}

/// Resolves the functions and starts the runtime.
fn start(found: Found) -> Result<Started, HipError> {
    let runtime = LoadedLibrary::new(&SPEC, found);
    let missing = |symbol| HipError::SymbolNotFound { symbol, library: runtime.file() };
    // The version is checked first: an old runtime lacks functions, and the error has to name its age.
    // SAFETY: the type is the function's signature, and the library is never closed.
    let get_version: GetVersion =
        unsafe { find(runtime.library(), VERSION) }.ok_or_else(|| missing(VERSION))?;
    let mut version = 0;
    // SAFETY: `&mut version` is a valid out-pointer. The call needs no initialization.
    let code = unsafe { get_version(&mut version) };
    // HIP up to 5 starts itself for this call, and refuses it without a device.
    check_start(code, VERSION, version, &runtime)?;
    let library = runtime.file();
    match version {
        _ if Version(version).is_on_cuda() => {}
        ..OLDEST_OF_AMD => return Err(HipError::NotAmd { library, version }),
        OLDEST_OF_AMD..OLDEST => {
            return Err(HipError::DriverTooOld { library, version, oldest: OLDEST });
        }
        _ => {}
    }
    // SAFETY: the functions of AMD's runtime have these types in every version. The library is never closed.
    let symbols = unsafe { Symbols::resolve(runtime.library()) }.map_err(missing)?;
    // SAFETY: the flags are 0, as required.
    check_start(unsafe { (symbols.init)(0) }, "hipInit", version, &runtime)?;
    Ok(Started { runtime, version, symbols })
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

/// Starts the runtime that hip-sys has linked the program with.
#[cfg(feature = "hip-sys")]
pub(super) fn linked() -> Result<Started, HipError> {
    use gpu_stream_driver_common::library::{Origin, file_of};
    use libloading::os::unix::{Library, RTLD_NOW};

    let file = file_of(hip_sys::hiprt::hipEventRecord as *const () as usize);
    // SAFETY: the file is loaded, so no initializer runs.
    let opened = unsafe { Library::open(file.as_ref(), RTLD_NOW) };
    // Without the file, the functions are found in the program itself.
    let library = opened.unwrap_or_else(|_| Library::this()).into();
    let file = file.map_or_else(|| "libamdhip64.so".into(), |file| file.display().to_string());
    let is_named = std::env::var_os(SPEC.variable).is_some_and(|name| !name.is_empty());
    let origin = if is_named { Origin::Named } else { Origin::Present };
    start(Found { library, file, origin })
}

/// Returns `true` if these functions are those that the program is linked with. The search may have found the same
/// library.
#[cfg(feature = "hip-sys")]
pub(super) fn is_linked(symbols: &Symbols) -> bool {
    symbols.event_record as usize == hip_sys::hiprt::hipEventRecord as *const () as usize
}

/// Returns an error unless `code`, the result of a call during the start, is success.
pub(super) fn check_start(
    code: HipCode,
    function: &'static str,
    version: c_int,
    runtime: &LoadedLibrary,
) -> Result<(), HipError> {
    let library = runtime.file();
    match code {
        HipCode::SUCCESS => Ok(()),
        code if is_no_device(code) => Err(HipError::NoDevice { library, version }),
        code => Err(HipError::NotStarted { library, version, function, code }),
    }
}
