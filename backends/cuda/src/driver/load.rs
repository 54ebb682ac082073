//! Finding the driver's library, once.

use std::env;
use std::ffi::{OsString, c_int};
use std::sync::Arc;

use libloading::Library;

use super::code::CudaCode;
use super::symbols::{Symbols, find};
use crate::CudaError;

/// Names the library, instead of the usual names.
const VARIABLE: &str = "GPU_STREAM_CUDA_LIBRARY";

/// Where the loader looks is its own affair: `LD_LIBRARY_PATH`, `ldconfig`, `PATH`.
const NAMES: &[&str] =
    if cfg!(windows) { &["nvcuda.dll"] } else { &["libcuda.so.1", "libcuda.so"] };

/// The oldest driver that has all that is required: 11.0.
const OLDEST: c_int = 11_000;

/// The library and what was found in it.
pub(super) struct Found {
    pub(super) library: Arc<str>,
    pub(super) version: c_int,
    pub(super) symbols: Symbols,
}

/// Loads the library and starts the driver.
pub(super) fn load() -> Result<Found, CudaError> {
    let (opened, library) = open()?;
    // Never closed: the driver starts threads of its own, and has handlers for the end of the
    // process.
    let opened: &'static Library = Box::leak(Box::new(opened));
    let missing = |symbol| CudaError::SymbolNotFound { symbol, library: Arc::clone(&library) };

    // First, since an old driver lacks other functions, and its age is what the user has to know.
    const VERSION: &str = "cuDriverGetVersion";
    type Version = unsafe extern "C" fn(*mut c_int) -> CudaCode;
    // SAFETY: that is the function's signature, and the library is loaded for ever.
    let get_version: Version = unsafe { find(opened, VERSION) }.ok_or_else(|| missing(VERSION))?;
    let mut version = 0;
    // SAFETY: `version` is a place for the number; the call needs no initialisation.
    let code = unsafe { get_version(&mut version) };
    let operation = "loading the driver";
    if code != CudaCode::SUCCESS {
        return Err(CudaError::Driver { operation, function: VERSION, code });
    }
    if version < OLDEST {
        return Err(CudaError::DriverTooOld { library, version, oldest: OLDEST });
    }

    let symbols = Symbols::resolve(opened).map_err(missing)?;
    // SAFETY: flags must be 0, and are.
    match unsafe { (symbols.init)(0) } {
        CudaCode::SUCCESS => Ok(Found { library, version, symbols }),
        CudaCode::NO_DEVICE => Err(CudaError::NoDevice { library, version }),
        CudaCode::STUB_LIBRARY => {
            let tried = format!(
                "{library} is the stub that the CUDA toolkit has for linking, and no driver"
            );
            Err(CudaError::LibraryNotFound { tried: tried.into() })
        }
        // The texts are not asked of a driver that did not start.
        code => Err(CudaError::Driver { operation, function: "cuInit", code }),
    }
}

/// The library and its name, as it was given to the loader.
fn open() -> Result<(Library, Arc<str>), CudaError> {
    let names: Vec<OsString> = match env::var_os(VARIABLE).filter(|name| !name.is_empty()) {
        Some(name) => vec![name],
        None => NAMES.iter().map(OsString::from).collect(),
    };
    let by_variable = env::var_os(VARIABLE).is_some_and(|name| !name.is_empty());
    let mut tried = String::new();
    for name in names {
        let shown = name.to_string_lossy();
        // SAFETY: loading runs the library's initialisers. By its usual name it is NVIDIA's driver;
        // by the variable's, it is what the person who set it vouches for.
        match unsafe { Library::new(&name) } {
            Ok(library) => return Ok((library, shown.as_ref().into())),
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
    Err(CudaError::LibraryNotFound { tried: tried.into() })
}
