//! Conversions from and to [hip-sys](https://docs.rs/hip-sys)'s types.
//!
//! This module needs the feature `hip-sys`, which is off by default, because building hip-sys needs ROCm's headers
//! and library. Its build script searches `HIP_PATH`, `ROCM_PATH` and `/opt/rocm`. Without them it fails with "Unable
//! to find include path containing `hip/hip_runtime_api.h`". On Debian, `apt-get install libamdhip64-dev` and
//! `HIP_PATH=/usr` are enough. Without the feature, building needs nothing of ROCm.
//!
//! ```no_run
//! use gpu_stream_core::{ErrorOf, Stream};
//! use gpu_stream_hip::HipStream;
//! use hip_sys::hiprt;
//!
//! fn portable<S: Stream>(stream: &S) -> Result<(), ErrorOf<S>> {
//!     stream.synchronize()
//! }
//!
//! # fn run(theirs: hiprt::hipStream_t) -> Result<(), gpu_stream_hip::HipError> {
//! // SAFETY: the stream is not destroyed before the wrapper's last use.
//! portable(&unsafe { HipStream::from_hip_sys(theirs, None)? })?;
//! # Ok(()) }
//! ```
//!
//! **One runtime.** The program has loaded the library that hip-sys links before the first call. So the search finds it,
//! under any file name, and this crate uses the same runtime.
//!
//! **Codes.** hip-sys declares them as a Rust enum of the codes of HIP 5.4. Any other code of a newer runtime is
//! undefined behavior there. So this crate calls no function by hip-sys's types, and converts
//! [`hipError_t`](hiprt::hipError_t) to [`HipCode`], but not back.

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
