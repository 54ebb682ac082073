//! The integers by which Python libraries pass a stream to each other.
//!
//! A stream that crosses from one library to another is an integer, and each protocol has its own
//! rules for the small ones. This module has them all, for CUDA and for ROCm, in both directions.
//! It does not need Python:
//!
//! ```
//! use gpu_stream_core::BackendKind::{Cuda, Hip};
//! use gpu_stream_core::exchange::{DecodedStream, Protocol, Value};
//!
//! // What a consumer passed to our `__dlpack__(stream=)`:
//! assert_eq!(Protocol::DlPack.decode(1, Cuda)?, DecodedStream::Stream(1)); // the default stream
//! assert_eq!(Protocol::DlPack.decode(-1, Cuda)?, DecodedStream::NoSync);
//! let error = Protocol::DlPack.decode(0, Cuda).unwrap_err();
//! assert!(error.to_string().contains("pass 1"));
//!
//! // The same stream, as a producer encodes it on ROCm:
//! assert_eq!(Protocol::DlPack.encode(DecodedStream::Stream(1), Hip)?, Value::Int(0));
//! # Ok::<(), gpu_stream_core::exchange::ExchangeError>(())
//! ```
//!
//! | | no stream to wait for | the default stream | a thread's own | a created stream |
//! |---|---|---|---|---|
//! | [`CudaArrayInterface`](Protocol::CudaArrayInterface), CUDA | `None` | 1 | 2 | its handle |
//! | [`DlPack`](Protocol::DlPack), CUDA | −1 | 1, `None` | 2 | its handle |
//! | [`DlPack`](Protocol::DlPack), ROCm | −1 | 0, `None` | (none) | its handle |
//! | [`DlPack`](Protocol::DlPack), CPU | `None` | (none) | (none) | (none) |
//! | [`CudaStream`](Protocol::CudaStream), CUDA and ROCm | (none) | 0, 1 | 2 | its handle |
//! | [`Handle`](Protocol::Handle), all backends | (none) | 0, 1 | 2 | its handle |
//!
//! C interfaces answer the current stream as a bare handle: [`dlpack`] and [`tvm_ffi`].
//!
//! Everything else is an [`ExchangeError`]. None of this asks a driver or blocks. Wrapping the
//! handle ([`Backend::stream_from_raw`](crate::Backend::stream_from_raw)) finds whether there is
//! such a stream. [`HandleKind::of`](crate::HandleKind::of) tells which of the three kinds it is.

mod current;
pub mod dlpack;
mod error;
pub mod tvm_ffi;

pub use error::{ExchangeError, Forbidden};

use core::fmt;

use crate::BackendKind;

/// A protocol by which a stream is passed as an integer.
#[doc(alias(
    "__cuda_array_interface__",
    "__dlpack__",
    "__cuda_stream__",
    "native_handle",
    "stream_ptr"
))]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Protocol {
    /// A bare handle: `stream.cuda_stream` and `stream.native_handle` of torch, `stream.ptr` of CuPy, what
    /// `torch.cuda.ExternalStream` takes, and what C interfaces answer ([`dlpack`], [`tvm_ffi`]).
    ///
    /// Any value that a pointer can have, on every backend. 0 and 1 are the default stream, and 2
    /// is the thread's own, as in the vendors' APIs.
    Handle,
    /// The second number of what an object's `__cuda_stream__()` gives; [`cuda_stream`] reads the
    /// pair.
    ///
    /// The values of [`Handle`](Self::Handle), but not on the host. torch passes 0 for its default
    /// stream.
    ///
    /// Origin:
    /// [cuda.core](https://nvidia.github.io/cuda-python/cuda-core/latest/interoperability.html).
    CudaStream,
    /// The entry `stream` of `__cuda_array_interface__`, version 3: where the consumer has to wait.
    ///
    /// For CUDA only, since the interface does not define other vendors.
    ///
    /// Origin:
    /// [Numba](https://nvidia.github.io/numba-cuda/user/cuda_array_interface.html#python-interface-specification).
    CudaArrayInterface,
    /// The argument of `__dlpack__(stream=)`: the stream on which the consumer will use the data,
    /// and which the producer makes wait.
    ///
    /// Origin: [array
    /// API](https://data-apis.org/array-api/latest/API_specification/generated/array_api.array.__dlpack__.html).
    DlPack,
}

/// A value that a library passed: an integer of Python, or `None`.
///
/// Made from any of Rust's integers, or an `Option` of one. An integer of Python that does not fit
/// an `i128` is no stream under any protocol; use [`TOO_LARGE`](Self::TOO_LARGE) for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Value {
    /// Python's `None`, or an entry that is not there.
    None,
    /// An integer.
    Int(i128),
}

impl Value {
    /// An integer that is larger than any handle.
    pub const TOO_LARGE: Self = Value::Int(i128::MAX);
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Value::None => f.write_str("None"),
            Value::TOO_LARGE => f.write_str("an integer of more than 127 bits"),
            Value::Int(int) => fmt::Display::fmt(&int, f),
        }
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::None, T::into)
    }
}

macro_rules! from_integers {
    ($($integer:ty)*) => {$(
        impl From<$integer> for Value {
            fn from(int: $integer) -> Self {
                i128::try_from(int).map_or(Value::TOO_LARGE, Value::Int)
            }
        }
    )*};
}

from_integers! { i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize }

/// The meaning of a value that a library passed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DecodedStream {
    /// No stream: the other library synchronizes by itself, or has nothing to wait for.
    NoSync,
    /// The stream with this handle; 0, 1 and 2 mean what [`HandleKind`](crate::HandleKind) says.
    Stream(usize),
}

impl Protocol {
    /// Returns what `value` means on `backend`.
    ///
    /// # Errors
    /// [`ExchangeError`], for each value that the protocol does not allow. No value is wrapped
    /// around, truncated or taken for another.
    pub fn decode(
        self,
        value: impl Into<Value>,
        backend: BackendKind,
    ) -> Result<DecodedStream, ExchangeError> {
        let value = value.into();
        let forbid = |why| Err(ExchangeError { protocol: self, backend, value: Some(value), why });
        if !self.is_defined_for(backend) {
            return forbid(Forbidden::Backend);
        }
        let int = match (self, backend, value) {
            (_, _, Value::Int(int)) => int,
            (Protocol::Handle | Protocol::CudaStream, _, Value::None) => {
                return forbid(Forbidden::NoStream);
            }
            (Protocol::DlPack, BackendKind::Cuda, Value::None) => {
                return Ok(DecodedStream::Stream(1));
            }
            (Protocol::DlPack, BackendKind::Hip, Value::None) => {
                return Ok(DecodedStream::Stream(0));
            }
            (_, _, Value::None) => return Ok(DecodedStream::NoSync),
        };
        match (self, backend, int) {
            (Protocol::DlPack, BackendKind::Host, _) => forbid(Forbidden::NoStreamsHere),
            (Protocol::DlPack, _, -1) => Ok(DecodedStream::NoSync),
            (_, _, i128::MIN..=-1) => forbid(Forbidden::Negative),
            (Protocol::CudaArrayInterface | Protocol::DlPack, BackendKind::Cuda, 0) => {
                forbid(Forbidden::Ambiguous)
            }
            (Protocol::DlPack, BackendKind::Hip, 1 | 2) => forbid(Forbidden::NotOnRocm),
            _ => match usize::try_from(int) {
                Ok(bits) => Ok(DecodedStream::Stream(bits)),
                Err(_) => forbid(Forbidden::TooLarge),
            },
        }
    }

    /// Returns the value that names `stream` to another library on `backend`. The default stream
    /// has one spelling (see the [table](self)), whichever of 0 and 1 is given.
    ///
    /// # Errors
    /// [`ExchangeError`] if the protocol has no value for it:
    ///
    /// - a thread's own stream by DLPack on ROCm,
    /// - "no stream" as a handle,
    /// - any stream on the CPU by DLPack,
    /// - a backend that the protocol does not define.
    pub fn encode(
        self,
        stream: DecodedStream,
        backend: BackendKind,
    ) -> Result<Value, ExchangeError> {
        let forbid = |why| {
            let value = match stream {
                DecodedStream::NoSync => None,
                DecodedStream::Stream(bits) => Some(bits.into()),
            };
            Err(ExchangeError { protocol: self, backend, value, why })
        };
        if !self.is_defined_for(backend) {
            return forbid(Forbidden::Backend);
        }
        match (self, backend, stream) {
            (Protocol::CudaArrayInterface, _, DecodedStream::NoSync)
            | (Protocol::DlPack, BackendKind::Host, DecodedStream::NoSync) => Ok(Value::None),
            (Protocol::DlPack, _, DecodedStream::NoSync) => Ok(Value::Int(-1)),
            (_, _, DecodedStream::NoSync) => forbid(Forbidden::NoStream),
            (Protocol::DlPack, BackendKind::Host, _) => forbid(Forbidden::NoStreamsHere),
            (Protocol::DlPack, BackendKind::Hip, DecodedStream::Stream(0 | 1)) => Ok(Value::Int(0)),
            (Protocol::DlPack, BackendKind::Hip, DecodedStream::Stream(2)) => {
                forbid(Forbidden::NotOnRocm)
            }
            (Protocol::DlPack | Protocol::CudaArrayInterface, _, DecodedStream::Stream(0 | 1)) => {
                Ok(Value::Int(1))
            }
            (_, _, DecodedStream::Stream(bits)) => Ok(bits.into()),
        }
    }

    /// Returns `true` if the protocol defines streams of `backend`.
    pub const fn is_defined_for(self, backend: BackendKind) -> bool {
        match self {
            Protocol::Handle => true,
            Protocol::CudaStream => matches!(backend, BackendKind::Cuda | BackendKind::Hip),
            Protocol::CudaArrayInterface => matches!(backend, BackendKind::Cuda),
            Protocol::DlPack => {
                matches!(backend, BackendKind::Cuda | BackendKind::Hip | BackendKind::Host)
            }
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Protocol::Handle => "a stream handle",
            Protocol::CudaStream => "__cuda_stream__()",
            Protocol::CudaArrayInterface => "the stream of __cuda_array_interface__",
            Protocol::DlPack => "__dlpack__(stream=)",
        })
    }
}

/// The known version of the protocol [`CudaStream`](Protocol::CudaStream): the first number of the
/// pair `(0, handle)`.
pub const CUDA_STREAM_VERSION: i128 = 0;

/// Returns what the pair of numbers from `__cuda_stream__()` means on `backend`.
///
/// ```
/// use gpu_stream_core::BackendKind::Cuda;
/// use gpu_stream_core::exchange::{DecodedStream, cuda_stream};
///
/// assert_eq!(cuda_stream(0, 0x7f00_1000_u64, Cuda), Ok(DecodedStream::Stream(0x7f00_1000)));
/// assert!(cuda_stream(1, 0x7f00_1000_u64, Cuda).is_err()); // an unknown version
/// ```
///
/// # Errors
/// [`ExchangeError`] for a version that is not 0, whose second number may mean anything; otherwise
/// as [`Protocol::decode`].
#[doc(alias = "__cuda_stream__")]
pub fn cuda_stream(
    version: impl Into<Value>,
    handle: impl Into<Value>,
    backend: BackendKind,
) -> Result<DecodedStream, ExchangeError> {
    let protocol = Protocol::CudaStream;
    let version = version.into();
    if version != Value::Int(CUDA_STREAM_VERSION) {
        let why = Forbidden::Version;
        return Err(ExchangeError { protocol, backend, value: Some(version), why });
    }
    protocol.decode(handle, backend)
}
