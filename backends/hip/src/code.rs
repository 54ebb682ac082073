//! The runtime's result codes: [`HipCode`].

use std::ffi::{c_char, c_int};
use std::fmt;

use gpu_stream_core::ErrorKind;
use gpu_stream_driver_common::texts::{TextsInUse, debug_code, display_code, driver_text};

/// A `hipError_t`, as the integer that it is.
///
/// It is no enum: a newer runtime returns numbers that no header has today, and they are as valid as the others. The
/// text of a code is the runtime's own.
///
/// Origin:
/// [`hipError_t`](https://rocm.docs.amd.com/projects/HIP/en/latest/doxygen/html/group___global_defs.html).
#[doc(alias("hipError_t"))]
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HipCode(c_int);

impl HipCode {
    /// `hipSuccess`.
    pub const SUCCESS: Self = HipCode(0);
    /// `hipErrorInvalidValue`.
    pub const INVALID_VALUE: Self = HipCode(1);
    /// `hipErrorOutOfMemory`.
    pub const OUT_OF_MEMORY: Self = HipCode(2);
    /// `hipErrorNoDevice`: the runtime has no device, from HIP 6 on.
    pub const NO_DEVICE: Self = HipCode(100);
    /// `hipErrorInvalidDevice`: there is no such device. HIP 5 returns it instead of [`NO_DEVICE`](Self::NO_DEVICE).
    pub const INVALID_DEVICE: Self = HipCode(101);
    /// `hipErrorInvalidContext`. `hipIpcOpenEventHandle` also returns it for a handle of this process.
    pub const INVALID_CONTEXT: Self = HipCode(201);
    /// `hipErrorInvalidHandle`. `hipEventElapsedTime` also returns it for an event that was not recorded.
    pub const INVALID_HANDLE: Self = HipCode(400);
    /// `hipErrorNotReady`: work is pending. This is no error.
    pub const NOT_READY: Self = HipCode(600);
    /// `hipErrorContextIsDestroyed`: the handle is of a stream that is not alive.
    pub const CONTEXT_IS_DESTROYED: Self = HipCode(709);
    /// `hipErrorNotSupported`.
    pub const NOT_SUPPORTED: Self = HipCode(801);
    /// `hipErrorStreamCaptureUnsupported`: the call is not allowed while a stream is captured.
    pub const CAPTURE_UNSUPPORTED: Self = HipCode(900);
    /// `hipErrorStreamCaptureIsolation`: a wait between captured and uncaptured work.
    pub const CAPTURE_ISOLATION: Self = HipCode(905);
    /// `hipErrorStreamCaptureImplicit`: the default stream was used while another stream is captured that it would
    /// have to synchronize with.
    pub const CAPTURE_IMPLICIT: Self = HipCode(906);
    /// `hipErrorCapturedEvent`: the event's last record was made in a capture.
    pub const CAPTURED_EVENT: Self = HipCode(907);

    /// Creates the code with this number.
    pub const fn new(number: i32) -> Self {
        HipCode(number)
    }

    /// Returns the number.
    pub const fn get(self) -> i32 {
        self.0
    }

    /// Returns the kind of failure.
    ///
    /// The codes of a broken capture (900 to 906 and 908) are [`ErrorKind::Driver`]. [`ErrorKind::Capturing`]
    /// promises that the capture goes on, and after these codes it does not.
    pub const fn kind(self) -> ErrorKind {
        match self.0 {
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

    /// Returns the name and the remedy of an error of the runtime's start, when its own texts are not available.
    pub(crate) const fn on_start(self) -> (&'static str, &'static str) {
        match self.0 {
            2 => (" hipErrorOutOfMemory", "free memory, or raise the limits of this process"),
            3 => (
                " hipErrorNotInitialized",
                "see whether this user may open /dev/kfd and /dev/dri; the next call tries again",
            ),
            35 => (" hipErrorInsufficientDriver", "update the kernel's module amdgpu"),
            801 => (" hipErrorNotSupported", "use AMD's runtime"),
            999 => (" hipErrorUnknown", "see whether the module amdgpu is loaded"),
            _ => ("", "see what rocminfo says"),
        }
    }

    /// Returns the remedy, as the end of a sentence. `None` if the caller has none.
    pub(crate) const fn advice(self) -> Option<&'static str> {
        Some(match self.0 {
            2 => "drop streams and events that are not needed, or free memory of the device",
            34 => "this library is a stub without a driver; name another in GPU_STREAM_HIP_LIBRARY",
            101 => "`Backend::devices` lists the devices",
            201 => {
                "the device was reset, or belongs to another process; create new streams and events"
            }
            214 | 700 | 702 | 710 | 714..=719 => {
                "device work has failed, and the device is broken for this process; start another"
            }
            400 => "pass a live stream or event, and an event of the stream's device",
            709 => "the stream was destroyed, or its device was reset; pass a live one",
            800 => "call it outside of host functions and callbacks",
            801 => "this runtime does not support it; update ROCm",
            900 => "a stream is being captured; call it after the capture",
            901 => "the capture is broken; end it, and begin another",
            902 => "a capture cannot wait for another one; capture both streams into one graph",
            903 => "the stream belongs to a capture that another stream began; end it there",
            904 => "let the stream that began the capture wait for each stream that joined it",
            905 => "a capture has no order with work outside of it; wait before it begins",
            906 => {
                "the default stream cannot be used beside this capture; use a non-blocking stream"
            }
            907 => "the event was recorded in a capture; record it outside first",
            908 => "another thread began the capture; end it there, or begin it relaxed",
            _ => return None,
        })
    }

    /// Returns the runtime's name of the code, for example `hipErrorInvalidHandle`. `None` if the runtime does not
    /// know the code, or is not loaded.
    #[doc(alias = "hipGetErrorName")]
    pub fn name(self) -> Option<&'static str> {
        let name = self.text(TEXTS.get()?.name)?;
        // The name of each number without one, in HIP itself and in HIP on CUDA.
        let unknown = matches!(name, "hipErrorUnknown" | "cudaErrorUnknown");
        (!unknown || self.0 == 999).then_some(name)
    }

    /// Returns the runtime's description of the code. `None` if it has no [`name`](Self::name).
    #[doc(alias = "hipGetErrorString")]
    pub fn description(self) -> Option<&'static str> {
        self.name()?;
        self.text(TEXTS.get()?.description)
    }

    fn text(self, get: GetText) -> Option<&'static str> {
        // SAFETY: the function takes any number. Its text is null, or a C string of the library, which is never closed.
        unsafe { driver_text(get(self)) }
    }
}

pub(crate) type GetText = unsafe extern "C" fn(HipCode) -> *const c_char;

/// The functions for texts. None before the runtime's start, and when it must not be called any more.
pub(crate) static TEXTS: TextsInUse<GetText> = TextsInUse::none();

impl fmt::Display for HipCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display_code(f, self.0, self.name(), self.description())
    }
}

impl fmt::Debug for HipCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_code(f, "HipCode", self.0, self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_code_is_a_driver_error_and_prints_its_number() {
        for number in [917, 918, 999, 1_053, 123_456, -1, c_int::MIN] {
            let code = HipCode(number);
            assert_eq!(code.kind(), ErrorKind::Driver);
            assert!(code.to_string().contains(&number.to_string()));
        }
    }

    #[test]
    fn code_that_breaks_a_device_is_a_fault_and_one_that_breaks_a_capture_is_not_capturing() {
        for number in [214, 700, 710, 719] {
            assert_eq!(HipCode(number).kind(), ErrorKind::StreamFault, "{number}");
        }
        for number in [900, 901, 905, 906] {
            assert_eq!(HipCode(number).kind(), ErrorKind::Driver, "{number}");
        }
    }
}
