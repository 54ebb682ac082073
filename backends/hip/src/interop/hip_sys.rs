//! Conversions from and to hip-sys's types.

mod abi;

use gpu_stream_core::{Backend, Device, Event, RawStream, Stream};
use hip_sys::hiprt;

use crate::{Hip, HipCode, HipError, HipEvent, HipStream};

impl HipStream {
    /// Wraps a stream of hip-sys, without owning it: [`Backend::stream_from_raw`]. Does not block.
    ///
    /// # Errors
    /// Errors as [`Backend::stream_from_raw`].
    ///
    /// # Safety
    /// - The stream stays alive until the wrapper, all of its clones, and all events recorded through them are
    ///   dropped, as [`Backend::stream_from_raw`] requires.
    /// - `GPU_STREAM_HIP_LIBRARY` names no other runtime than the one that hip-sys links.
    #[doc(alias = "hipStream_t")]
    pub unsafe fn from_hip_sys(
        stream: hiprt::hipStream_t,
        device: Option<Device>,
    ) -> Result<Self, HipError> {
        // SAFETY: the stream outlives the wrapper, and belongs to this runtime (caller contract).
        unsafe { Hip::stream_from_raw(RawStream::from_ptr(stream.cast()), device) }
    }

    /// Returns the handle as hip-sys's type. It is valid as long as the stream lives. Does not block.
    #[doc(alias = "hipStream_t")]
    pub fn to_hip_sys(&self) -> hiprt::hipStream_t {
        self.raw().as_ptr().cast()
    }
}

impl HipEvent {
    /// Returns the handle as hip-sys's type. It is valid as long as the event lives. Does not block.
    ///
    /// Another library that records the event has to keep its stream alive as long as the event is used.
    #[doc(alias = "hipEvent_t")]
    pub fn to_hip_sys(&self) -> hiprt::hipEvent_t {
        self.raw().as_ptr().cast()
    }
}

impl From<hiprt::hipError_t> for HipCode {
    fn from(code: hiprt::hipError_t) -> Self {
        HipCode::new(code as i32)
    }
}
