//! The error of the OpenCL backend: [`OpenClError`].

use gpu_stream_core::{ContractError, ErrorKind};
use gpu_stream_driver_common::error::{DriverError, ResultCode, Vendor};

use crate::OpenClCode;

/// The error of the OpenCL backend.
pub type OpenClError = DriverError<OpenClCode>;

/// The result of this crate's functions.
pub(crate) type Result<T, E = OpenClError> = std::result::Result<T, E>;

impl ResultCode for OpenClCode {
    const VENDOR: Vendor = Vendor {
        vendor: "an OpenCL implementation's",
        driver: "OpenCL loader",
        variable: "GPU_STREAM_OPENCL_LIBRARY",
        install: "install an OpenCL loader (Debian: ocl-icd-libopencl1) and a driver (for CPUs: pocl-opencl-icd)",
        update: "update the OpenCL driver",
        no_device: "see whether clinfo lists one, and what OCL_ICD_VENDORS names",
        reset: "the context that this was made in was destroyed",
        toolkit: "OpenCL",
    };

    fn number(self) -> i32 {
        self.get()
    }

    fn kind(self) -> ErrorKind {
        self.kind()
    }

    fn advice(self) -> &'static str {
        if self.is_of_work() {
            return "; this is the status of work that failed, and the fault is permanent: create another stream for new work";
        }
        match self.get() {
            -7 => {
                "; the queue of the record keeps no time: create it with CL_QUEUE_PROFILING_ENABLE, or by `Backend::new_stream`"
            }
            -5 | -6 => "; free memory, or drop streams and events that are not needed",
            -14 => "; work before the event failed",
            _ => "",
        }
    }

    fn on_start(self) -> (&'static str, &'static str) {
        (self.name().unwrap_or(""), "see what clinfo says")
    }

    /// Writes 3000 as 3.0.
    fn write_version(number: i32, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", number / 1000, number % 1000 / 100)
    }
}

/// Returns the error for a call that returned a code.
#[cold]
pub(crate) fn driver_error(
    operation: &'static str,
    function: &'static str,
    code: OpenClCode,
) -> OpenClError {
    OpenClError::Driver { operation, function, code }
}

/// Returns the error for a handle that cannot be used, for this reason.
#[cold]
pub(crate) fn invalid_handle(
    operation: &'static str,
    bits: usize,
    reason: &'static str,
) -> OpenClError {
    ContractError::InvalidHandle { operation, bits, reason }.into()
}
