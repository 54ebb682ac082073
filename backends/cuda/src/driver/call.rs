//! A call of the contract on its way to the driver: [`DriverCall`].

use gpu_stream_driver_common::symbols::Optional;

use super::symbols::Symbols;
use super::{Driver, driver, loaded};
use crate::error::{BoxedError, Result};
use crate::{CudaCode, CudaError};

/// A call of the contract, which calls the driver.
#[derive(Clone, Copy)]
pub(crate) struct DriverCall {
    pub(crate) driver: &'static Driver,
    /// The name of the call, for errors.
    pub(crate) operation: &'static str,
}

impl DriverCall {
    /// Begins a call. Starts the driver if no call did before.
    #[inline]
    pub(crate) fn begin(operation: &'static str) -> Result<Self> {
        Ok(DriverCall { driver: driver()?, operation })
    }

    /// Begins a call of the driver that was started. Returns `None` before that, and in the child of a fork.
    #[inline]
    pub(crate) fn if_loaded(operation: &'static str) -> Option<Self> {
        Some(DriverCall { driver: loaded()?, operation })
    }

    /// Returns the driver's functions.
    #[inline]
    pub(crate) fn symbols(self) -> &'static Symbols {
        &self.driver.symbols
    }

    /// Returns an error unless `code`, the answer of `function`, is success.
    #[inline]
    pub(crate) fn check(self, code: CudaCode, function: &'static str) -> Result<()> {
        check(code, self.operation, function)
    }

    /// Returns the error for `code`, the answer of `function`.
    #[cold]
    pub(crate) fn error(self, code: CudaCode, function: &'static str) -> BoxedError {
        driver_error(code, self.operation, function)
    }

    /// Returns the function, or an error that names the first CUDA version that has it.
    pub(crate) fn require<F: Copy>(self, optional: Optional<F>) -> Result<F> {
        let Optional { function, name: symbol, since } = optional;
        let operation = self.operation;
        function.ok_or_else(|| CudaError::MissingSymbol { operation, symbol, since }.into())
    }
}

/// Returns an error unless `code` is success.
#[inline]
pub(crate) fn check(code: CudaCode, operation: &'static str, function: &'static str) -> Result<()> {
    if code == CudaCode::SUCCESS { Ok(()) } else { Err(driver_error(code, operation, function)) }
}

/// Returns the error for `code`, the answer of `function`.
#[cold]
pub(crate) fn driver_error(
    code: CudaCode,
    operation: &'static str,
    function: &'static str,
) -> BoxedError {
    CudaError::Driver { operation, function, code }.into()
}
