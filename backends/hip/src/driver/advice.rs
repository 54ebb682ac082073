//! What a start that failed means. The texts of a runtime are not asked before it has started.

use super::code::HipCode;

/// Returns the name of a code that a start can end with, and what to do about it.
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
