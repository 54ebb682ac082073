//! The error of the HIP backend: [`HipError`].

use std::sync::Arc;

use gpu_stream_core::{ContractError, Error, ErrorKind, RawStream};

use crate::Hip;
use crate::code::HipCode;

/// The error of the HIP backend.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HipError {
    /// An error that the contract defines. The [kind](Error::kind) is its own.
    #[error(transparent)]
    Contract(#[from] ContractError),

    /// A function of the runtime failed. The kind is that [of the code](HipCode::kind).
    #[error("{operation}: {function} answered {code}{}", Advice(*code))]
    Driver {
        /// The call.
        operation: &'static str,
        /// The runtime's function.
        function: &'static str,
        /// The code that it returned.
        code: HipCode,
    },

    /// The call would have broken a capture, and was not made. Kind [`Capturing`](ErrorKind::Capturing).
    #[error(
        "{operation}: {what} is being captured into a graph, and this would end the capture; call it after the capture"
    )]
    Capturing {
        /// The call.
        operation: &'static str,
        /// What is being captured.
        what: &'static str,
    },

    /// The event was last recorded in a capture that is over. Kind [`InvalidEvent`](ErrorKind::InvalidEvent).
    #[error(
        "{operation}: the event was last recorded in a capture that is over, where nothing ran; record it outside of a capture first"
    )]
    CapturedEvent {
        /// The call.
        operation: &'static str,
    },

    /// The runtime does not know the stream any more, although its owner keeps it alive: another library has reset
    /// the device. Kind [`ContextDestroyed`](ErrorKind::ContextDestroyed).
    #[error(
        "{operation}: the runtime does not know stream {handle:#x} any more, though its owner is alive: the device was reset (hipDeviceReset); drop what was made before, and make new streams and events"
    )]
    Reset {
        /// The call.
        operation: &'static str,
        /// The handle of the stream.
        handle: usize,
    },

    /// A host function panicked on the stream. Kind [`StreamFault`](ErrorKind::StreamFault).
    #[error(
        "{operation}: a host function of this stream panicked: {message}; the fault is permanent, so create another stream for new work"
    )]
    HostFunctionPanicked {
        /// The call.
        operation: &'static str,
        /// The panic's message.
        message: Arc<str>,
    },

    /// The runtime's library was not found. Kind [`LibraryNotFound`](ErrorKind::LibraryNotFound).
    #[error(
        "the HIP runtime's library was not found; tried: {tried}; install ROCm (Debian: apt-get install libamdhip64-5), or name the library in GPU_STREAM_HIP_LIBRARY"
    )]
    LibraryNotFound {
        /// Each name that was tried, with the loader's error.
        tried: Arc<str>,
    },

    /// The process has loaded more than one HIP runtime. Kind
    /// [`AmbiguousLibrary`](ErrorKind::AmbiguousLibrary).
    #[error(
        "{operation}: this process has loaded more than one HIP runtime: {files}; a handle of one is not valid in another; load only one, or set GPU_STREAM_HIP_LIBRARY to the file that the streams belong to before the first call"
    )]
    AmbiguousLibrary {
        /// The call.
        operation: &'static str,
        /// The files. The first is the one in use.
        files: Arc<str>,
    },

    /// The library is a HIP runtime, but not AMD's. Kind [`Unsupported`](ErrorKind::Unsupported).
    #[error("the HIP runtime {library} is not AMD's: it numbers itself {}; only AMD's and HIP on CUDA are supported, so name one of them in GPU_STREAM_HIP_LIBRARY", Version(*version))]
    NotAmd {
        /// The library's file.
        library: Arc<str>,
        /// Its version number: 10100000 is 1.1.0.
        version: i32,
    },

    /// The runtime was found and did not start. The kind is that [of the code](HipCode::kind). The next call tries
    /// again.
    #[error("the HIP runtime {library}, version {}, did not start: {function} answered {}{}; {}", Version(*version), code.get(), code.on_start().0, code.on_start().1)]
    NotStarted {
        /// The library's file.
        library: Arc<str>,
        /// Its version: 70253211 is 7.2.53211. 0 if it is not known.
        version: i32,
        /// The runtime's function.
        function: &'static str,
        /// The code that it returned.
        code: HipCode,
    },

    /// The library lacks a function that is needed. Kind
    /// [`SymbolNotFound`](ErrorKind::SymbolNotFound).
    #[error(
        "{library} has no function {symbol}, so it is not the HIP runtime's library, or is broken; GPU_STREAM_HIP_LIBRARY can name another one"
    )]
    SymbolNotFound {
        /// The function.
        symbol: &'static str,
        /// The library's file.
        library: Arc<str>,
    },

    /// The runtime is older than any that this crate supports. Kind
    /// [`DriverTooOld`](ErrorKind::DriverTooOld).
    #[error("the HIP runtime {library} has version {}, and {} or newer is needed; update ROCm", Version(*version), Version(*oldest))]
    DriverTooOld {
        /// The library's file.
        library: Arc<str>,
        /// Its version: 50120531 is 5.1.20531.
        version: i32,
        /// The oldest supported version.
        oldest: i32,
    },

    /// The runtime has no device. Kind [`NoDevice`](ErrorKind::NoDevice).
    #[error("the HIP runtime {library}, version {}, has no device; see whether rocminfo lists one, whether this user may open /dev/kfd and /dev/dri, and whether HIP_VISIBLE_DEVICES or ROCR_VISIBLE_DEVICES hides it", Version(*version))]
    NoDevice {
        /// The library's file.
        library: Arc<str>,
        /// Its version: 70253211 is 7.2.53211. 0 if it is not known.
        version: i32,
    },

    /// The call needs a function that this runtime lacks. Kind [`Unsupported`](ErrorKind::Unsupported).
    #[error(
        "{operation}: this needs the function {symbol}, which AMD's runtime has since HIP {since} and this runtime lacks; update ROCm"
    )]
    MissingSymbol {
        /// The call.
        operation: &'static str,
        /// The function.
        symbol: &'static str,
        /// The first HIP version that has it.
        since: &'static str,
    },
}

/// The remedy for a code, after a separator. Empty if there is none.
struct Advice(HipCode);

impl std::fmt::Display for Advice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.advice() {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

/// A runtime's version in readable form: 70253211 is 7.2.53211. On HIP's NVIDIA platform it is CUDA's: 12090 is 12.9.
#[derive(Clone, Copy)]
pub(crate) struct Version(pub(crate) i32);

impl Version {
    /// Returns `true` if the version is CUDA's, which HIP's NVIDIA platform reports as its own.
    pub(crate) const fn is_on_cuda(self) -> bool {
        self.0 < 1_000_000
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number = self.0;
        if number == 0 {
            f.write_str("unknown")
        } else if self.is_on_cuda() {
            write!(f, "of HIP on CUDA {}.{}", number / 1_000, number % 1_000 / 10)
        } else {
            let (major, minor) = (number / 10_000_000, number / 100_000 % 100);
            write!(f, "{major}.{minor}.{}", number % 100_000)
        }
    }
}

impl HipError {
    /// Returns the runtime's library, if the error names the one that was loaded.
    pub fn library(&self) -> Option<&str> {
        match self {
            HipError::NotAmd { library, .. }
            | HipError::NotStarted { library, .. }
            | HipError::SymbolNotFound { library, .. }
            | HipError::DriverTooOld { library, .. }
            | HipError::NoDevice { library, .. } => Some(library),
            _ => None,
        }
    }

    /// Converts the error about an unknown handle, for a stream with an owner: the owner has not destroyed it, so the
    /// device was reset.
    pub(crate) fn of_owned_stream(self, stream: RawStream<Hip>) -> Self {
        let handle = stream.to_bits();
        let takes_stream = |function: &str| {
            function.starts_with("hipStream")
                || matches!(function, "hipEventRecord" | "hipLaunchHostFunc")
        };
        match &self {
            HipError::Driver { operation, function, code: HipCode::CONTEXT_IS_DESTROYED }
                if takes_stream(function) =>
            {
                HipError::Reset { operation, handle }
            }
            HipError::Contract(ContractError::InvalidHandle { operation, bits, .. })
                if *bits == handle =>
            {
                HipError::Reset { operation, handle }
            }
            _ => self,
        }
    }
}

impl Error for HipError {
    fn kind(&self) -> ErrorKind {
        match self {
            HipError::Contract(error) => error.kind(),
            HipError::Driver { code, .. } => code.kind(),
            HipError::Capturing { .. } => ErrorKind::Capturing,
            HipError::CapturedEvent { .. } => ErrorKind::InvalidEvent,
            HipError::Reset { .. } => ErrorKind::ContextDestroyed,
            HipError::HostFunctionPanicked { .. } => ErrorKind::StreamFault,
            HipError::LibraryNotFound { .. } => ErrorKind::LibraryNotFound,
            HipError::AmbiguousLibrary { .. } => ErrorKind::AmbiguousLibrary,
            HipError::NotAmd { .. } => ErrorKind::Unsupported,
            HipError::NotStarted { code, .. } => code.kind(),
            HipError::SymbolNotFound { .. } => ErrorKind::SymbolNotFound,
            HipError::DriverTooOld { .. } => ErrorKind::DriverTooOld,
            HipError::NoDevice { .. } => ErrorKind::NoDevice,
            HipError::MissingSymbol { .. } => ErrorKind::Unsupported,
        }
    }

    fn code(&self) -> Option<i32> {
        match self {
            HipError::Driver { code, .. } | HipError::NotStarted { code, .. } => Some(code.get()),
            HipError::Reset { .. } => Some(HipCode::CONTEXT_IS_DESTROYED.get()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_printed_in_readable_form() {
        assert_eq!(Version(50_221_153).to_string(), "5.2.21153");
        assert_eq!(Version(70_253_211).to_string(), "7.2.53211");
        assert_eq!(Version(12_090).to_string(), "of HIP on CUDA 12.9");
        assert_eq!(Version(0).to_string(), "unknown");
        let (version, oldest) = (40_421_401, 50_200_000);
        let error = HipError::DriverTooOld { library: "l".into(), version, oldest };
        assert!(error.to_string().contains("4.4.21401"), "{error}");
    }

    #[test]
    fn code_that_a_caller_can_cause_has_advice() {
        let error = |number| {
            let (operation, function, code) = ("a call", "a function", HipCode::new(number));
            HipError::Driver { operation, function, code }.to_string()
        };
        for number in [2, 101, 201, 400, 700, 709, 719, 800, 801] {
            assert!(error(number).contains("; "), "{number}");
        }
        for number in 900..=908 {
            assert!(error(number).contains("; "), "{number}");
        }
        assert_eq!(error(999), "a call: a function answered 999");
    }

    #[test]
    fn error_is_one_word_larger_than_the_contracts() {
        assert!(size_of::<HipError>() <= size_of::<ContractError>() + size_of::<usize>());
    }
}
