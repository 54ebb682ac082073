//! The error of a backend that calls a vendor's driver: [`DriverError`].

use std::fmt;
use std::sync::Arc;

use gpu_stream_core::{AnyError, ContractError, Error, ErrorKind};

use crate::library::Conflict;

/// A result code of a driver, and what the texts of errors say of its vendor.
pub trait ResultCode: Copy + fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// What the texts say of the vendor.
    const VENDOR: Vendor;

    /// Returns the number.
    fn number(self) -> i32;

    /// Returns the kind of failure.
    fn kind(self) -> ErrorKind;

    /// Returns the remedy, as the end of a sentence, with a separator before it. Empty if the caller has none.
    fn advice(self) -> &'static str;

    /// Returns the name and the remedy of a code with which the driver did not start. It has no texts then.
    fn on_start(self) -> (&'static str, &'static str);

    /// Writes a version of the driver in readable form.
    ///
    /// # Errors
    /// The error of the formatter.
    fn write_version(version: i32, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// What the texts of errors say of a vendor.
#[derive(Clone, Copy, Debug)]
pub struct Vendor {
    /// The vendor, for example `AMD's`.
    pub vendor: &'static str,
    /// The driver, for example `HIP runtime`.
    pub driver: &'static str,
    /// The variable that names the driver's library.
    pub variable: &'static str,
    /// How to install the driver.
    pub install: &'static str,
    /// How to update the driver.
    pub update: &'static str,
    /// Where to look if there is no device.
    pub no_device: &'static str,
    /// What a reset destroyed, and the vendor's functions that reset.
    pub reset: &'static str,
    /// The toolkit whose versions date the functions: `CUDA` or `HIP`.
    pub toolkit: &'static str,
}

/// A version of the driver, which is displayed in readable form.
struct Version<C>(i32, std::marker::PhantomData<C>);

impl<C: ResultCode> fmt::Display for Version<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("unknown") } else { C::write_version(self.0, f) }
    }
}

/// Returns a version of the driver with result codes `C` in readable form.
pub fn display_version<C: ResultCode>(version: i32) -> impl fmt::Display {
    Version::<C>(version, std::marker::PhantomData)
}

/// Returns the remedy for a missing library. `tried` names the variable only if the variable names the library.
fn missing_library_remedy<C: ResultCode>(tried: &str) -> String {
    let Vendor { install, variable, .. } = C::VENDOR;
    if tried.contains(variable) {
        format!("correct or unset {variable}")
    } else {
        format!("{install}, or name the library in {variable}")
    }
}

/// The error of a backend that calls a vendor's driver, with result codes `C`.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError<C: ResultCode> {
    /// A violation of the contract. Its [kind](Error::kind) is that of the inner error.
    #[error(transparent)]
    Contract(#[from] ContractError),

    /// A function of the driver failed. Its kind is that of the code.
    #[error("{operation}: {function} answered {code}{}", code.advice())]
    Driver {
        /// The call of the contract.
        operation: &'static str,
        /// The driver's function.
        function: &'static str,
        /// Its result code.
        code: C,
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

    /// Another library reset the context or the device, and everything that was created there is destroyed. Kind
    /// [`ContextDestroyed`](ErrorKind::ContextDestroyed).
    #[error(
        "{operation}: {}{}; drop what was made before, and make new streams and events",
        C::VENDOR.reset, stream.map_or(String::new(), |handle| format!(" (stream {handle:#x})"))
    )]
    ContextReset {
        /// The call.
        operation: &'static str,
        /// The handle of the stream, if the call is one of a stream that the driver does not know any more.
        stream: Option<usize>,
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

    /// The driver's library was not found. Kind [`LibraryNotFound`](ErrorKind::LibraryNotFound).
    #[error(
        "the {}'s library was not found; tried: {tried}; {}",
        C::VENDOR.driver, missing_library_remedy::<C>(tried)
    )]
    LibraryNotFound {
        /// The names that were tried, each with the loader's reason.
        tried: Arc<str>,
    },

    /// The process has loaded more than one driver. Kind [`AmbiguousLibrary`](ErrorKind::AmbiguousLibrary).
    #[error(
        "{operation}: this process has loaded more than one {}: {files}; a handle of one is not valid in another; load only one, or set {} to the file that the streams belong to before the first call",
        C::VENDOR.driver, C::VENDOR.variable
    )]
    AmbiguousLibrary {
        /// The call.
        operation: &'static str,
        /// The files. The first is the one in use.
        files: Arc<str>,
    },

    /// The library has the driver's functions, and is not the vendor's. Kind [`Unsupported`](ErrorKind::Unsupported).
    #[error(
        "the {} {library} is not {}: it numbers itself {}; name another one in {}",
        C::VENDOR.driver, C::VENDOR.vendor, display_version::<C>(*version), C::VENDOR.variable
    )]
    OtherVendor {
        /// The library's file.
        library: Arc<str>,
        /// Its version number.
        version: i32,
    },

    /// The driver was found and did not start. Its kind is that of the code. The next call tries again.
    #[error(
        "the {} {library}, version {}, did not start: {function} answered {}{}; {}",
        C::VENDOR.driver, display_version::<C>(*version), code.number(), code.on_start().0, code.on_start().1
    )]
    NotStarted {
        /// The library's file.
        library: Arc<str>,
        /// Its version. 0 if it is not known.
        version: i32,
        /// The driver's function.
        function: &'static str,
        /// Its result code.
        code: C,
    },

    /// The start of the driver would end the process, because another driver has loaded a compiler that this one loads
    /// as well. The driver was not started. Kind [`NotPermitted`](ErrorKind::NotPermitted).
    #[error(
        "the {} was not started: it loads {next}, this process has loaded {loaded}, and both have clang and share {llvm}, \
         which ends the process when clang is loaded twice; use the two drivers in separate processes, and probe one of \
         them by `Availability::of_kind`",
        C::VENDOR.driver
    )]
    CompilerConflict {
        /// The file that the process has loaded.
        loaded: Arc<str>,
        /// The file that the driver loads.
        next: Arc<str>,
        /// The name of the LLVM that both share.
        llvm: Arc<str>,
    },

    /// The library lacks a required function. Kind [`SymbolNotFound`](ErrorKind::SymbolNotFound).
    #[error(
        "{library} has no function {symbol}, so it is not the {}'s library, or is broken; {} can name another one",
        C::VENDOR.driver, C::VENDOR.variable
    )]
    SymbolNotFound {
        /// The function.
        symbol: &'static str,
        /// The library's file.
        library: Arc<str>,
    },

    /// The driver is older than the oldest supported one. Kind [`DriverTooOld`](ErrorKind::DriverTooOld).
    #[error(
        "the {} {library} is of version {}, and {} or newer is needed; {}",
        C::VENDOR.driver, display_version::<C>(*version), display_version::<C>(*oldest), C::VENDOR.update
    )]
    DriverTooOld {
        /// The library's file.
        library: Arc<str>,
        /// Its version.
        version: i32,
        /// The oldest supported version.
        oldest: i32,
    },

    /// The driver started and has no device. Kind [`NoDevice`](ErrorKind::NoDevice).
    #[error(
        "the {} {library}, version {}, has no device; {}",
        C::VENDOR.driver, display_version::<C>(*version), C::VENDOR.no_device
    )]
    NoDevice {
        /// The library's file.
        library: Arc<str>,
        /// Its version.
        version: i32,
    },

    /// The call needs a function that this driver lacks. Kind [`Unsupported`](ErrorKind::Unsupported).
    #[error(
        "{operation}: this needs the function {symbol}, which {} has since {since}, and which this {} lacks; {}",
        C::VENDOR.toolkit, C::VENDOR.driver, C::VENDOR.update
    )]
    MissingSymbol {
        /// The call.
        operation: &'static str,
        /// The function.
        symbol: &'static str,
        /// The first version of the toolkit that has it.
        since: &'static str,
    },
}

impl<C: ResultCode> DriverError<C> {
    /// Returns the driver's library, if the error names the one that was loaded.
    pub fn library(&self) -> Option<&str> {
        match self {
            DriverError::OtherVendor { library, .. }
            | DriverError::NotStarted { library, .. }
            | DriverError::SymbolNotFound { library, .. }
            | DriverError::DriverTooOld { library, .. }
            | DriverError::NoDevice { library, .. } => Some(library),
            _ => None,
        }
    }
}

impl<C: ResultCode> From<Conflict> for DriverError<C> {
    fn from(Conflict { loaded, next, llvm }: Conflict) -> Self {
        DriverError::CompilerConflict {
            loaded: loaded.into(),
            next: next.into(),
            llvm: llvm.into(),
        }
    }
}

impl<C: ResultCode> From<DriverError<C>> for AnyError {
    fn from(error: DriverError<C>) -> Self {
        AnyError::new(error)
    }
}

impl<C: ResultCode> Error for DriverError<C> {
    fn kind(&self) -> ErrorKind {
        match self {
            DriverError::Contract(error) => error.kind(),
            DriverError::Driver { code, .. } | DriverError::NotStarted { code, .. } => code.kind(),
            DriverError::Capturing { .. } => ErrorKind::Capturing,
            DriverError::CapturedEvent { .. } => ErrorKind::InvalidEvent,
            DriverError::ContextReset { .. } => ErrorKind::ContextDestroyed,
            DriverError::HostFunctionPanicked { .. } => ErrorKind::StreamFault,
            DriverError::CompilerConflict { .. } => ErrorKind::NotPermitted,
            DriverError::LibraryNotFound { .. } => ErrorKind::LibraryNotFound,
            DriverError::AmbiguousLibrary { .. } => ErrorKind::AmbiguousLibrary,
            DriverError::SymbolNotFound { .. } => ErrorKind::SymbolNotFound,
            DriverError::DriverTooOld { .. } => ErrorKind::DriverTooOld,
            DriverError::NoDevice { .. } => ErrorKind::NoDevice,
            DriverError::OtherVendor { .. } | DriverError::MissingSymbol { .. } => {
                ErrorKind::Unsupported
            }
        }
    }

    fn code(&self) -> Option<i32> {
        match self {
            DriverError::Driver { code, .. } | DriverError::NotStarted { code, .. } => {
                Some(code.number())
            }
            _ => None,
        }
    }
}
