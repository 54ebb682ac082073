//! Raw handles: the integers and pointers that cross from one library to another.
//!
//! A handle is a value of a type that names its vendor, so that a CUDA stream does not reach HIP by
//! mistake:
//!
//! ```
//! # use gpu_stream_core::RawStream;
//! struct Cuda;
//! struct Hip;
//! fn give_to_cuda(_: RawStream<Cuda>) {}
//! give_to_cuda(RawStream::<Cuda>::from_bits(0x7f00_1000));
//! ```
//!
//! The same call with the other vendor's handle does not compile:
//!
//! ```compile_fail,E0308
//! # use gpu_stream_core::RawStream;
//! struct Cuda;
//! struct Hip;
//! fn give_to_cuda(_: RawStream<Cuda>) {}
//! give_to_cuda(RawStream::<Hip>::from_bits(0x7f00_1000));
//! ```

use core::ffi::c_void;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;

/// What a stream handle's value means before any driver is asked.
///
/// The vendors agree on three small values. Every other value is a stream that was created.
///
/// ```
/// use gpu_stream_core::HandleKind;
///
/// assert_eq!(HandleKind::of(0), HandleKind::Default);
/// assert_eq!(HandleKind::of(1), HandleKind::Default);
/// assert_eq!(HandleKind::of(2), HandleKind::PerThread);
/// assert_eq!(HandleKind::of(0x7f00_1000), HandleKind::Explicit);
/// ```
///
/// The exchange protocols have rules of their own for these values: DLPack forbids 0 on CUDA, and 1
/// and 2 on ROCm. Those rules say what may be passed, not what it means.
#[doc(alias(
    "CU_STREAM_LEGACY",
    "CU_STREAM_PER_THREAD",
    "cudaStreamLegacy",
    "cudaStreamPerThread",
    "hipStreamLegacy",
    "hipStreamPerThread",
    "null stream"
))]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HandleKind {
    /// 0 or 1: the device's default stream, also called the null stream or the legacy stream.
    Default,
    /// 2: the calling thread's own default stream, which is another stream on every thread.
    PerThread,
    /// Anything else: a stream that was created.
    Explicit,
}

impl HandleKind {
    /// Returns the kind of the stream handle whose integer value is `bits`.
    pub const fn of(bits: usize) -> Self {
        match bits {
            0 | 1 => HandleKind::Default,
            2 => HandleKind::PerThread,
            _ => HandleKind::Explicit,
        }
    }
}

/// A raw handle, which can be compared, printed and read as an integer.
pub trait RawHandle: Copy + Eq + Hash + fmt::Debug + Send + Sync + 'static {
    /// Returns the integer that other libraries exchange: `stream.cuda_stream` in torch,
    /// `stream.ptr` in CuPy.
    fn to_bits(self) -> usize;
}

macro_rules! raw_handle {
    ($(#[$doc:meta])* $name:ident, $text:literal) => {
        $(#[$doc])*
        #[repr(transparent)]
        pub struct $name<B> {
            bits: usize,
            vendor: PhantomData<fn() -> B>,
        }

        impl<B> $name<B> {
            /// Creates the handle with this integer value. Asks no driver, and promises nothing
            /// about the value.
            pub const fn from_bits(bits: usize) -> Self {
                Self { bits, vendor: PhantomData }
            }

            /// Returns the integer value.
            pub const fn to_bits(self) -> usize {
                self.bits
            }

            /// Creates the handle from the pointer that a C or C++ program has.
            pub fn from_ptr(pointer: *mut c_void) -> Self {
                Self::from_bits(pointer.expose_provenance())
            }

            /// Returns the handle as the opaque pointer that the vendor's C functions take.
            pub fn as_ptr(self) -> *mut c_void {
                core::ptr::with_exposed_provenance_mut(self.bits)
            }
        }

        // Implemented by hand: a derive would require the same trait of `B`, which is only a name
        // here.
        impl<B> Clone for $name<B> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<B> Copy for $name<B> {}

        impl<B> PartialEq for $name<B> {
            fn eq(&self, other: &Self) -> bool {
                self.bits == other.bits
            }
        }

        impl<B> Eq for $name<B> {}

        impl<B> Hash for $name<B> {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.bits.hash(state);
            }
        }

        impl<B> fmt::Debug for $name<B> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($text, "({:#x})"), self.bits)
            }
        }

        impl<B: 'static> RawHandle for $name<B> {
            fn to_bits(self) -> usize {
                self.bits
            }
        }
    };
}

raw_handle! {
    /// A stream handle of backend `B`, as its vendor has it: `CUstream`, `hipStream_t`.
    ///
    /// It is an integer with a vendor's name: it owns nothing, and may be stale. Its only use is to
    /// be wrapped: [`Backend::stream_from_raw`](crate::Backend::stream_from_raw).
    #[doc(alias("CUstream", "cudaStream_t", "hipStream_t", "stream_ptr"))]
    RawStream, "RawStream"
}

raw_handle! {
    /// An event handle of backend `B`, as its vendor has it: `CUevent`, `hipEvent_t`.
    ///
    /// Passes an event to another library. It is valid as long as the event lives.
    #[doc(alias("CUevent", "cudaEvent_t", "hipEvent_t"))]
    RawEvent, "RawEvent"
}

impl<B> RawStream<B> {
    /// 0: the default stream of a device, as most APIs spell it.
    pub const DEFAULT: Self = Self::from_bits(0);
    /// 1: the default stream of a device, spelled explicitly (`CU_STREAM_LEGACY`,
    /// `hipStreamLegacy`).
    pub const LEGACY: Self = Self::from_bits(1);
    /// 2: the calling thread's default stream (`CU_STREAM_PER_THREAD`, `hipStreamPerThread`).
    pub const PER_THREAD: Self = Self::from_bits(2);

    /// Returns what the value means before any driver is asked.
    pub const fn kind(self) -> HandleKind {
        HandleKind::of(self.bits)
    }
}
