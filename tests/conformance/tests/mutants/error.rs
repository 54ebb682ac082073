//! The error of the mutants: the host's errors, and those of a vendor with graphs and contexts.

use gpu_stream_core::{ContractError, Error, ErrorKind};
use gpu_stream_host::HostError;

#[derive(Clone, Debug, thiserror::Error)]
pub enum MutantError {
    #[error(transparent)]
    Host(#[from] HostError),
    #[error("{0}: the stream is captured, and the capture goes on")]
    Captured(&'static str),
    #[error("{0}: the event's last record was made in a capture that is over; record it outside")]
    OfEndedCapture(&'static str),
    #[error("{0}: the context was reset; make a new stream")]
    Reset(&'static str),
}

impl From<ContractError> for MutantError {
    fn from(error: ContractError) -> Self {
        MutantError::Host(error.into())
    }
}

impl Error for MutantError {
    fn kind(&self) -> ErrorKind {
        match self {
            MutantError::Host(error) => error.kind(),
            MutantError::Captured(_) => ErrorKind::Capturing,
            MutantError::OfEndedCapture(_) => ErrorKind::InvalidEvent,
            MutantError::Reset(_) => ErrorKind::ContextDestroyed,
        }
    }
}
