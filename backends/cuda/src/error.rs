//! The error of the CUDA backend: [`CudaError`].

use std::sync::Arc;

use gpu_stream_core::{ContractError, Error, ErrorKind};

use crate::CudaCode;
use crate::advice::{advice, on_start};

/// The result of this crate's own functions. It is returned in registers; one with a [`CudaError`] would be copied
/// through memory by each function.
pub(crate) type Result<T, E = BoxedError> = std::result::Result<T, E>;

/// A [`CudaError`] on the heap.
#[derive(Debug)]
pub(crate) struct BoxedError(Box<CudaError>);

impl std::ops::Deref for BoxedError {
    type Target = CudaError;

    fn deref(&self) -> &CudaError {
        &self.0
    }
}

impl From<CudaError> for BoxedError {
    #[cold]
    fn from(error: CudaError) -> Self {
        BoxedError(Box::new(error))
    }
}

impl From<ContractError> for BoxedError {
    #[cold]
    fn from(error: ContractError) -> Self {
        CudaError::Contract(error).into()
    }
}

impl From<BoxedError> for CudaError {
    #[cold]
    fn from(error: BoxedError) -> Self {
        *error.0
    }
}

/// The error of the CUDA backend.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// A violation of the contract. Its [kind](Error::kind) is that of the inner error.
    #[error(transparent)]
    Contract(#[from] ContractError),

    /// The driver returned an error code. Its kind is the [kind](CudaCode::kind) of the code.
    #[error("{operation}: {function} answered {code}{}", advice(*code))]
    Driver {
        /// The call of the contract.
        operation: &'static str,
        /// The driver's function.
        function: &'static str,
        /// Its result code.
        code: CudaCode,
    },

    /// The call would have invalidated a capture, and was not made. Kind
    /// [`Capturing`](ErrorKind::Capturing).
    #[error(
        "{operation}: {what} is being captured into a graph, and this would end the capture; call it when the capture is over"
    )]
    Capturing {
        /// The call.
        operation: &'static str,
        /// What is being captured.
        what: &'static str,
    },

    /// The event's last record was made in a capture that has ended. Kind
    /// [`InvalidEvent`](ErrorKind::InvalidEvent).
    #[error(
        "{operation}: the event was last recorded in a capture that is over, where nothing ran; record it outside of a capture first"
    )]
    CapturedEvent {
        /// The call.
        operation: &'static str,
    },

    /// Another library reset the context of the stream or event, and everything that was created in it is
    /// destroyed. Kind [`ContextDestroyed`](ErrorKind::ContextDestroyed).
    #[error(
        "{operation}: the context that this was made in was reset by another library (cudaDeviceReset, cuDevicePrimaryCtxReset); drop what was made before, and make new streams and events"
    )]
    ContextReset {
        /// The call.
        operation: &'static str,
    },

    /// A host function panicked on the stream. Kind [`StreamFault`](ErrorKind::StreamFault).
    #[error(
        "{operation}: a host function of this stream panicked: {message}; the stream stays so, make another for new work"
    )]
    HostFunctionPanicked {
        /// The call.
        operation: &'static str,
        /// The panic's message.
        message: Arc<str>,
    },

    /// The driver's library was not found. Kind [`LibraryNotFound`](ErrorKind::LibraryNotFound).
    #[error(
        "the CUDA driver's library was not found; tried: {tried}; install NVIDIA's driver, or name the library in GPU_STREAM_CUDA_LIBRARY"
    )]
    LibraryNotFound {
        /// The names that were tried, each with the loader's reason.
        tried: Arc<str>,
    },

    /// The process has loaded more than one CUDA driver. Kind
    /// [`AmbiguousLibrary`](ErrorKind::AmbiguousLibrary).
    #[error(
        "{operation}: this process has loaded more than one CUDA driver: {files}; a handle of one driver is invalid in the other; load only one, or set GPU_STREAM_CUDA_LIBRARY to the file that created the streams, before the first call"
    )]
    AmbiguousLibrary {
        /// The call.
        operation: &'static str,
        /// The files. The first is the one in use.
        files: Arc<str>,
    },

    /// The driver was found but did not start. Its kind is the [kind](CudaCode::kind) of the code. The next
    /// call tries again.
    #[error("the CUDA driver {library}, version {}, did not start: {function} answered {}{}; {}", Version(*version), code.get(), on_start(*code).0, on_start(*code).1)]
    NotStarted {
        /// The library's file.
        library: Arc<str>,
        /// Its version: 13000 is 13.0. 0 if the driver did not tell it.
        version: i32,
        /// The driver's function.
        function: &'static str,
        /// Its result code.
        code: CudaCode,
    },

    /// The library lacks a required function. Kind [`SymbolNotFound`](ErrorKind::SymbolNotFound).
    #[error(
        "{library} has no function {symbol}, so it is not the CUDA driver's library, or is broken; GPU_STREAM_CUDA_LIBRARY can name another one"
    )]
    SymbolNotFound {
        /// The function.
        symbol: &'static str,
        /// The library's file.
        library: Arc<str>,
    },

    /// The driver is older than the oldest supported one. Kind [`DriverTooOld`](ErrorKind::DriverTooOld).
    #[error("the CUDA driver {library} is of version {}, and {} or newer is needed; update NVIDIA's driver", Version(*version), Version(*oldest))]
    DriverTooOld {
        /// The library's file.
        library: Arc<str>,
        /// Its version: 10020 is 10.2.
        version: i32,
        /// The oldest supported version.
        oldest: i32,
    },

    /// The driver started but has no device. Kind [`NoDevice`](ErrorKind::NoDevice).
    #[error("the CUDA driver {library}, version {}, has no device; see whether nvidia-smi lists one, and whether CUDA_VISIBLE_DEVICES hides it", Version(*version))]
    NoDevice {
        /// The library's file.
        library: Arc<str>,
        /// Its version: 13000 is 13.0.
        version: i32,
    },

    /// A capability needs a function that this driver does not have. Kind
    /// [`Unsupported`](ErrorKind::Unsupported).
    #[error(
        "{operation}: this needs the function {symbol}, which NVIDIA's driver has since CUDA {since} and this driver lacks; update it"
    )]
    MissingSymbol {
        /// The call.
        operation: &'static str,
        /// The function.
        symbol: &'static str,
        /// The first CUDA version that has it.
        since: &'static str,
    },
}

impl CudaError {
    /// Returns `true` if the call may succeed with a current context.
    pub(crate) fn needs_context(&self) -> bool {
        matches!(self, CudaError::Driver { code: CudaCode::INVALID_CONTEXT, .. })
    }

    /// Returns the driver's library, if the error names the one that was loaded.
    pub fn library(&self) -> Option<&str> {
        match self {
            CudaError::NotStarted { library, .. }
            | CudaError::SymbolNotFound { library, .. }
            | CudaError::DriverTooOld { library, .. }
            | CudaError::NoDevice { library, .. } => Some(library),
            _ => None,
        }
    }
}

/// Returns the error for a handle that cannot be used, for this reason.
#[cold]
pub(crate) fn invalid_handle(
    operation: &'static str,
    bits: usize,
    reason: &'static str,
) -> BoxedError {
    ContractError::InvalidHandle { operation, bits, reason }.into()
}

/// A driver's version as text: 12080 is 12.8.
pub(crate) struct Version(pub(crate) i32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 => f.write_str("unknown"),
            number => write!(f, "{}.{}", number / 1000, number % 1000 / 10),
        }
    }
}

impl Error for CudaError {
    fn kind(&self) -> ErrorKind {
        match self {
            CudaError::Contract(error) => error.kind(),
            CudaError::Driver { code, .. } => code.kind(),
            CudaError::Capturing { .. } => ErrorKind::Capturing,
            CudaError::CapturedEvent { .. } => ErrorKind::InvalidEvent,
            CudaError::ContextReset { .. } => ErrorKind::ContextDestroyed,
            CudaError::HostFunctionPanicked { .. } => ErrorKind::StreamFault,
            CudaError::LibraryNotFound { .. } => ErrorKind::LibraryNotFound,
            CudaError::AmbiguousLibrary { .. } => ErrorKind::AmbiguousLibrary,
            CudaError::NotStarted { code, .. } => code.kind(),
            CudaError::SymbolNotFound { .. } => ErrorKind::SymbolNotFound,
            CudaError::DriverTooOld { .. } => ErrorKind::DriverTooOld,
            CudaError::NoDevice { .. } => ErrorKind::NoDevice,
            CudaError::MissingSymbol { .. } => ErrorKind::Unsupported,
        }
    }

    fn code(&self) -> Option<i32> {
        match self {
            CudaError::Driver { code, .. } | CudaError::NotStarted { code, .. } => Some(code.get()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_printed_as_major_and_minor() {
        assert_eq!(Version(11_000).to_string(), "11.0");
        assert_eq!(Version(12_080).to_string(), "12.8");
        assert_eq!(Version(13_000).to_string(), "13.0");
        let error =
            CudaError::DriverTooOld { library: "l".into(), version: 10_020, oldest: 11_000 };
        assert!(error.to_string().contains("10.2"), "{error}");
    }

    #[test]
    fn error_is_at_most_a_word_larger_than_the_contracts() {
        assert!(size_of::<CudaError>() <= size_of::<ContractError>() + size_of::<usize>());
    }
}
