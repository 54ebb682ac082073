//! The driver's result codes: [`CudaCode`].

use std::ffi::{c_char, c_int};
use std::fmt;

use gpu_stream_core::ErrorKind;
use gpu_stream_driver_common::texts::{TextsInUse, debug_code, display_code, driver_text};

/// A `CUresult`, kept as an integer.
///
/// Not an enum, because a newer driver returns codes that no current header has. They are handled like the
/// others. The text of a code comes from the driver.
///
/// Origin: [`CUresult`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__TYPES.html).
#[doc(alias("CUresult", "cudaError_t"))]
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CudaCode(c_int);

impl CudaCode {
    /// `CUDA_SUCCESS`.
    pub const SUCCESS: Self = CudaCode(0);
    /// `CUDA_ERROR_INVALID_VALUE`. Among other causes, the event's last record was made in a capture that has ended.
    pub const INVALID_VALUE: Self = CudaCode(1);
    /// `CUDA_ERROR_STUB_LIBRARY`: the library is the stub that the toolkit provides for linking.
    pub const STUB_LIBRARY: Self = CudaCode(34);
    /// `CUDA_ERROR_NO_DEVICE`.
    pub const NO_DEVICE: Self = CudaCode(100);
    /// `CUDA_ERROR_INVALID_CONTEXT`. Among other causes, the call needs a current context and there is none.
    pub const INVALID_CONTEXT: Self = CudaCode(201);
    /// `CUDA_ERROR_INVALID_HANDLE`. Among other causes, the event to record and the stream are in different contexts.
    pub const INVALID_HANDLE: Self = CudaCode(400);
    /// `CUDA_ERROR_NOT_READY`: not an error, work is pending.
    pub const NOT_READY: Self = CudaCode(600);
    /// `CUDA_ERROR_CONTEXT_IS_DESTROYED`: the context was reset or destroyed, with everything that was created in it.
    pub const CONTEXT_IS_DESTROYED: Self = CudaCode(709);
    /// `CUDA_ERROR_NOT_SUPPORTED`.
    pub const NOT_SUPPORTED: Self = CudaCode(801);
    /// `CUDA_ERROR_STREAM_CAPTURE_IMPLICIT`: the call named the default stream while a stream that it
    /// synchronizes with is being captured.
    pub const CAPTURE_IMPLICIT: Self = CudaCode(906);
    /// `CUDA_ERROR_CAPTURED_EVENT`: the event's last record was made in a capture.
    pub const CAPTURED_EVENT: Self = CudaCode(907);

    /// Creates the code with this number.
    pub const fn new(number: i32) -> Self {
        CudaCode(number)
    }

    /// Returns the number.
    pub const fn get(self) -> i32 {
        self.0
    }

    /// Returns the kind of failure that the code stands for.
    ///
    /// The codes of an invalidated capture (900 to 906 and 908) are [`ErrorKind::Driver`]:
    /// [`ErrorKind::Capturing`] promises that the capture continues, and after these codes it does not.
    pub const fn kind(self) -> ErrorKind {
        match self.0 {
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

    /// Returns the driver's name of the code, for example `CUDA_ERROR_INVALID_HANDLE`. Returns `None` if the driver
    /// does not know the code or is not loaded.
    #[doc(alias = "cuGetErrorName")]
    pub fn name(self) -> Option<&'static str> {
        self.text(TEXTS.get()?.name)
    }

    /// Returns the driver's description of the code. Returns `None` if the driver does not know the code or is not
    /// loaded.
    #[doc(alias = "cuGetErrorString")]
    pub fn description(self) -> Option<&'static str> {
        self.text(TEXTS.get()?.description)
    }

    fn text(self, get: GetText) -> Option<&'static str> {
        let mut text = std::ptr::null();
        // SAFETY: `&mut text` is a valid out-pointer. The call takes any number.
        let code = unsafe { get(self, &mut text) };
        // SAFETY: on success `text` is a NUL-terminated string of the library, which is never closed.
        if code == CudaCode::SUCCESS { unsafe { driver_text(text) } } else { None }
    }
}

pub(crate) type GetText = unsafe extern "C" fn(CudaCode, *mut *const c_char) -> CudaCode;

/// The functions for texts. None before the driver's start, and in the child of a fork.
pub(crate) static TEXTS: TextsInUse<GetText> = TextsInUse::none();

impl fmt::Display for CudaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display_code(f, self.0, self.name(), self.description())
    }
}

impl fmt::Debug for CudaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_code(f, "CudaCode", self.0, self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_code_is_a_driver_error_and_prints_its_number() {
        for number in [917, 918, 919, 999, 123_456, -1, c_int::MIN] {
            let code = CudaCode(number);
            assert_eq!(code.kind(), ErrorKind::Driver);
            assert!(code.to_string().contains(&number.to_string()));
        }
    }

    #[test]
    fn context_errors_are_stream_faults_and_capture_errors_are_driver_errors() {
        for number in [214, 700, 710, 719] {
            assert_eq!(CudaCode(number).kind(), ErrorKind::StreamFault, "{number}");
        }
        for number in [900, 901, 905, 906] {
            assert_eq!(CudaCode(number).kind(), ErrorKind::Driver, "{number}");
        }
    }
}
