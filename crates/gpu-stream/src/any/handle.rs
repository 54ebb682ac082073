//! Handles that name their backend at run time: [`AnyRawStream`], [`AnyRawEvent`].

use gpu_stream_core::{
    AnyError, Backend, BackendKind, ContractError, HandleKind, RawEvent, RawHandle, RawStream,
};

macro_rules! any_handle {
    ($(#[$doc:meta])* $name:ident, $typed:ident, $text:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub struct $name {
            backend: BackendKind,
            bits: usize,
        }

        impl $name {
            /// Creates the handle of `backend` with this integer value. Asks no driver, and
            /// promises nothing about the value.
            pub const fn new(backend: BackendKind, bits: usize) -> Self {
                Self { backend, bits }
            }

            /// Returns the backend that the handle belongs to.
            pub const fn backend(self) -> BackendKind {
                self.backend
            }

            /// Returns the integer value.
            pub const fn bits(self) -> usize {
                self.bits
            }

            /// Returns the handle with the type of backend `B`, for that vendor's API.
            ///
            /// # Errors
            /// [`BackendMismatch`](crate::ErrorKind::BackendMismatch) if it is another backend's.
            pub fn typed<B: Backend>(self) -> Result<$typed<B>, AnyError> {
                if self.backend == B::KIND {
                    return Ok($typed::from_bits(self.bits));
                }
                let (operation, expected, given) = ($text, B::KIND, self.backend);
                Err(ContractError::BackendMismatch { operation, expected, given }.into())
            }
        }

        impl<B: Backend> From<$typed<B>> for $name {
            fn from(handle: $typed<B>) -> Self {
                Self::new(B::KIND, handle.to_bits())
            }
        }

        impl RawHandle for $name {
            fn to_bits(self) -> usize {
                self.bits
            }
        }
    };
}

any_handle! {
    /// A stream handle and the backend that it belongs to.
    ///
    /// ```
    /// use gpu_stream::{AnyRawStream, BackendKind, Error, ErrorKind, Host, RawStream};
    ///
    /// let handle = AnyRawStream::from(RawStream::<Host>::from_bits(0x7f00));
    /// assert_eq!(handle, AnyRawStream::new(BackendKind::Host, 0x7f00));
    /// assert_ne!(handle, AnyRawStream::new(BackendKind::Cuda, 0x7f00));
    /// assert_eq!(handle.typed::<Host>()?.to_bits(), 0x7f00);
    /// # Ok::<(), gpu_stream::AnyError>(())
    /// ```
    AnyRawStream, RawStream, "AnyRawStream::typed"
}

any_handle! {
    /// An event handle and the backend that it belongs to. It is valid as long as the event lives.
    AnyRawEvent, RawEvent, "AnyRawEvent::typed"
}

impl AnyRawStream {
    /// Returns what the value means before any driver is asked.
    pub const fn kind(self) -> HandleKind {
        HandleKind::of(self.bits)
    }
}
