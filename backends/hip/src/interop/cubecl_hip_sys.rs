//! Conversions from and to cubecl-hip-sys's types, and compile-time checks of its constants.

use cubecl_hip_sys as theirs;
use gpu_stream_core::{Backend, Device, Event, RawEvent, RawStream, Stream};

use crate::{Hip, HipCode, HipError, HipEvent, HipStream};

impl HipStream {
    /// Wraps a stream of cubecl-hip-sys, without owning it: [`Backend::stream_from_raw`]. Does not block.
    ///
    /// cubecl-hip-sys loads the runtime at its first call. A program that has made one has loaded the library that
    /// this crate then finds, so both use the same runtime.
    ///
    /// ```no_run
    /// use gpu_stream_core::Stream;
    /// use gpu_stream_hip::HipStream;
    ///
    /// # fn run(theirs: cubecl_hip_sys::hipStream_t) -> Result<(), gpu_stream_hip::HipError> {
    /// // SAFETY: the stream is not destroyed before the wrapper's last use.
    /// let stream = unsafe { HipStream::from_cubecl_hip_sys(theirs, None)? };
    /// stream.synchronize()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Errors as [`Backend::stream_from_raw`].
    ///
    /// # Safety
    /// - The stream stays alive until the wrapper, all of its clones, and all events recorded through them are
    ///   dropped, as [`Backend::stream_from_raw`] requires.
    /// - cubecl-hip-sys has loaded the runtime that this crate uses.
    #[doc(alias = "hipStream_t")]
    pub unsafe fn from_cubecl_hip_sys(
        stream: theirs::hipStream_t,
        device: Option<Device>,
    ) -> Result<Self, HipError> {
        // SAFETY: the stream outlives the wrapper, and belongs to this runtime (caller contract).
        unsafe { Hip::stream_from_raw(RawStream::from_ptr(stream.cast()), device) }
    }

    /// Returns the handle as cubecl-hip-sys's type. It is valid as long as the stream lives. Does not block.
    #[doc(alias = "hipStream_t")]
    pub fn to_cubecl_hip_sys(&self) -> theirs::hipStream_t {
        self.raw().as_ptr().cast()
    }
}

impl HipEvent {
    /// Wraps an event of cubecl-hip-sys, without owning it: [`Backend::event_from_raw`]. Does not block.
    ///
    /// # Errors
    /// Errors as [`Backend::event_from_raw`].
    ///
    /// # Safety
    /// - The event stays alive until the wrapper is dropped, as [`Backend::event_from_raw`] requires.
    /// - cubecl-hip-sys has loaded the runtime that this crate uses.
    #[doc(alias = "hipEvent_t")]
    pub unsafe fn from_cubecl_hip_sys(
        event: theirs::hipEvent_t,
        device: Option<Device>,
    ) -> Result<Self, HipError> {
        // SAFETY: the event outlives the wrapper, and belongs to this runtime (caller contract).
        unsafe { Hip::event_from_raw(RawEvent::from_ptr(event.cast()), device) }
    }

    /// Returns the handle as cubecl-hip-sys's type. It is valid as long as the event lives. Does not block.
    ///
    /// Another library that records the event has to keep its stream alive as long as the event is used.
    #[doc(alias = "hipEvent_t")]
    pub fn to_cubecl_hip_sys(&self) -> theirs::hipEvent_t {
        self.raw().as_ptr().cast()
    }
}

const _: () = {
    let codes = [
        (HipCode::SUCCESS, theirs::HIP_SUCCESS),
        (HipCode::INVALID_VALUE, theirs::hipError_t_hipErrorInvalidValue),
        (HipCode::NOT_READY, theirs::hipError_t_hipErrorNotReady),
        (HipCode::NOT_SUPPORTED, theirs::hipError_t_hipErrorNotSupported),
        (HipCode::CAPTURED_EVENT, theirs::hipError_t_hipErrorCapturedEvent),
    ];
    let mut index = 0;
    while index < codes.len() {
        assert!(codes[index].0.get() == codes[index].1 as i32);
        index += 1;
    }
    assert!(theirs::hipStreamNonBlocking == crate::owned_stream::NON_BLOCKING);
    assert!(theirs::hipEventDisableTiming == crate::pool::DISABLE_TIMING);
};
