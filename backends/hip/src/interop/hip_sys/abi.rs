//! Compile-time checks of hip-sys's constants against this crate's.

use hip_sys::hiprt;

use crate::code::HipCode;

const _: () = {
    use hiprt::hipError_t as Theirs;
    let codes = [
        (HipCode::SUCCESS, Theirs::hipSuccess),
        (HipCode::INVALID_VALUE, Theirs::hipErrorInvalidValue),
        (HipCode::OUT_OF_MEMORY, Theirs::hipErrorOutOfMemory),
        (HipCode::NO_DEVICE, Theirs::hipErrorNoDevice),
        (HipCode::INVALID_DEVICE, Theirs::hipErrorInvalidDevice),
        (HipCode::NOT_READY, Theirs::hipErrorNotReady),
        (HipCode::CONTEXT_IS_DESTROYED, Theirs::hipErrorContextIsDestroyed),
        (HipCode::NOT_SUPPORTED, Theirs::hipErrorNotSupported),
        (HipCode::CAPTURE_UNSUPPORTED, Theirs::hipErrorStreamCaptureUnsupported),
        (HipCode::CAPTURE_ISOLATION, Theirs::hipErrorStreamCaptureIsolation),
        (HipCode::CAPTURE_IMPLICIT, Theirs::hipErrorStreamCaptureImplicit),
        (HipCode::CAPTURED_EVENT, Theirs::hipErrorCapturedEvent),
    ];
    let mut index = 0;
    while index < codes.len() {
        assert!(codes[index].0.get() == codes[index].1 as i32);
        index += 1;
    }
    assert!(hiprt::hipStreamNonBlocking == crate::owned_stream::NON_BLOCKING);
    assert!(hiprt::hipEventBlockingSync == crate::pool::BLOCKING);
    assert!(hiprt::hipEventDisableTiming == crate::pool::DISABLE_TIMING);
    assert!(hiprt::hipEventReleaseToSystem == crate::driver::quirks::RELEASE_TO_SYSTEM);
    let relaxed = hiprt::hipStreamCaptureMode::hipStreamCaptureModeRelaxed;
    assert!(relaxed as i32 == crate::driver::thread_state::RELAXED);
    let active = hiprt::hipStreamCaptureStatus::hipStreamCaptureStatusActive;
    assert!(active as i32 == crate::driver::capture::ACTIVE);
};
