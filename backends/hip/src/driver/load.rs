//! Finding the runtime's library, and starting the runtime: [`load`].

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

use gpu_stream_driver_common::library::{Conflict, Folder, LibrarySpec, LoadedLibrary, NotFound};
use gpu_stream_driver_common::symbols::find;
use gpu_stream_driver_common::texts::CodeTexts;

use super::quirks::{OLDEST, OLDEST_OF_AMD, Quirks};
use super::symbols::Symbols;
use super::{DeviceState, Driver};
use crate::HipError;
use crate::code::HipCode;
use crate::error::is_on_cuda;

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

/// Finds the library, resolves its functions, starts the runtime, and counts its devices.
pub(super) fn load() -> Result<Driver, HipError> {
    // SAFETY: a file with one of these names is AMD's runtime, and so is an object that exports all of its functions.
    // The user who sets the variable promises the same of its file.
    let found = unsafe { SPEC.find() }.map_err(|error| match error {
        NotFound::Missing(tried) => HipError::LibraryNotFound { tried: tried.into() },
        NotFound::Ambiguous(files) => {
            HipError::AmbiguousLibrary { operation: "loading the runtime", files: files.into() }
        }
    })?;
    let runtime = LoadedLibrary::new(&SPEC, found);
    let library = runtime.file();
    ensure_no_conflict(&library)?;
    let missing = |symbol| HipError::SymbolNotFound { symbol, library: library.clone() };
    let check = |code, function, version| match code {
        HipCode::SUCCESS => Ok(()),
        // Without any device: 100 since HIP 6, and 101 before.
        HipCode::NO_DEVICE | HipCode::INVALID_DEVICE => {
            Err(HipError::NoDevice { library: library.clone(), version })
        }
        code => Err(HipError::NotStarted { library: library.clone(), version, function, code }),
    };
    // SAFETY: the type is that of the function.
    let get_version: GetVersion =
        unsafe { find(runtime.library(), VERSION) }.ok_or_else(|| missing(VERSION))?;
    let mut version = 0;
    // SAFETY: `&mut version` is a valid out-pointer. The call needs no initialization.
    let code = unsafe { get_version(&mut version) };
    // HIP up to 5 starts itself for this call, and refuses it without a device.
    check(code, VERSION, version)?;
    if !is_on_cuda(version) && version < OLDEST {
        let library = library.clone();
        return Err(match version {
            ..OLDEST_OF_AMD => HipError::OtherVendor { library, version },
            _ => HipError::DriverTooOld { library, version, oldest: OLDEST },
        });
    }
    // SAFETY: the functions of AMD's runtime have these types in every version. The library is never closed.
    let symbols = unsafe { Symbols::resolve(runtime.library()) }.map_err(missing)?;
    // SAFETY: the flags are 0, as required.
    check(unsafe { (symbols.init)(0) }, "hipInit", version)?;
    let texts = CodeTexts { name: symbols.error_name, description: symbols.error_text };
    let (quirks, devices) = (Quirks::of(version), Vec::new());
    let mut driver = Driver { symbols, texts, runtime, version, quirks, devices };
    let mut count = 0;
    // SAFETY: `&mut count` is a valid out-pointer.
    let code = unsafe { (driver.symbols.device_count)(&mut count) };
    driver.discard(code);
    check(code, "hipGetDeviceCount", version)?;
    driver.devices = (0..count).map(|_| DeviceState::default()).collect();
    if driver.devices.is_empty() {
        Err(HipError::NoDevice { library, version })
    } else {
        Ok(driver)
    }
}

/// Returns an error if the start of the runtime would end the process. Call it right before the start.
fn ensure_no_conflict(library: &str) -> Result<(), HipError> {
    /// `true` from the first start on, even if that failed. The runtime starts once, and loads its compiler then.
    static STARTED: AtomicBool = AtomicBool::new(false);
    if !STARTED.load(Ordering::Relaxed)
        && let Some(conflict) = Conflict::of_hip(library.as_ref())
    {
        return Err(conflict.into());
    }
    STARTED.store(true, Ordering::Relaxed);
    Ok(())
}

/// Returns `true` if a later attempt to start can succeed.
pub(super) fn can_pass(error: &HipError) -> bool {
    !matches!(
        error,
        HipError::SymbolNotFound { .. }
            | HipError::DriverTooOld { .. }
            | HipError::OtherVendor { .. }
    )
}
