//! Advice about errors of the runtime's start. Its own texts are not available before it has started.

use super::code::HipCode;

/// Returns the name of an error code of the start, and the remedy.
pub(crate) fn on_start(code: HipCode) -> (&'static str, &'static str) {
    match code.get() {
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
