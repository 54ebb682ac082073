//! What can go wrong on the host: [`HostError`].

use gpu_stream_core::{BackendKind, ContractError, Error, ErrorKind};

use crate::executor::fault::Fault;
use crate::executor::queue::NoWait;

/// The error of the host backend.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Misuse that the contract names. Of the [kind](Error::kind) that it names.
    #[error(transparent)]
    Contract(#[from] ContractError),

    /// A task of the stream panicked, or of a stream that it waited for. Kind
    /// [`StreamFault`](ErrorKind::StreamFault).
    #[error("{operation}: {fault}; it stays so, use another stream")]
    #[non_exhaustive]
    StreamFault {
        /// The call.
        operation: &'static str,
        /// Whose task panicked, and with what message.
        fault: StreamFault,
    },

    /// An environment variable has a value that cannot be used. Kind
    /// [`InvalidOptions`](ErrorKind::InvalidOptions).
    #[error(
        "{variable}={value}: this must be a whole number from {least} to {most}, or not be set"
    )]
    #[non_exhaustive]
    InvalidSetting {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// The least number that would do.
        least: u32,
        /// The greatest one.
        most: u32,
    },

    /// The system gave no thread to run streams on. Kind [`OutOfMemory`](ErrorKind::OutOfMemory).
    #[error(
        "the host backend cannot start a thread: {reason}; raise the limit on threads and try again"
    )]
    #[non_exhaustive]
    NoThread {
        /// What the system said.
        reason: String,
    },
}

/// The panic behind [`HostError::StreamFault`]: displays the stream, by its id, and the message.
#[derive(Clone, Debug)]
pub struct StreamFault(Fault);

impl std::fmt::Display for StreamFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl HostError {
    pub(crate) fn fault(operation: &'static str, fault: Fault) -> Self {
        HostError::StreamFault { operation, fault: StreamFault(fault) }
    }

    pub(crate) fn no_wait(operation: &'static str, reason: NoWait) -> Self {
        match reason {
            NoWait::Faulted(fault) => HostError::fault(operation, fault),
            NoWait::ProcessEnding => {
                ContractError::ProcessEnding { backend: BackendKind::Host }.into()
            }
        }
    }
}

impl Error for HostError {
    fn kind(&self) -> ErrorKind {
        match self {
            HostError::Contract(error) => error.kind(),
            HostError::StreamFault { .. } => ErrorKind::StreamFault,
            HostError::InvalidSetting { .. } => ErrorKind::InvalidOptions,
            HostError::NoThread { .. } => ErrorKind::OutOfMemory,
        }
    }
}
