//! Turns the driver's answers into results: [`check`], [`require`].

use gpu_stream_driver_common::symbols::Optional;

use super::code::CudaCode;
use crate::CudaError;

/// Returns an error unless `code` is success.
#[inline]
pub(crate) fn check(
    code: CudaCode,
    operation: &'static str,
    function: &'static str,
) -> Result<(), CudaError> {
    if code == CudaCode::SUCCESS {
        return Ok(());
    }
    Err(driver_error(code, operation, function))
}

#[cold]
fn driver_error(code: CudaCode, operation: &'static str, function: &'static str) -> CudaError {
    CudaError::Driver { operation, function, code }
}

/// Returns the function, or an error that names the first CUDA version that has it.
pub(crate) fn require<F: Copy>(
    optional: Optional<F>,
    operation: &'static str,
) -> Result<F, CudaError> {
    let Optional { function, name: symbol, since } = optional;
    function.ok_or(CudaError::MissingSymbol { operation, symbol, since })
}
