//! The error of the HIP backend: [`HipError`].

use std::fmt;

use gpu_stream_core::{ContractError, ErrorKind, RawStream};
use gpu_stream_driver_common::error::{DriverError, ResultCode, Vendor};

use crate::Hip;
use crate::code::HipCode;

/// The error of the HIP backend.
pub type HipError = DriverError<HipCode>;

impl ResultCode for HipCode {
    const VENDOR: Vendor = Vendor {
        vendor: "AMD's",
        driver: "HIP runtime",
        variable: "GPU_STREAM_HIP_LIBRARY",
        install: "install ROCm (Debian: apt-get install libamdhip64-5)",
        update: "update ROCm",
        no_device: "see whether rocminfo lists one, whether this user may open /dev/kfd and /dev/dri, and whether \
                    HIP_VISIBLE_DEVICES or ROCR_VISIBLE_DEVICES hides it",
        reset: "the device was reset by another library (hipDeviceReset), and the runtime does not know the stream any more",
        toolkit: "HIP",
    };

    fn number(self) -> i32 {
        self.get()
    }

    fn kind(self) -> ErrorKind {
        self.kind()
    }

    fn advice(self) -> &'static str {
        match self.get() {
            2 => "; drop streams and events that are not needed, or free memory of the device",
            34 => {
                "; this library is a stub without a driver; name another in GPU_STREAM_HIP_LIBRARY"
            }
            101 => "; `Backend::devices` lists the devices",
            201 => {
                "; the device was reset, or belongs to another process; create new streams and events"
            }
            214 | 700 | 702 | 710 | 714..=719 => {
                "; device work has failed, and the device is broken for this process; start another"
            }
            400 => "; pass a live stream or event, and an event of the stream's device",
            709 => "; the stream was destroyed, or its device was reset; pass a live one",
            800 => "; call it outside of host functions and callbacks",
            801 => "; this runtime does not support it; update ROCm",
            900 => "; a stream is being captured; call it after the capture",
            901 => "; the capture is broken; end it, and begin another",
            902 => "; a capture cannot wait for another one; capture both streams into one graph",
            903 => "; the stream belongs to a capture that another stream began; end it there",
            904 => "; let the stream that began the capture wait for each stream that joined it",
            905 => "; a capture has no order with work outside of it; wait before it begins",
            906 => {
                "; the default stream cannot be used beside this capture; use a non-blocking stream"
            }
            907 => "; the event was recorded in a capture; record it outside first",
            908 => "; another thread began the capture; end it there, or begin it relaxed",
            _ => "",
        }
    }

    fn on_start(self) -> (&'static str, &'static str) {
        match self.get() {
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

    /// Writes 70253211 as 7.2.53211. HIP on CUDA has CUDA's versions: 12090 is 12.9.
    fn write_version(number: i32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_on_cuda(number) {
            return write!(f, "of HIP on CUDA {}.{}", number / 1_000, number % 1_000 / 10);
        }
        let (major, minor) = (number / 10_000_000, number / 100_000 % 100);
        write!(f, "{major}.{minor}.{}", number % 100_000)
    }
}

/// Returns `true` if the version is CUDA's, which HIP's NVIDIA platform reports as its own.
pub(crate) const fn is_on_cuda(version: i32) -> bool {
    version < 1_000_000
}

/// Converts the error about an unknown handle, for a stream with an owner: the owner has not destroyed it, so the
/// device was reset.
pub(crate) fn of_owned_stream(error: HipError, stream: RawStream<Hip>) -> HipError {
    let takes_stream = |function: &str| {
        function.starts_with("hipStream")
            || matches!(function, "hipEventRecord" | "hipLaunchHostFunc")
    };
    let handle = stream.to_bits();
    match error {
        HipError::Driver { operation, function, code: HipCode::CONTEXT_IS_DESTROYED }
            if takes_stream(function) =>
        {
            HipError::ContextReset { operation, stream: Some(handle) }
        }
        HipError::Contract(ContractError::InvalidHandle { operation, bits, .. })
            if bits == handle =>
        {
            HipError::ContextReset { operation, stream: Some(handle) }
        }
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use gpu_stream_driver_common::error::display_version;

    use super::*;

    #[test]
    fn version_is_printed_in_readable_form() {
        let display = |version| display_version::<HipCode>(version).to_string();
        assert_eq!(display(50_221_153), "5.2.21153");
        assert_eq!(display(70_253_211), "7.2.53211");
        assert_eq!(display(12_090), "of HIP on CUDA 12.9");
        assert_eq!(display(0), "unknown");
        let (version, oldest) = (40_421_401, 50_200_000);
        let error = HipError::DriverTooOld { library: "l".into(), version, oldest };
        assert!(error.to_string().contains("4.4.21401"), "{error}");
    }

    #[test]
    fn code_that_a_caller_can_cause_has_advice() {
        let error = |number| {
            let (operation, function, code) = ("a call", "a function", HipCode::new(number));
            HipError::Driver { operation, function, code }.to_string()
        };
        for number in [2, 101, 201, 400, 700, 709, 719, 800, 801].into_iter().chain(900..=908) {
            assert!(error(number).contains("; "), "{number}");
        }
        assert_eq!(error(999), "a call: a function answered 999");
    }

    #[test]
    fn error_is_one_word_larger_than_the_contracts() {
        assert!(size_of::<HipError>() <= size_of::<ContractError>() + size_of::<usize>());
    }
}
