//! The runtime's result codes: [`HipCode`].

use std::ffi::c_char;

use gpu_stream_core::ErrorKind;
use gpu_stream_driver_common::texts::driver_text;

pub(crate) type GetText = unsafe extern "C" fn(HipCode) -> *const c_char;

gpu_stream_driver_common::result_code! {
    /// A `hipError_t`, as the integer that it is. The text of a code is the runtime's own.
    ///
    /// Origin:
    /// [`hipError_t`](https://rocm.docs.amd.com/projects/HIP/en/latest/doxygen/html/group___global_defs.html).
    #[doc(alias("hipError_t"))]
    HipCode, text: GetText, "hipGetErrorName", "hipGetErrorString"
}

/// Returns a text of the runtime. `None` for the name that each number without a name of its own has.
fn text(code: HipCode, get: GetText) -> Option<&'static str> {
    // SAFETY: the function takes any number. Its text is null, or a C string of the library, which is never closed.
    let text = unsafe { driver_text(get(code)) }?;
    // In HIP itself, and in HIP on CUDA.
    let is_unknown = matches!(text, "hipErrorUnknown" | "cudaErrorUnknown");
    (!is_unknown || code.get() == 999).then_some(text)
}

impl HipCode {
    /// `hipSuccess`.
    pub const SUCCESS: Self = HipCode::new(0);
    /// `hipErrorInvalidValue`.
    pub const INVALID_VALUE: Self = HipCode::new(1);
    /// `hipErrorOutOfMemory`.
    pub const OUT_OF_MEMORY: Self = HipCode::new(2);
    /// `hipErrorNoDevice`: the runtime has no device, from HIP 6 on.
    pub const NO_DEVICE: Self = HipCode::new(100);
    /// `hipErrorInvalidDevice`: there is no such device. HIP 5 returns it instead of [`NO_DEVICE`](Self::NO_DEVICE).
    pub const INVALID_DEVICE: Self = HipCode::new(101);
    /// `hipErrorInvalidContext`.
    pub const INVALID_CONTEXT: Self = HipCode::new(201);
    /// `hipErrorInvalidHandle`. `hipEventElapsedTime` also returns it for an event that was not recorded.
    pub const INVALID_HANDLE: Self = HipCode::new(400);
    /// `hipErrorNotReady`: work is pending. This is no error.
    pub const NOT_READY: Self = HipCode::new(600);
    /// `hipErrorContextIsDestroyed`: the handle is of a stream that is not alive.
    pub const CONTEXT_IS_DESTROYED: Self = HipCode::new(709);
    /// `hipErrorNotSupported`.
    pub const NOT_SUPPORTED: Self = HipCode::new(801);
    /// `hipErrorStreamCaptureUnsupported`: the call is not allowed while a stream is captured.
    pub const CAPTURE_UNSUPPORTED: Self = HipCode::new(900);
    /// `hipErrorStreamCaptureIsolation`: a wait between captured and uncaptured work.
    pub const CAPTURE_ISOLATION: Self = HipCode::new(905);
    /// `hipErrorStreamCaptureImplicit`: the default stream was used while another stream is captured that it would
    /// have to synchronize with.
    pub const CAPTURE_IMPLICIT: Self = HipCode::new(906);
    /// `hipErrorCapturedEvent`: the event's last record was made in a capture.
    pub const CAPTURED_EVENT: Self = HipCode::new(907);

    /// Returns the kind of failure.
    ///
    /// The codes of a broken capture (900 to 906 and 908) are [`ErrorKind::Driver`]. [`ErrorKind::Capturing`]
    /// promises that the capture goes on, and after these codes it does not.
    pub const fn kind(self) -> ErrorKind {
        match self.get() {
            2 => ErrorKind::OutOfMemory,
            34 => ErrorKind::LibraryNotFound,
            35 => ErrorKind::DriverTooOld,
            100 => ErrorKind::NoDevice,
            // A runtime without any device returns this at its start. Later there is a device, and the code is about
            // a wrong number.
            101 => ErrorKind::InvalidDevice,
            400 | 709 => ErrorKind::InvalidHandle,
            800 => ErrorKind::NotPermitted,
            801 => ErrorKind::Unsupported,
            907 => ErrorKind::InvalidEvent,
            // Faults that break a device for the process: memory errors, illegal addresses and instructions,
            // assertions, a launch that failed or timed out. AMD's runtime ends the process in most of these cases.
            // HIP on CUDA returns these codes.
            214 | 700 | 702 | 710 | 714..=719 => ErrorKind::StreamFault,
            _ => ErrorKind::Driver,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_code_is_a_driver_error_and_prints_its_number() {
        for number in [917, 918, 999, 1_053, 123_456, -1, i32::MIN] {
            let code = HipCode::new(number);
            assert_eq!(code.kind(), ErrorKind::Driver);
            assert!(code.to_string().contains(&number.to_string()));
        }
    }

    #[test]
    fn code_that_breaks_a_device_is_a_fault_and_one_that_breaks_a_capture_is_not_capturing() {
        for number in [214, 700, 710, 719] {
            assert_eq!(HipCode::new(number).kind(), ErrorKind::StreamFault, "{number}");
        }
        for number in [900, 901, 905, 906] {
            assert_eq!(HipCode::new(number).kind(), ErrorKind::Driver, "{number}");
        }
    }
}
