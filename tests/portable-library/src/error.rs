//! The library's error: [`Error`].

use std::ffi::c_int;
use std::fmt;

use gpu_stream::AnyError;

/// The result of this library's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why work was not submitted.
///
/// One type for every backend: the operator `?` converts the error of any stream.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A call of gpu-stream failed.
    Stream(AnyError),
    /// A call of the vendor's driver failed.
    Driver {
        /// The driver's function.
        call: &'static str,
        /// The code that it returned.
        code: c_int,
    },
    /// This build or this driver has no kernels for the device. The text says why, and the remedy.
    NoKernels(String),
    /// An argument is wrong. The text names it.
    Argument(String),
}

// Only possible because `Error` is not a `gpu_stream::Error` itself: then this would collide with `From<Error>`.
impl<E: gpu_stream::Error> From<E> for Error {
    fn from(error: E) -> Self {
        Error::Stream(AnyError::new(error))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Stream(error) => error.fmt(f),
            Error::Driver { call, code } => write!(f, "{call} returned {code}"),
            Error::NoKernels(text) | Error::Argument(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Stream(error) => Some(error),
            _ => None,
        }
    }
}

/// Returns an error unless `code` is success, which is 0 with every vendor.
#[cfg(any(feature = "cuda", feature = "hip", feature = "opencl"))]
pub(crate) fn check(call: &'static str, code: c_int) -> Result<()> {
    if code == 0 { Ok(()) } else { Err(Error::Driver { call, code }) }
}
