//! Finds the driver's library and starts the driver.

use std::ffi::c_int;

use gpu_stream_driver_common::library::{Folder, Library, LibrarySpec, LoadedLibrary, NotFound};
use gpu_stream_driver_common::symbols::find;

use super::symbols::Symbols;
use crate::{CudaCode, CudaError};

/// The description of NVIDIA's driver: its file names, its folders and its exports.
static SPEC: LibrarySpec = LibrarySpec {
    variable: "GPU_STREAM_CUDA_LIBRARY",
    names: if cfg!(windows) { &["nvcuda.dll"] } else { &["libcuda.so.1", "libcuda.so"] },
    folders: if cfg!(target_os = "linux") { FOLDERS } else { &[] },
    functions: &[
        c"cuInit",
        c"cuDriverGetVersion",
        c"cuDeviceGetCount",
        c"cuCtxGetCurrent",
        c"cuStreamQuery",
        c"cuStreamDestroy_v2",
        c"cuEventRecord",
        c"cuEventQuery",
    ],
    unusable: |library| is_stub(library).then_some(STUB),
    is_same,
};

/// Folders that the loader does not search: WSL, NixOS, conda, and containers.
const FOLDERS: &[Folder] = &[
    Folder::At("/usr/lib/wsl/lib"),
    Folder::At("/run/opengl-driver/lib"),
    Folder::Below { variable: "CONDA_PREFIX", folder: "lib" },
    Folder::At("/usr/local/nvidia/lib64"),
    Folder::At("/usr/lib64-nvidia"),
    Folder::At("/usr/local/cuda/compat"),
];

const STUB: &str = "the stub that the CUDA toolkit has for linking, and no driver";

/// The oldest driver that has all required functions: 11.0.
const OLDEST: c_int = 11_000;

/// The function that returns the driver's version. Needs no initialization.
const VERSION: &str = "cuDriverGetVersion";
type GetVersion = unsafe extern "C" fn(*mut c_int) -> CudaCode;

#[cfg(all(test, target_os = "linux", not(any(gpu_stream_loom, gpu_stream_shuttle))))]
impl super::Driver {
    /// Returns the simulated driver without starting it, for tests. It has no devices.
    pub(super) fn unstarted(library: Library) -> Self {
        use gpu_stream_driver_common::library::{Found, Origin};
        // SAFETY: the simulator's functions have the driver's types, and the library is never closed: see below.
        let symbols = unsafe { Symbols::resolve(&library) }.expect("all required functions");
        let texts = gpu_stream_driver_common::texts::CodeTexts {
            name: symbols.error_name,
            description: symbols.error_text,
        };
        let found = Found { library, file: "the simulator".into(), origin: Origin::Named };
        let runtime = LoadedLibrary::new(&SPEC, found);
        super::Driver { symbols, texts, runtime, version: OLDEST, devices: Vec::new() }
    }
}

/// The started driver.
pub(super) struct Started {
    pub(super) runtime: LoadedLibrary,
    pub(super) version: c_int,
    pub(super) symbols: Symbols,
}

/// Finds the library and starts the driver.
pub(super) fn load() -> Result<Started, CudaError> {
    // SAFETY: a file of these names is NVIDIA's driver, and so is an object that exports all of its functions. A user
    // who sets the variable vouches for its file.
    let found = unsafe { SPEC.find() }.map_err(not_found)?;
    let runtime = LoadedLibrary::new(&SPEC, found);
    let missing = |symbol| CudaError::SymbolNotFound { symbol, library: runtime.file() };
    let not_started = |version, function, code| CudaError::NotStarted {
        library: runtime.file(),
        version,
        function,
        code,
    };
    // Checked first, because an old driver also lacks functions, and its age is what the user has to know.
    let (code, version) = version(runtime.library()).ok_or_else(|| missing(VERSION))?;
    if code != CudaCode::SUCCESS {
        return Err(not_started(0, VERSION, code));
    }
    if version < OLDEST {
        return Err(CudaError::DriverTooOld { library: runtime.file(), version, oldest: OLDEST });
    }
    // SAFETY: the functions of NVIDIA's driver have these types in every version. The library is never closed.
    let symbols = unsafe { Symbols::resolve(runtime.library()) }.map_err(missing)?;
    // SAFETY: `cuInit` requires flags of 0.
    match unsafe { (symbols.init)(0) } {
        CudaCode::SUCCESS => Ok(Started { runtime, version, symbols }),
        CudaCode::NO_DEVICE => Err(CudaError::NoDevice { library: runtime.file(), version }),
        CudaCode::STUB_LIBRARY => {
            Err(not_found(NotFound::Missing(format!("{} ({STUB})", runtime.file()))))
        }
        code => Err(not_started(version, "cuInit", code)),
    }
}

fn not_found(error: NotFound) -> CudaError {
    match error {
        NotFound::Missing(tried) => CudaError::LibraryNotFound { tried: tried.into() },
        NotFound::Ambiguous(files) => {
            CudaError::AmbiguousLibrary { operation: "loading the driver", files: files.into() }
        }
    }
}

/// Returns `true` if a later attempt to start can succeed.
pub(super) fn can_pass(error: &CudaError) -> bool {
    !matches!(error, CudaError::SymbolNotFound { .. } | CudaError::DriverTooOld { .. })
}

/// Returns the driver's result code and its version; `None` if the library lacks the function.
fn version(library: &Library) -> Option<(CudaCode, c_int)> {
    // SAFETY: `GetVersion` is the function's signature, and the library is open during the call.
    let get_version: GetVersion = unsafe { find(library, VERSION) }?;
    let mut version = 0;
    // SAFETY: `&mut version` is a valid out-pointer. The call needs no initialization.
    let code = unsafe { get_version(&mut version) };
    Some((code, version))
}

/// Returns `true` if the library is the toolkit's stub for linking.
fn is_stub(library: &Library) -> bool {
    version(library).is_some_and(|(code, _)| code == CudaCode::STUB_LIBRARY)
}

/// Returns `true` if both libraries lead to one driver.
///
/// WSL's `libcuda.so.1` loads the actual driver from elsewhere, and an interposer calls the real library.
/// In both cases a capture mode that is set through one library is read through the other. A driver that
/// was not started returns an error instead.
fn is_same(first: &Library, other: &Library) -> bool {
    type Init = unsafe extern "C" fn(u32) -> CudaCode;
    type Exchange = unsafe extern "C" fn(*mut c_int) -> CudaCode;
    // SAFETY: these are the functions' signatures, and both libraries are open.
    let (init, exchange, other_exchange) = unsafe {
        const EXCHANGE: &str = "cuThreadExchangeStreamCaptureMode";
        (
            find::<Init>(first, "cuInit"),
            find::<Exchange>(first, EXCHANGE),
            find::<Exchange>(other, EXCHANGE),
        )
    };
    let (Some(init), Some(exchange), Some(other_exchange)) = (init, exchange, other_exchange)
    else {
        return false;
    };
    // SAFETY: `cuInit` requires flags of 0.
    if unsafe { init(0) } != CudaCode::SUCCESS {
        // A driver that does not start cannot be compared. The start reports its error to the caller.
        return true;
    }
    let swap = |exchange: Exchange, mode: c_int| {
        let mut mode = mode;
        // SAFETY: `&mut mode` is a valid pointer to a valid mode.
        (unsafe { exchange(&mut mode) } == CudaCode::SUCCESS).then_some(mode)
    };
    // Tries *global* and *relaxed*: a second driver cannot have both modes by chance.
    let sees = |mode| {
        let Some(before) = swap(exchange, mode) else { return false };
        let seen = swap(other_exchange, mode);
        if let Some(theirs) = seen
            && theirs != mode
        {
            swap(other_exchange, theirs);
        }
        swap(exchange, before);
        seen == Some(mode)
    };
    sees(0) && sees(2)
}
