//! From and to [hip-sys](https://docs.rs/hip-sys): its types, and the runtime that it links.
//!
//! This module is there with the feature `hip-sys`, which is off by default: hip-sys needs ROCm's
//! headers and library where it is built. Its build script looks in `HIP_PATH`, in `ROCM_PATH` and
//! in `/opt/rocm`, and fails with "Unable to find include path containing
//! `hip/hip_runtime_api.h`" where none of them has it. On Debian, `apt-get install
//! libamdhip64-dev` and `HIP_PATH=/usr` are enough. Without the feature, nothing of ROCm is needed
//! to build.
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
//! gpu_stream_hip::interop::use_linked()?; // the same runtime for both
//! // SAFETY: the stream is not destroyed before the wrapper's last use.
//! portable(&unsafe { HipStream::from_hip_sys(theirs, None)? })?;
//! # Ok(()) }
//! ```
//!
//! **Codes.** hip-sys has them as a Rust enum of those that HIP 5.4 knew. A newer runtime that
//! returns another one into it is undefined behaviour, which is why this crate calls no function by
//! hip-sys's types, and why there is a way from [`hipError_t`](hiprt::hipError_t) to [`HipCode`]
//! and none back.

use gpu_stream_core::{Backend, ContractError, Device, Event, RawStream, Stream};
use hip_sys::hiprt;

use crate::{Hip, HipCode, HipError, HipEvent, HipStream, driver};

/// Uses the functions that hip-sys has linked the program with, instead of a library that is looked
/// for. To be called before everything else of this crate; a second time it changes nothing.
/// Starts the runtime.
///
/// Without this call the library is looked for when the program runs, as without the feature; if
/// the program is linked with one of the usual name, that is the one which is found.
///
/// # Errors
/// [`NotPermitted`](gpu_stream_core::ErrorKind::NotPermitted) if another call has loaded another
/// library before; [`NoDevice`](gpu_stream_core::ErrorKind::NoDevice),
/// [`DriverTooOld`](gpu_stream_core::ErrorKind::DriverTooOld).
///
/// Origin: `Entry::linked` beside `Entry::load` in [ash](https://docs.rs/ash).
pub fn use_linked() -> Result<(), HipError> {
    if driver::use_linked()? {
        return Ok(());
    }
    let (operation, reason) = (
        "interop::use_linked",
        "a call before this one has loaded the runtime from another library; call this first",
    );
    Err(ContractError::NotPermitted { operation, reason }.into())
}

impl HipStream {
    /// Wraps a stream of hip-sys, without owning it: [`Backend::stream_from_raw`]. Does not block.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Safety
    /// As there: the stream stays alive until the wrapper, all clones of it and every event recorded
    /// through one of them are gone. hip-sys and this crate use the same runtime, as after
    /// [`use_linked`].
    #[doc(alias = "hipStream_t")]
    pub unsafe fn from_hip_sys(
        stream: hiprt::hipStream_t,
        device: Option<Device>,
    ) -> Result<Self, HipError> {
        // SAFETY: the caller promises the same.
        unsafe { Hip::stream_from_raw(RawStream::from_ptr(stream.cast()), device) }
    }

    /// The handle by hip-sys's type. It is good as long as the stream lives. Does not block.
    #[doc(alias = "hipStream_t")]
    pub fn to_hip_sys(&self) -> hiprt::hipStream_t {
        self.raw().as_ptr().cast()
    }
}

impl HipEvent {
    /// The handle by hip-sys's type. It is good as long as the event lives; if it is recorded by
    /// others, they have to keep that stream alive as long as the event is used. Does not block.
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
