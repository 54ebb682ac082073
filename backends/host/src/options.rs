//! Checks of stream and event options.

use gpu_stream_core::{BackendKind, ContractError, EventOptions, StreamOptions};

use crate::HostError;
use crate::executor::level::Level;

/// Returns an error if the host has no events with these options.
pub(crate) fn check_event(options: EventOptions, operation: &'static str) -> Result<(), HostError> {
    if options.is_interprocess() {
        let reason = "its streams live in one process; use an event without `interprocess`";
        let backend = BackendKind::Host;
        return Err(ContractError::Unsupported { operation, backend, reason }.into());
    }
    Ok(())
}

/// Returns an error if the host has no streams with these options.
pub(crate) fn check_stream(
    options: StreamOptions,
    operation: &'static str,
) -> Result<(), HostError> {
    Level::PRIORITIES.check(options.priority, operation)?;
    if options.blocking {
        let reason = "its default stream does not synchronize with other streams; use a stream without \
                      `blocking`, and a wait";
        let backend = BackendKind::Host;
        return Err(ContractError::Unsupported { operation, backend, reason }.into());
    }
    Ok(())
}
