//! What a captured stream may wait for: work of its own capture.
//!
//! A graph holds no order with work outside of it. The driver answers such a wait with 905, or with 902
//! if that work is in another capture, and breaks the captures. So the wait is refused before the driver
//! is asked. A stream that is not captured may wait for a captured one, which takes it into the capture.

use gpu_stream_core::ContractError;

use crate::driver::capture::{self, Membership};
use crate::{CudaError, CudaStream};

/// Returns an error if `waiter` is captured and `source` is not part of that capture.
#[cold]
pub(crate) fn check_streams(
    waiter: &CudaStream,
    source: &CudaStream,
    operation: &'static str,
) -> Result<(), CudaError> {
    let Membership::Active(capture) = membership(waiter, operation)? else { return Ok(()) };
    let (waiter, bits) = (waiter.bits(), source.bits());
    match membership(source, operation)? {
        Membership::None => {
            Err(ContractError::capture_of_uncaptured(operation, waiter, "stream", bits).into())
        }
        Membership::Active(other) if other != capture => {
            Err(ContractError::capture_of_another(operation, waiter, "stream", bits).into())
        }
        // A broken one is refused by the driver at the record, before the wait.
        Membership::Active(_) | Membership::Broken => Ok(()),
    }
}

/// Returns the capture that a stream is in.
pub(crate) fn membership(
    stream: &CudaStream,
    operation: &'static str,
) -> Result<Membership, CudaError> {
    stream.with_current(operation, |driver, raw| {
        // SAFETY: the stream is alive, and `with_current` has made current what a default one needs.
        unsafe { capture::membership(driver, raw, operation) }
    })
}
