//! The driver's result codes: [`CudaCode`].

use std::ffi::c_char;

use gpu_stream_core::ErrorKind;
use gpu_stream_driver_common::texts::driver_text;

pub(crate) type GetText = unsafe extern "C" fn(CudaCode, *mut *const c_char) -> CudaCode;

gpu_stream_driver_common::result_code! {
    /// A `CUresult`, kept as an integer. The text of a code comes from the driver.
    ///
    /// Origin: [`CUresult`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__TYPES.html).
    #[doc(alias("CUresult", "cudaError_t"))]
    CudaCode, text: GetText, "cuGetErrorName", "cuGetErrorString"
}

fn text(code: CudaCode, get: GetText) -> Option<&'static str> {
    let mut text = std::ptr::null();
    // SAFETY: `&mut text` is a valid out-pointer. The call takes any number.
    let answer = unsafe { get(code, &mut text) };
    // SAFETY: on success `text` is a NUL-terminated string of the library, which is never closed.
    if answer == CudaCode::SUCCESS { unsafe { driver_text(text) } } else { None }
}

impl CudaCode {
    /// `CUDA_SUCCESS`.
    pub const SUCCESS: Self = CudaCode::new(0);
    /// `CUDA_ERROR_INVALID_VALUE`. Among other causes, the event's last record was made in a capture that has ended.
    pub const INVALID_VALUE: Self = CudaCode::new(1);
    /// `CUDA_ERROR_STUB_LIBRARY`: the library is the stub that the toolkit provides for linking.
    pub const STUB_LIBRARY: Self = CudaCode::new(34);
    /// `CUDA_ERROR_NO_DEVICE`.
    pub const NO_DEVICE: Self = CudaCode::new(100);
    /// `CUDA_ERROR_INVALID_CONTEXT`. Among other causes, the call needs a current context and there is none.
    pub const INVALID_CONTEXT: Self = CudaCode::new(201);
    /// `CUDA_ERROR_INVALID_HANDLE`. Among other causes, the event to record and the stream are in different contexts.
    pub const INVALID_HANDLE: Self = CudaCode::new(400);
    /// `CUDA_ERROR_NOT_READY`: not an error, work is pending.
    pub const NOT_READY: Self = CudaCode::new(600);
    /// `CUDA_ERROR_CONTEXT_IS_DESTROYED`: the context was reset or destroyed, with everything that was created in it.
    pub const CONTEXT_IS_DESTROYED: Self = CudaCode::new(709);
    /// `CUDA_ERROR_NOT_SUPPORTED`.
    pub const NOT_SUPPORTED: Self = CudaCode::new(801);
    /// `CUDA_ERROR_STREAM_CAPTURE_IMPLICIT`: the call named the default stream while a stream that it
    /// synchronizes with is being captured.
    pub const CAPTURE_IMPLICIT: Self = CudaCode::new(906);
    /// `CUDA_ERROR_CAPTURED_EVENT`: the event's last record was made in a capture.
    pub const CAPTURED_EVENT: Self = CudaCode::new(907);

    /// Returns the kind of failure that the code stands for.
    ///
    /// The codes of an invalidated capture (900 to 906 and 908) are [`ErrorKind::Driver`]:
    /// [`ErrorKind::Capturing`] promises that the capture continues, and after these codes it does not.
    pub const fn kind(self) -> ErrorKind {
        match self.get() {
            2 => ErrorKind::OutOfMemory,
            34 => ErrorKind::LibraryNotFound,
            100 => ErrorKind::NoDevice,
            101 => ErrorKind::InvalidDevice,
            // 201 also means that a call needs a current context and has none. Such calls are repeated with one.
            201 | 709 => ErrorKind::ContextDestroyed,
            400 => ErrorKind::InvalidHandle,
            800 => ErrorKind::NotPermitted,
            801 => ErrorKind::Unsupported,
            // The kernel module and the library do not match.
            803 | 804 => ErrorKind::DriverTooOld,
            907 => ErrorKind::InvalidEvent,
            // Errors that break the context: memory errors (ECC, NVLink, contained), illegal addresses and
            // instructions, assertions, a failed launch or a timeout, a device outside of CUDA.
            214 | 220 | 226 | 700 | 702 | 710 | 714..=719 | 721 | 911 => ErrorKind::StreamFault,
            _ => ErrorKind::Driver,
        }
    }

    /// Returns `true` if the context was reset or destroyed.
    pub(crate) const fn is_of_dead_context(self) -> bool {
        matches!(self.kind(), ErrorKind::ContextDestroyed)
    }

    /// Returns `true` if a fast-path record or wait with this code must be repeated on the slow path.
    ///
    /// The slow path makes a context current, uses an event of the stream's own context, and checks that
    /// both contexts are alive.
    pub(crate) const fn is_for_slow_path(self) -> bool {
        matches!(self, CudaCode::INVALID_CONTEXT | CudaCode::INVALID_HANDLE)
    }

    /// Returns `true` if no work of the context will run any more.
    pub(crate) const fn is_end_of_context(self) -> bool {
        matches!(self.kind(), ErrorKind::ContextDestroyed | ErrorKind::StreamFault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_code_is_a_driver_error_and_prints_its_number() {
        for number in [917, 918, 919, 999, 123_456, -1, i32::MIN] {
            let code = CudaCode::new(number);
            assert_eq!(code.kind(), ErrorKind::Driver);
            assert!(code.to_string().contains(&number.to_string()));
        }
    }

    #[test]
    fn context_errors_are_stream_faults_and_capture_errors_are_driver_errors() {
        for number in [214, 700, 710, 719] {
            assert_eq!(CudaCode::new(number).kind(), ErrorKind::StreamFault, "{number}");
        }
        for number in [900, 901, 905, 906] {
            assert_eq!(CudaCode::new(number).kind(), ErrorKind::Driver, "{number}");
        }
    }
}
