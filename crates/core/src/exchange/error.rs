//! Errors for values that the protocols do not allow: [`ExchangeError`].

use core::fmt;

use super::{Protocol, Value};
use crate::{BackendKind, Error, ErrorKind};

/// A value that a protocol does not allow. The text says which protocol forbids it, why, and what
/// to pass instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExchangeError {
    /// The protocol that forbids it.
    pub protocol: Protocol,
    /// The backend.
    pub backend: BackendKind,
    /// The value that was passed, or the stream to be encoded; `None` for
    /// [`NoSync`](super::DecodedStream::NoSync).
    pub value: Option<Value>,
    /// The reason.
    pub why: Forbidden,
}

/// Why a protocol does not allow a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Forbidden {
    /// 0 under CUDA's protocols: it could mean no stream, the default stream or the thread's own.
    Ambiguous,
    /// 1 or 2 by DLPack on ROCm, which does not define these numbers.
    NotOnRocm,
    /// A negative number that has no meaning.
    Negative,
    /// An integer that does not fit a pointer.
    TooLarge,
    /// `None`, or no stream, where there must be one.
    NoStream,
    /// A stream by DLPack on the CPU, where the protocol has no streams.
    NoStreamsHere,
    /// The protocol says nothing about this backend.
    Backend,
    /// `__cuda_stream__` of a version that is not known.
    Version,
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ExchangeError { protocol, backend, value, why } = self;
        match value {
            Some(value) => write!(f, "{protocol} on {backend}: {value} ")?,
            None => write!(f, "{protocol} on {backend}: \"no stream\" ")?,
        }
        match why {
            Forbidden::Ambiguous => {
                let nothing = if *protocol == Protocol::DlPack { "-1" } else { "None" };
                write!(
                    f,
                    "is not allowed, since it could mean no stream, the default stream or the thread's own; pass 1 for the \
                     default stream, 2 for the thread's own, {nothing} for none"
                )
            }
            Forbidden::NotOnRocm => f.write_str(
                "is not allowed, since the protocol does not define it for ROCm; pass 0 for the default stream, or the \
                 handle of a stream that was created",
            ),
            Forbidden::Negative => match protocol {
                Protocol::DlPack => {
                    f.write_str("is no stream; the only negative number is -1, for no stream")
                }
                Protocol::CudaArrayInterface => {
                    f.write_str("is no stream; pass None if there is nothing to wait for")
                }
                _ => f.write_str("is no stream; pass the handle as the driver gives it"),
            },
            Forbidden::TooLarge => write!(
                f,
                "is no stream, since a pointer has {} bits; pass the handle as the driver gives it",
                usize::BITS
            ),
            Forbidden::NoStream => f.write_str(
                "is not allowed, since a handle always names a stream; pass 1 for the default stream, or the handle of \
                 a stream that was created",
            ),
            Forbidden::NoStreamsHere => {
                f.write_str("is not allowed, since the protocol has no streams on the CPU; pass None")
            }
            Forbidden::Backend => {
                let remedy = match protocol {
                    Protocol::CudaArrayInterface => "use DLPack, which does",
                    _ => "pass the bare handle to a function of that backend",
                };
                write!(f, "means nothing, since the protocol says nothing about {backend}; {remedy}")
            }
            Forbidden::Version => f.write_str(
                "is a version of the protocol that is not known here; only 0 is, which gives (0, handle)",
            ),
        }
    }
}

impl core::error::Error for ExchangeError {}

/// The kind is [`Unsupported`](ErrorKind::Unsupported) for a backend or a version that the
/// protocol, or this crate, does not define, and [`InvalidHandle`](ErrorKind::InvalidHandle)
/// otherwise.
impl Error for ExchangeError {
    fn kind(&self) -> ErrorKind {
        match self.why {
            Forbidden::Backend | Forbidden::Version => ErrorKind::Unsupported,
            _ => ErrorKind::InvalidHandle,
        }
    }
}
