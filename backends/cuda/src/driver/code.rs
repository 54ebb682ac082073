//! What the driver answers: [`CudaCode`].

use std::ffi::{CStr, c_char, c_int};
use std::fmt;

use gpu_stream_core::ErrorKind;

use super::loaded;

/// A `CUresult`, as the integer that it is.
///
/// No enum: a newer driver answers with numbers that no header of today has, and those are as good
/// as the others. The text of a code is the driver's own.
///
/// Origin: [`CUresult`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__TYPES.html).
#[doc(alias("CUresult", "cudaError_t"))]
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CudaCode(c_int);

impl CudaCode {
    /// `CUDA_SUCCESS`.
    pub const SUCCESS: Self = CudaCode(0);
    /// `CUDA_ERROR_INVALID_VALUE`: among others, the event's last record was made in a capture that is
    /// over.
    pub const INVALID_VALUE: Self = CudaCode(1);
    /// `CUDA_ERROR_STUB_LIBRARY`: the library is the one of the toolkit that is there to be linked
    /// against.
    pub const STUB_LIBRARY: Self = CudaCode(34);
    /// `CUDA_ERROR_NO_DEVICE`.
    pub const NO_DEVICE: Self = CudaCode(100);
    /// `CUDA_ERROR_INVALID_CONTEXT`: among others, none is current and the call needs one.
    pub const INVALID_CONTEXT: Self = CudaCode(201);
    /// `CUDA_ERROR_INVALID_HANDLE`: among others, the event to be recorded is of another context than
    /// the stream.
    pub const INVALID_HANDLE: Self = CudaCode(400);
    /// `CUDA_ERROR_NOT_READY`: no error, work is pending.
    pub const NOT_READY: Self = CudaCode(600);
    /// `CUDA_ERROR_CONTEXT_IS_DESTROYED`: the context was reset or destroyed, and all that was made in it.
    pub const CONTEXT_IS_DESTROYED: Self = CudaCode(709);
    /// `CUDA_ERROR_NOT_SUPPORTED`.
    pub const NOT_SUPPORTED: Self = CudaCode(801);
    /// `CUDA_ERROR_STREAM_CAPTURE_IMPLICIT`: the default stream was asked while another stream,
    /// which it would have to synchronise with, is captured.
    pub const CAPTURE_IMPLICIT: Self = CudaCode(906);
    /// `CUDA_ERROR_CAPTURED_EVENT`: the event's last record was made in a capture.
    pub const CAPTURED_EVENT: Self = CudaCode(907);

    /// The code with this number.
    pub const fn new(number: i32) -> Self {
        CudaCode(number)
    }

    /// The number.
    pub const fn get(self) -> i32 {
        self.0
    }

    /// What kind of failure the number is.
    ///
    /// The codes of a broken capture (900 to 906 and 908) are [`ErrorKind::Driver`]:
    /// [`ErrorKind::Capturing`] promises that the capture goes on, which after them it does not.
    pub const fn kind(self) -> ErrorKind {
        match self.0 {
            2 => ErrorKind::OutOfMemory,
            34 => ErrorKind::LibraryNotFound,
            100 => ErrorKind::NoDevice,
            101 => ErrorKind::InvalidDevice,
            // 201 is also the answer to a call that needs a current context and has none; such calls
            // are made again with one.
            201 | 709 => ErrorKind::ContextDestroyed,
            400 => ErrorKind::InvalidHandle,
            800 => ErrorKind::NotPermitted,
            801 => ErrorKind::Unsupported,
            // The kernel's part of the driver and the library do not fit together.
            803 | 804 => ErrorKind::DriverTooOld,
            907 => ErrorKind::InvalidEvent,
            // What takes the context with it: memory errors (ECC, NVLink, contained), illegal
            // addresses and instructions, assertions, a launch that failed or ran out of time, a
            // device outside of CUDA.
            214 | 220 | 226 | 700 | 702 | 710 | 714..=719 | 721 | 911 => ErrorKind::StreamFault,
            _ => ErrorKind::Driver,
        }
    }

    /// Returns `true` if the context of what was asked for was reset or destroyed.
    pub(crate) const fn is_of_dead_context(self) -> bool {
        matches!(self.kind(), ErrorKind::ContextDestroyed)
    }

    /// Returns `true` if a record or a wait that the driver answered so is to be made on the slow path.
    ///
    /// That has a context current, an event of the stream's own, and checks that the contexts are alive.
    pub(crate) const fn is_for_slow_path(self) -> bool {
        matches!(self, CudaCode::INVALID_CONTEXT | CudaCode::INVALID_HANDLE)
    }

    /// Returns `true` if no work of the context will run any more.
    pub(crate) const fn is_end_of_context(self) -> bool {
        matches!(self.kind(), ErrorKind::ContextDestroyed | ErrorKind::StreamFault)
    }

    /// The driver's name of the code, `CUDA_ERROR_INVALID_HANDLE` for instance; `None` if the
    /// driver does not know it or is not loaded.
    #[doc(alias = "cuGetErrorName")]
    pub fn name(self) -> Option<&'static str> {
        driver_text(loaded()?.symbols.error_name, self)
    }

    /// The driver's description of the code; `None` as for [`name`](Self::name).
    #[doc(alias = "cuGetErrorString")]
    pub fn description(self) -> Option<&'static str> {
        driver_text(loaded()?.symbols.error_text, self)
    }
}

type TextOf = unsafe extern "C" fn(CudaCode, *mut *const c_char) -> CudaCode;

fn driver_text(text_of: TextOf, code: CudaCode) -> Option<&'static str> {
    let mut text = std::ptr::null();
    // SAFETY: `text` is a place for one pointer. The call takes any number.
    let answer = unsafe { text_of(code, &mut text) };
    if answer != CudaCode::SUCCESS || text.is_null() {
        return None;
    }
    // SAFETY: on success it is a string of the library, with a zero at its end; the library is
    // never closed.
    unsafe { CStr::from_ptr(text) }.to_str().ok()
}

impl fmt::Display for CudaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        match (self.name(), self.description()) {
            (Some(name), Some(description)) => write!(f, " {name}: {description}"),
            (Some(name), None) => write!(f, " {name}"),
            // No driver is loaded, or it does not know the number either.
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for CudaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "CudaCode({}, {name})", self.0),
            None => write!(f, "CudaCode({})", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_code_is_a_driver_error_and_prints() {
        for number in [917, 918, 919, 999, 123_456, -1, c_int::MIN] {
            let code = CudaCode(number);
            assert_eq!(code.kind(), ErrorKind::Driver);
            assert!(code.to_string().contains(&number.to_string()));
        }
    }

    #[test]
    fn what_breaks_a_context_is_a_fault_and_what_breaks_a_capture_is_not_capturing() {
        for number in [214, 700, 710, 719] {
            assert_eq!(CudaCode(number).kind(), ErrorKind::StreamFault, "{number}");
        }
        for number in [900, 901, 905, 906] {
            assert_eq!(CudaCode(number).kind(), ErrorKind::Driver, "{number}");
        }
    }
}
