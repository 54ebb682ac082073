//! The error of the CUDA backend: [`CudaError`].

use gpu_stream_core::{ContractError, ErrorKind};
use gpu_stream_driver_common::error::{DriverError, ResultCode, Vendor};

use crate::CudaCode;
use crate::advice::{advice, on_start};

/// The result of this crate's own functions. It is returned in registers; one with a [`CudaError`] would be copied
/// through memory by each function.
pub(crate) type Result<T, E = BoxedError> = std::result::Result<T, E>;

/// A [`CudaError`] on the heap.
#[derive(Debug)]
pub(crate) struct BoxedError(Box<CudaError>);

impl BoxedError {
    /// Returns `true` if the call may succeed with a current context.
    pub(crate) fn needs_context(&self) -> bool {
        matches!(**self, CudaError::Driver { code: CudaCode::INVALID_CONTEXT, .. })
    }
}

impl std::ops::Deref for BoxedError {
    type Target = CudaError;

    fn deref(&self) -> &CudaError {
        &self.0
    }
}

impl From<CudaError> for BoxedError {
    #[cold]
    fn from(error: CudaError) -> Self {
        BoxedError(Box::new(error))
    }
}

impl From<ContractError> for BoxedError {
    #[cold]
    fn from(error: ContractError) -> Self {
        CudaError::Contract(error).into()
    }
}

impl From<BoxedError> for CudaError {
    #[cold]
    fn from(error: BoxedError) -> Self {
        *error.0
    }
}

/// The error of the CUDA backend.
pub type CudaError = DriverError<CudaCode>;

impl ResultCode for CudaCode {
    const VENDOR: Vendor = Vendor {
        vendor: "NVIDIA's",
        driver: "CUDA driver",
        variable: "GPU_STREAM_CUDA_LIBRARY",
        install: "install NVIDIA's driver",
        update: "update NVIDIA's driver",
        no_device: "see whether nvidia-smi lists one, and whether CUDA_VISIBLE_DEVICES hides it",
        reset: "the context that this was made in was reset by another library (cudaDeviceReset, cuDevicePrimaryCtxReset)",
        toolkit: "CUDA",
    };

    fn number(self) -> i32 {
        self.get()
    }

    fn kind(self) -> ErrorKind {
        self.kind()
    }

    fn advice(self) -> &'static str {
        advice(self)
    }

    fn on_start(self) -> (&'static str, &'static str) {
        on_start(self)
    }

    /// Writes 12080 as 12.8.
    fn write_version(number: i32, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", number / 1000, number % 1000 / 10)
    }
}

/// Returns the error for a handle that cannot be used, for this reason.
#[cold]
pub(crate) fn invalid_handle(
    operation: &'static str,
    bits: usize,
    reason: &'static str,
) -> BoxedError {
    ContractError::InvalidHandle { operation, bits, reason }.into()
}

#[cfg(test)]
mod tests {
    use gpu_stream_driver_common::error::display_version;

    use super::*;

    #[test]
    fn version_is_printed_as_major_and_minor() {
        let display = |version| display_version::<CudaCode>(version).to_string();
        assert_eq!(display(11_000), "11.0");
        assert_eq!(display(12_080), "12.8");
        assert_eq!(display(13_000), "13.0");
        let error =
            CudaError::DriverTooOld { library: "l".into(), version: 10_020, oldest: 11_000 };
        assert!(error.to_string().contains("10.2"), "{error}");
    }

    #[test]
    fn error_is_at_most_a_word_larger_than_the_contracts() {
        assert!(size_of::<CudaError>() <= size_of::<ContractError>() + size_of::<usize>());
    }
}
