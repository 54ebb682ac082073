//! Shared by the tests: CUDA for the tests that it shares with HIP, and the driver without the backend under
//! test. Without a driver, the tests run over the simulated one.

#![allow(dead_code, reason = "no test program uses all of it")]

pub mod bare;
pub mod operations;
pub mod vendor;

use std::process::ExitCode;

use gpu_stream_core::Device;
use gpu_stream_cuda::CudaStream;
#[allow(unused_imports, reason = "no test program uses all of it")]
pub use gpu_stream_test_support::{Case, expect_kind};
use libloading::Library;
pub use vendor::OnCuda;

pub mod capture {
    //! Captures through the driver's own functions. They end with the test, even if it fails.

    use gpu_stream_test_support::Vendor;

    pub type Capture = gpu_stream_test_support::Capture<super::OnCuda>;

    /// Returns the driver's capture status of a stream.
    pub fn status_of(stream: super::bare::Ptr) -> Result<i32, i32> {
        super::OnCuda::capture_status(stream)
    }
}

/// Runs the cases on a device, or over the simulated driver.
pub fn main(cases: &[Case]) -> ExitCode {
    gpu_stream_test_support::main::<OnCuda>(cases)
}

/// Returns `true` if the tests run over the simulated driver.
pub fn is_simulated() -> bool {
    cuda_sim::is_loaded()
}

/// Returns the first device.
pub fn device() -> Device {
    gpu_stream_test_support::device::<OnCuda>()
}

/// Creates a stream on the first device.
pub fn own_stream() -> CudaStream {
    gpu_stream_test_support::own_stream::<OnCuda>()
}

/// Wraps a stream that the tests do not destroy before the wrapper.
pub fn wrap(stream: bare::Ptr) -> CudaStream {
    gpu_stream_test_support::wrap::<OnCuda>(stream)
}

/// Returns a function of the simulated driver that the process has loaded.
///
/// # Safety
/// `F` is the function's type.
pub unsafe fn simulated_function<F: Copy>(name: &str) -> F {
    let library = cuda_sim::library().expect("the simulated driver");
    // SAFETY: the library is loaded and never closed, and the function has this type (caller contract).
    unsafe {
        let library = std::mem::ManuallyDrop::new(Library::new(library).expect("it is loaded"));
        *library.get::<F>(name).expect("a function of the simulator")
    }
}
