//! The errors, in words that are the same on every backend: [`ErrorKind`], [`Error`],
//! [`ContractError`], [`AnyError`].

mod any;
mod contract;

pub use any::AnyError;
pub use contract::ContractError;

use core::fmt;

/// The kind of a failure, on which a program can decide. The error's text is for the reader.
///
/// The same misuse gives the same kind on every backend. The vendor's own code is in
/// [`Error::code`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// This build has no such backend: a cargo feature is off, or the version does not have it.
    ///
    /// Remedy: build with the feature that the text names.
    NotCompiled,
    /// The vendor's shared library is not on this machine, or not where the loader searches.
    ///
    /// Remedy: install the driver or runtime, or name the library in the variable that the text
    /// names. The text lists what was tried.
    LibraryNotFound,
    /// The process has loaded two libraries of one vendor, and a handle does not say which one it belongs to.
    ///
    /// Remedy: load only one of them, or name the one to use in the variable that the text names.
    /// The text names both files.
    AmbiguousLibrary,
    /// The library lacks a function without which the backend cannot work.
    ///
    /// Remedy: install another version of the library, or name the right file, if another one has
    /// its name.
    SymbolNotFound,
    /// The driver or runtime is too old.
    DriverTooOld,
    /// The library works and reports no device.
    ///
    /// Remedy: use another machine, or correct the variable that hides devices
    /// (`CUDA_VISIBLE_DEVICES`, `HIP_VISIBLE_DEVICES`).
    #[doc(alias("CUDA_ERROR_NO_DEVICE", "cudaErrorNoDevice", "hipErrorNoDevice"))]
    NoDevice,
    /// A stream, event, handle or device of one vendor was given to another.
    ///
    /// Only programs that choose the vendor at run time can do this. In all others it does not
    /// compile, except for a [`Device`](crate::Device), which has one type for all vendors.
    BackendMismatch,
    /// The given device is not the one that the handle belongs to. Or two objects of different
    /// devices were used together where that is not allowed.
    DeviceMismatch,
    /// There is no device with that ordinal.
    #[doc(alias("CUDA_ERROR_INVALID_DEVICE", "cudaErrorInvalidDevice", "hipErrorInvalidDevice"))]
    InvalidDevice,
    /// The handle is not a live stream or event of this backend, as far as the backend can tell. Or
    /// the call does not accept this handle.
    #[doc(alias(
        "CUDA_ERROR_INVALID_HANDLE",
        "cudaErrorInvalidResourceHandle",
        "hipErrorInvalidHandle"
    ))]
    InvalidHandle,
    /// Options that contradict each other or that the device does not have.
    InvalidOptions,
    /// The event's last record was made in a capture that is over, so it stands for no work that
    /// runs.
    ///
    /// While the capture lasts, the kind is [`Capturing`](Self::Capturing). Remedy: record the
    /// event outside of a capture.
    InvalidEvent,
    /// Elapsed time needs timing, and the event was made without.
    EventNotTimed,
    /// Elapsed time needs a record, and the event was never recorded.
    EventNotRecorded,
    /// Elapsed time needs a complete record, and the event's is still pending.
    #[doc(alias("CUDA_ERROR_NOT_READY", "cudaErrorNotReady", "hipErrorNotReady"))]
    EventPending,
    /// The call would break a capture, or asks for what a graph cannot hold. Also the answer of an
    /// event whose last record was made in a capture that lasts.
    ///
    /// The capture goes on as if the call had not been made. Remedy: call after the capture has
    /// ended, or do what the text says.
    Capturing,
    /// This backend, or this version of its driver, does not have the capability.
    Unsupported,
    /// The call is not allowed here. Examples: inside work that a stream is running, or in a
    /// process forked from one that had used the backend.
    ///
    /// Remedy: let a stream wait for an event instead of blocking the thread, or do what the text
    /// says.
    NotPermitted,
    /// Work on the stream failed. The fault is permanent: every later call on the stream returns
    /// it.
    ///
    /// On a GPU, failed work ends the whole context. On the host it ends only the stream, and the
    /// streams that wait for work after the fault. A panic of a host function is a fault of its
    /// stream ([`Stream::launch_host_func`](crate::Stream::launch_host_func)). Remedy: use a new
    /// stream or, where the context has ended, a new process.
    StreamFault,
    /// The context or device that the stream or event belongs to was destroyed or reset by another
    /// library (`cudaDeviceReset`, `cuDevicePrimaryCtxReset`, `hipDeviceReset`).
    ///
    /// Remedy: drop all objects from before the reset, and create new streams and events.
    #[doc(alias(
        "CUDA_ERROR_CONTEXT_IS_DESTROYED",
        "cudaErrorContextIsDestroyed",
        "hipErrorContextIsDestroyed"
    ))]
    ContextDestroyed,
    /// No memory, or no other resource such as a thread.
    OutOfMemory,
    /// Any other code of the driver: see [`Error::code`].
    Driver,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The error of a backend.
///
/// A backend's own type has more: the vendor's name and text of the code, and the call that failed.
/// This trait has what portable code can read from the error of any backend.
///
/// ```
/// use gpu_stream_core::{Error, ErrorKind};
///
/// fn is_worth_another_backend(error: &impl Error) -> bool {
///     matches!(error.kind(), ErrorKind::NotCompiled | ErrorKind::LibraryNotFound | ErrorKind::NoDevice)
/// }
/// ```
pub trait Error: core::error::Error + Send + Sync + 'static {
    /// Returns the kind of failure, which is the same for the same misuse on every backend.
    fn kind(&self) -> ErrorKind;

    /// Returns the vendor's code (`CUresult`, `hipError_t`) if a driver call failed. It may be a
    /// number that the vendor's headers do not know yet.
    fn code(&self) -> Option<i32> {
        None
    }
}
