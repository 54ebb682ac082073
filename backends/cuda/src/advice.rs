//! Advice for the driver's result codes. The driver has no texts before it is started.

use crate::CudaCode;

/// Returns the name of a code that a failed start can have, and the remedy.
pub(crate) fn on_start(code: CudaCode) -> (&'static str, &'static str) {
    match code.get() {
        2 => (" CUDA_ERROR_OUT_OF_MEMORY", "free memory, or raise the limits of this process"),
        3 => (" CUDA_ERROR_NOT_INITIALIZED", "the driver is not ready; the next call tries again"),
        46 => (" CUDA_ERROR_DEVICE_UNAVAILABLE", "another process may hold the device exclusively"),
        101 => (" CUDA_ERROR_INVALID_DEVICE", "correct CUDA_VISIBLE_DEVICES"),
        304 => (" CUDA_ERROR_OPERATING_SYSTEM", "see whether this user may open /dev/nvidia*"),
        802 => (" CUDA_ERROR_SYSTEM_NOT_READY", "wait for, or start, NVIDIA's fabric manager"),
        803 => (
            " CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
            "the library is not of the version of the kernel's module; restart after an update, or use the other file",
        ),
        804 => (
            " CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE",
            "take the compat library out of the loader's path",
        ),
        999 => (" CUDA_ERROR_UNKNOWN", "see whether the modules nvidia and nvidia_uvm are loaded"),
        _ => ("", "see what nvidia-smi says"),
    }
}

/// Returns the meaning of a code and the remedy, as the end of a sentence. Empty for a code that no caller can cause.
///
/// For the codes of captures it tells whether the capture continues after the call. The calls of this crate
/// do not invalidate a capture; those of another library do.
pub(crate) fn advice(code: CudaCode) -> &'static str {
    match code.get() {
        1 => "; an event may be of a capture that is over: record it outside of a capture first",
        2 => "; free device memory, or drop streams and events that are not needed",
        3 | 4 => "; the driver is not started, or the process is ending",
        34 => {
            "; this library is the toolkit's stub for linking: name NVIDIA's driver in GPU_STREAM_CUDA_LIBRARY"
        }
        46 => "; another process may hold the device exclusively",
        100 | 101 => "; see what CUDA_VISIBLE_DEVICES hides",
        201 | 709 => {
            "; the context was reset or destroyed by another library: drop what was made before, and make new streams and \
             events"
        }
        304 => "; see whether this user may open /dev/nvidia*",
        400 => {
            "; the handle is no live object, or the two are of different contexts: make events with `Stream::new_event` of \
             the stream that records them"
        }
        801 => "; this driver or device lacks the function",
        214 | 220 | 226 | 700 | 702 | 710 | 714..=719 | 721 | 911 => {
            "; work failed and took its context with it: end the process, or reset the device and make all anew"
        }
        800 => "; the call is not allowed here: inside a host function, for instance",
        900 => {
            "; the stream or another one is being captured, and this call broke the capture: end it, and capture again \
             without this call"
        }
        901 => {
            "; an earlier call broke the capture that the stream is in: end it (its end answers 901, too), and capture again"
        }
        902 => {
            "; the wait would join two captures, and broke both: end them, and capture both streams into one graph"
        }
        903 => "; the capture began on another stream, and is broken: end it where it began",
        904 => {
            "; a stream that was drawn into the capture was not joined back, and the capture is over: let the origin wait \
             for it before the end"
        }
        905 => {
            "; a graph holds no order with work outside of its capture, and the capture is broken: end it, wait before it \
             begins, and capture again"
        }
        906 => {
            "; the default stream synchronises with a stream that is being captured, and the capture is broken: end it, and \
             use streams that are not blocking"
        }
        907 => {
            "; the event was last recorded in a capture, which goes on: record it outside of a capture first"
        }
        908 => {
            "; the capture goes on: end it on the thread that began it, or begin it in the relaxed mode"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_that_a_caller_can_cause_has_advice_and_names_the_captures_state() {
        for number in [1, 2, 34, 201, 400, 700, 709, 719, 800, 801].into_iter().chain(900..=908) {
            let text = advice(CudaCode::new(number));
            assert!(text.starts_with("; "), "{number}: {text}");
        }
        for number in [900, 901, 902, 903, 905, 906] {
            let text = advice(CudaCode::new(number));
            assert!(text.contains("broke") || text.contains("broken"), "{number}: {text}");
        }
        for number in [907, 908] {
            assert!(advice(CudaCode::new(number)).contains("goes on"), "{number}");
        }
        assert_eq!(advice(CudaCode::new(123_456)), "");
    }
}
