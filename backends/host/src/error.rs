//! The error of the host backend: [`HostError`].

use gpu_stream_core::{AnyError, BackendKind, ContractError, Error, ErrorKind};

use crate::executor::fault::Fault;
use crate::executor::queue::WaitError;

/// The error of the host backend.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// A violation of the contract of the traits, of the [kind](Error::kind) that the contract
    /// names.
    #[error(transparent)]
    Contract(#[from] ContractError),

    /// A task of the stream, or of a stream that it waited for, panicked. Kind
    /// [`StreamFault`](ErrorKind::StreamFault).
    #[error("{operation}: {fault}; the stream stays faulted, use another stream")]
    #[non_exhaustive]
    StreamFault {
        /// The call that failed.
        operation: &'static str,
        /// The stream whose task panicked, and the message.
        fault: StreamFault,
    },

    /// An environment variable has an invalid value. Kind
    /// [`InvalidOptions`](ErrorKind::InvalidOptions).
    #[error(
        "{variable}={value}: not a whole number from {least} to {most}; correct or unset the variable"
    )]
    #[non_exhaustive]
    InvalidSetting {
        /// The name of the variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// The least valid number.
        least: u32,
        /// The greatest valid number.
        most: u32,
    },

    /// The system refused to start a worker thread. Kind [`OutOfMemory`](ErrorKind::OutOfMemory).
    #[error(
        "the host backend cannot start a thread: {reason}; raise the limit on threads and try again"
    )]
    #[non_exhaustive]
    NoThread {
        /// The system's reason.
        reason: String,
    },
}

/// The panic that caused a [`HostError::StreamFault`]. Displays the id of the stream and the
/// message.
#[derive(Clone, Debug)]
pub struct StreamFault(Fault);

impl std::fmt::Display for StreamFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl HostError {
    /// Creates the error of a stream with a fault.
    pub(crate) fn fault(operation: &'static str, fault: Fault) -> Self {
        HostError::StreamFault { operation, fault: StreamFault(fault) }
    }

    /// Creates the error of a wait that failed.
    pub(crate) fn wait_error(operation: &'static str, error: WaitError) -> Self {
        match error {
            WaitError::Faulted(fault) => HostError::fault(operation, fault),
            WaitError::ProcessEnding => {
                ContractError::ProcessEnding { backend: BackendKind::Host }.into()
            }
        }
    }
}

impl From<HostError> for AnyError {
    fn from(error: HostError) -> Self {
        AnyError::new(error)
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
