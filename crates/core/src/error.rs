//! The errors, in words that are the same on every backend: [`ErrorKind`], [`Error`],
//! [`ContractError`], [`AnyError`].

mod any;
mod contract;

pub use any::AnyError;
pub use contract::ContractError;

use core::fmt;

/// What kind of failure it was, for a program to decide on; the error's text is for people.
///
/// The same misuse gives the same kind on every backend. The vendor's own code is in
/// [`Error::code`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// This build has no such backend: a cargo feature is off, or the version does not have it.
    ///
    /// Way out: build with the feature that the text names.
    NotCompiled,
    /// The vendor's shared library is not on this machine, or not where the loader searches.
    ///
    /// Way out: install the driver or runtime, or name the library in the variable that the text
    /// names. The text lists what was tried.
    LibraryNotFound,
    /// The process has loaded two libraries of one vendor, and a handle does not say which one it belongs to.
    ///
    /// Way out: load one of them only, or name the one to use in the variable that the text names.
    /// The text names both files.
    AmbiguousLibrary,
    /// The library lacks a function without which the backend cannot work.
    ///
    /// Way out: another version of the library, or the right file, if something else has its name.
    SymbolNotFound,
    /// The driver or runtime is too old.
    DriverTooOld,
    /// The library is there and works, and there is no device.
    ///
    /// Way out: another machine, or the variable that hides devices (`CUDA_VISIBLE_DEVICES`,
    /// `HIP_VISIBLE_DEVICES`).
    NoDevice,
    /// A stream, event, handle or device of one vendor was given to another.
    ///
    /// Only programs that choose the vendor at run time can do this; in all others it does not
    /// compile, but for a [`Device`].
    BackendMismatch,
    /// The given device is not the one that the handle belongs to. Or two things of different
    /// devices were used together where that is not allowed.
    DeviceMismatch,
    /// There is no device with that ordinal.
    InvalidDevice,
    /// The handle is not a live stream or event of this backend, as far as the backend can tell. Or
    /// it is one that this call does not accept.
    InvalidHandle,
    /// Options that contradict each other or that the device does not have.
    InvalidOptions,
    /// The event cannot be asked: its last record was made while a stream was captured.
    ///
    /// Way out: record it outside of a capture first.
    InvalidEvent,
    /// Elapsed time needs timing, and the event was made without.
    EventNotTimed,
    /// Elapsed time needs a record, and the event was never recorded.
    EventNotRecorded,
    /// Elapsed time needs a complete record, and the event's is still pending.
    EventPending,
    /// The stream is being captured, and the call would have broken the capture, or a graph cannot
    /// hold what the call asks for.
    ///
    /// The capture goes on as if the call had not been made. Way out: call after the capture has
    /// ended, or what the text says.
    Capturing,
    /// This backend, or this version of its driver, does not have the capability.
    Unsupported,
    /// The call is not allowed here. Examples: inside work that a stream is running, or in a
    /// process forked from one that had used the backend.
    ///
    /// Way out: let another stream wait for an event, instead of a thread; or what the text says.
    NotPermitted,
    /// Work on the stream failed. It stays so: every later call on the stream says the same.
    ///
    /// On a GPU a fault ends the whole context. On the host it ends only the stream, and the
    /// streams that wait for work after the fault. Way out: a new stream, or a new process.
    StreamFault,
    /// The context or device that the stream or event belongs to was destroyed or reset by another
    /// library (`cudaDeviceReset`, `cuDevicePrimaryCtxReset`, `hipDeviceReset`).
    ///
    /// Way out: drop what was made before the reset, and make new streams and events.
    ContextDestroyed,
    /// No memory, or no other resource such as a thread.
    OutOfMemory,
    /// Anything else that the driver answered: see [`Error::code`].
    Driver,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The error of a backend.
///
/// A backend's own type says more: the vendor's name and text of the code, and the call that
/// failed. This trait is what portable code can ask of any of them.
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
