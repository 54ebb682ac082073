//! Errors for tables that cannot be used: [`ExchangeApiError`].

use super::{MAJOR_VERSION, Version};
use crate::{Error, ErrorKind};

/// A table of DLPack's C exchange API that cannot be used. The text says what is wrong, and what to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeApiError {
    /// The pointer is null: the capsule has another name, or the framework has no table.
    #[error(
        "DLPack's exchange API: the table is a null pointer; pass the pointer of the capsule \"dlpack_exchange_api\", \
         the attribute `__dlpack_c_exchange_api__` of the array's type"
    )]
    Null,
    /// The pointer, or one of the chain, is not aligned as a table is, so it is none.
    #[error(
        "DLPack's exchange API: there is no table at {address:#x}, which is not aligned; pass the pointer of the \
         capsule \"dlpack_exchange_api\""
    )]
    Misaligned {
        /// The address.
        address: usize,
    },
    /// No table of the chain has a known layout.
    #[error(
        "DLPack's exchange API: the table has version {given}, {}, and only {MAJOR_VERSION}.x is known here; use \
         another version of the framework, or pass the stream itself",
        chain(given, oldest)
    )]
    Version {
        /// The version of the table that was given.
        given: Version,
        /// The version at which the search ended: the same, or the oldest of the chain.
        oldest: Version,
    },
    /// A table of the chain is not older than the one that names it.
    #[error(
        "DLPack's exchange API: the table of version {version} names one of version {next} as older; the framework's \
         table is wrong, so pass the stream itself"
    )]
    Chain {
        /// The version of the table that names the other.
        version: Version,
        /// The version of the other.
        next: Version,
    },
    /// The table lacks the function that answers the current stream, which the protocol requires.
    #[error(
        "DLPack's exchange API: the table of version {version} has no function `current_work_stream`; the framework's \
         table is wrong, so pass the stream itself"
    )]
    MissingFunction {
        /// The version of the table.
        version: Version,
    },
}

/// Returns where the search ended, for the text.
fn chain(given: &Version, oldest: &Version) -> impl core::fmt::Display {
    struct End(Option<Version>);
    impl core::fmt::Display for End {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            match self.0 {
                Some(oldest) => write!(f, "its older tables end at {oldest}"),
                None => f.write_str("it has no older table that could be used"),
            }
        }
    }
    End((given != oldest).then_some(*oldest))
}

/// The kind is [`InvalidHandle`](ErrorKind::InvalidHandle) for a pointer that is no table,
/// [`Unsupported`](ErrorKind::Unsupported) for a version or chain, and
/// [`SymbolNotFound`](ErrorKind::SymbolNotFound) for a missing function.
impl Error for ExchangeApiError {
    fn kind(&self) -> ErrorKind {
        match self {
            ExchangeApiError::Null | ExchangeApiError::Misaligned { .. } => {
                ErrorKind::InvalidHandle
            }
            ExchangeApiError::Version { .. } | ExchangeApiError::Chain { .. } => {
                ErrorKind::Unsupported
            }
            ExchangeApiError::MissingFunction { .. } => ErrorKind::SymbolNotFound,
        }
    }
}
