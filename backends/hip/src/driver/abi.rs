//! Compile-time checks of hip-sys's bindings against this crate's, and the conversion of its functions.
//!
//! hip-sys declares the code that a function returns as a Rust enum of the codes of HIP 5.4. Any other code of a
//! newer runtime would be undefined behavior. So its functions are never called by their own types: the pointers are
//! cast to this crate's, where a code is an integer.

use std::mem::{align_of, size_of, transmute_copy};

use hip_sys::hiprt;

use super::code::HipCode;
use super::symbols::IpcHandle;

/// Replaces a type by one that is inferred.
macro_rules! any {
    ($type:ty) => {
        _
    };
}
pub(super) use any;

/// A pointer to a C function, with the size and the alignment of its result and of each argument.
pub(super) trait Function: Copy {
    const LAYOUT: &'static [(usize, usize)];
}

const fn layout<T>() -> (usize, usize) {
    (size_of::<T>(), align_of::<T>())
}

macro_rules! functions {
    ($(($($argument:ident)*))*) => {$(
        impl<R, $($argument),*> Function for unsafe extern "C" fn($($argument),*) -> R {
            const LAYOUT: &'static [(usize, usize)] = &[layout::<R>(), $(layout::<$argument>()),*];
        }
    )*};
}

functions! { () (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) }

const fn is_same(ours: &[(usize, usize)], theirs: &[(usize, usize)]) -> bool {
    let mut index = 0;
    while index < ours.len() && index < theirs.len() {
        let (one, other) = (ours[index], theirs[index]);
        if one.0 != other.0 || one.1 != other.1 {
            return false;
        }
        index += 1;
    }
    ours.len() == theirs.len()
}

/// Converts a function pointer to this crate's types. Does not compile if the number, the size or the alignment of
/// the arguments differs.
pub(super) fn as_ours<Ours: Function, Theirs: Function>(theirs: Theirs) -> Ours {
    const {
        assert!(is_same(Ours::LAYOUT, Theirs::LAYOUT), "not what hip-sys says of this function");
    }
    // SAFETY:
    // - Both are pointers to C functions, with results and arguments of the same sizes.
    // - No floating-point number is among them, which would be passed in another way.
    // - The types behind the pointers are those of HIP's header, in both.
    unsafe { transmute_copy(&theirs) }
}

// The values of constants.
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
    assert!(hiprt::hipEventInterprocess == crate::pool::INTERPROCESS);
    assert!(hiprt::hipEventReleaseToSystem == super::quirks::RELEASE_TO_SYSTEM);
    let relaxed = hiprt::hipStreamCaptureMode::hipStreamCaptureModeRelaxed;
    assert!(relaxed as i32 == super::capture_mode::RELAXED);
    let active = hiprt::hipStreamCaptureStatus::hipStreamCaptureStatusActive;
    assert!(active as i32 == super::capture::ACTIVE);
    let handles = (layout::<hiprt::hipIpcEventHandle_t>(), layout::<IpcHandle>());
    assert!(handles.0.0 == handles.1.0 && handles.0.1 == handles.1.1);
};
