//! Isolation of captures: a stream under capture may wait only for work of its own capture.
//!
//! A graph holds no order with work outside of it. The driver rejects such a wait with 905, or with 902 if
//! the work is in another capture, and invalidates the captures. The wait is therefore rejected here,
//! before the driver is called. A stream that is not being captured may wait for a captured one, which
//! draws it into the capture.

use gpu_stream_core::ContractError;

use crate::driver::capture::{self, Membership};
use crate::{CudaError, CudaStream};

/// Returns an error if `waiter` is being captured and `source` is not part of that capture.
#[cold]
pub(crate) fn check_streams(
    waiter: &CudaStream,
    source: &CudaStream,
    operation: &'static str,
) -> Result<(), CudaError> {
    let Membership::Active(capture) = membership(waiter, operation)? else {
        return check_default(waiter, source, operation);
    };
    let (waiter, bits) = (waiter.bits(), source.bits());
    match membership(source, operation)? {
        Membership::None => {
            Err(ContractError::capture_of_uncaptured(operation, waiter, "stream", bits).into())
        }
        Membership::Active(other) if other != capture => {
            Err(ContractError::capture_of_another(operation, waiter, "stream", bits).into())
        }
        // The driver rejects the record on an invalidated capture, before the wait.
        Membership::Active(_) | Membership::Broken => Ok(()),
    }
}

/// Returns an error if `waiter` is the default stream and `source` is being captured. The driver would answer 906 and
/// break the capture.
fn check_default(
    waiter: &CudaStream,
    source: &CudaStream,
    operation: &'static str,
) -> Result<(), CudaError> {
    if waiter.is_default() && membership(source, operation)? != Membership::None {
        let (waiter, waited_for, bits) = (waiter.bits(), "stream", source.bits());
        return Err(
            ContractError::DefaultStreamCapture { operation, waiter, waited_for, bits }.into()
        );
    }
    Ok(())
}

/// Returns the capture that a stream is in.
pub(crate) fn membership(
    stream: &CudaStream,
    operation: &'static str,
) -> Result<Membership, CudaError> {
    stream.with_current(operation, |symbols, raw| {
        // SAFETY: `stream` keeps its handle alive, and `with_current` sets the context that a default one
        // needs.
        unsafe { capture::membership(symbols, raw, operation) }
    })
}
