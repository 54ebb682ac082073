//! The stream of tvm-ffi's environment, from the library that the process has loaded: [`find`].
//!
//! A compiled kernel that is called by [tvm-ffi](https://tvm.apache.org/ffi/) asks it for the stream to work on. No
//! library is linked, and none is loaded: another copy would have an environment of its own, in which no stream is
//! set.
//!
//! ```no_run
//! use gpu_stream::prelude::*;
//! use gpu_stream::{Backend, RawStream, tvm_ffi};
//!
//! /// Makes `ours` wait for the stream that the caller has set in tvm-ffi's environment.
//! fn follow<S: Stream<Backend: Backend<RawStream = RawStream<S::Backend>>>>(
//!     ours: &S,
//! ) -> Result<(), Box<dyn std::error::Error>> {
//!     let environment = tvm_ffi::find()?; // once; keep it
//!     // SAFETY: the caller's stream is of this device, and it outlives the wrapper, which ends with this call.
//!     let theirs = unsafe { environment.current_stream::<S::Backend>(ours.device()) }?;
//!     Ok(ours.wait_stream(&theirs)?)
//! }
//! ```

use std::mem::ManuallyDrop;

use gpu_stream_core::{Error, ErrorKind};
use gpu_stream_driver_common::library::{Library, LibrarySpec, NotFound};
use gpu_stream_driver_common::symbols;

pub use gpu_stream_core::exchange::tvm_ffi::{EnvStream, GetStream};

/// The environment variable that names the file, where the process has loaded two copies of tvm-ffi.
pub const LIBRARY: &str = "GPU_STREAM_TVM_FFI_LIBRARY";

/// tvm-ffi among the objects of the process. No names, so that none is loaded.
static SPEC: LibrarySpec = LibrarySpec {
    variable: LIBRARY,
    names: &[],
    folders: &[],
    functions: &[c"TVMFFIEnvGetStream", c"TVMFFIEnvSetStream"],
    unusable: |_| None,
    is_same: |one, other| match (get_stream(one), get_stream(other)) {
        (Some(one), Some(other)) => std::ptr::fn_addr_eq(one, other),
        _ => false,
    },
};

/// The reason why tvm-ffi's environment cannot be asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TvmFfiError {
    /// The process has not loaded tvm-ffi.
    #[error(
        "tvm-ffi: the process has not loaded it{}; import tvm_ffi, or load what links it, before the call. On systems \
         other than Linux and FreeBSD, name the loaded file in {LIBRARY}",
        tried(.0)
    )]
    NotLoaded(String),
    /// The process has loaded more than one copy, each with an environment of its own.
    #[error(
        "tvm-ffi: the process has loaded {0}; load one of them, or name the one to use in {LIBRARY}"
    )]
    Ambiguous(String),
    /// The file that the variable names lacks the function.
    #[error(
        "tvm-ffi: {0} has no function `TVMFFIEnvGetStream`; name tvm-ffi's own library in {LIBRARY}"
    )]
    NoFunction(String),
}

/// Returns what was tried, as a part of the text.
fn tried(tried: &str) -> String {
    if tried.is_empty() { String::new() } else { format!(" (tried: {tried})") }
}

/// The kind is that of a vendor's library: [`LibraryNotFound`](ErrorKind::LibraryNotFound),
/// [`AmbiguousLibrary`](ErrorKind::AmbiguousLibrary) or [`SymbolNotFound`](ErrorKind::SymbolNotFound).
impl Error for TvmFfiError {
    fn kind(&self) -> ErrorKind {
        match self {
            TvmFfiError::NotLoaded(_) => ErrorKind::LibraryNotFound,
            TvmFfiError::Ambiguous(_) => ErrorKind::AmbiguousLibrary,
            TvmFfiError::NoFunction(_) => ErrorKind::SymbolNotFound,
        }
    }
}

/// Finds tvm-ffi in the process, whatever its file is called. Reads the tables of all loaded objects, so keep the
/// result. Does not block.
///
/// An object that exports `TVMFFIEnvGetStream` and `TVMFFIEnvSetStream` is taken for tvm-ffi. The library then stays
/// loaded until the process ends. If the variable [`LIBRARY`] names a file, that one is used, and loaded if the process
/// does not have it.
///
/// # Errors
/// [`TvmFfiError`] if the process has not loaded tvm-ffi, or has loaded more than one copy.
///
/// Origin: [`TVMFFIEnvGetStream`](https://github.com/apache/tvm-ffi/blob/main/include/tvm/ffi/extra/c_env_api.h).
#[doc(alias = "TVMFFIEnvGetStream")]
pub fn find() -> Result<EnvStream, TvmFfiError> {
    // SAFETY: an object with these functions is tvm-ffi, and a file that the variable names is tvm-ffi's library. Both are
    // documented at this function.
    let found = unsafe { SPEC.find() }.map_err(|error| match error {
        NotFound::Missing(tried) => TvmFfiError::NotLoaded(tried),
        NotFound::Ambiguous(files) => TvmFfiError::Ambiguous(files),
    })?;
    // Never closed, so that the function stays loaded.
    let library = ManuallyDrop::new(found.library);
    let function = get_stream(&library).ok_or(TvmFfiError::NoFunction(found.file))?;
    // SAFETY: the function is tvm-ffi's, and its library is never closed. Each thread has its own environment, so any
    // thread may call it.
    Ok(unsafe { EnvStream::from_fn(function) })
}

/// Returns the library's function.
fn get_stream(library: &Library) -> Option<GetStream> {
    // SAFETY: `GetStream` is the type of tvm-ffi's function. The callers keep the library loaded.
    unsafe { symbols::find(library, "TVMFFIEnvGetStream") }
}
