//! Conversions from and to the types of other crates that declare HIP's functions.
//!
//! | crate | feature | building it needs |
//! |---|---|---|
//! | [cubecl-hip-sys](https://docs.rs/cubecl-hip-sys), which CubeCL and Burn use | `cubecl-hip-sys` | nothing |
//! | [hip-sys](https://docs.rs/hip-sys) | `hip-sys` | ROCm's headers and library |
//! | any other, also a C or C++ library | none: plain pointers | nothing |
//!
//! Only types are converted: a handle is the same pointer in each crate. No function of these crates is called here.
//!
//! **Plain pointers.** A `hipStream_t` and a `hipEvent_t` are pointers, so a conversion is one line each:
//!
//! ```no_run
//! use std::ffi::c_void;
//! use gpu_stream_core::{Backend, Event, RawEvent, RawStream, Stream};
//! use gpu_stream_hip::{Hip, HipError};
//!
//! # fn run(their_stream: *mut c_void, their_event: *mut c_void) -> Result<(), HipError> {
//! // SAFETY: the stream is not destroyed before the last use of the wrapper.
//! let stream = unsafe { Hip::stream_from_raw(RawStream::from_ptr(their_stream.cast()), None)? };
//! // SAFETY: the event is not destroyed before the last use of the wrapper.
//! let event = unsafe { Hip::event_from_raw(RawEvent::from_ptr(their_event.cast()), None)? };
//! stream.wait_event(&event)?;
//! let theirs_again: *mut c_void = stream.raw().as_ptr().cast();
//! # assert_eq!(theirs_again, their_stream);
//! # Ok(()) }
//! ```
//!
//! **hip-sys.** The feature `hip-sys` is off by default. Its build script searches `HIP_PATH`, `ROCM_PATH` and
//! `/opt/rocm`. Without ROCm it fails with "Unable to find include path containing `hip/hip_runtime_api.h`". On Debian,
//! `apt-get install libamdhip64-dev` and `HIP_PATH=/usr` are enough. The program has loaded the library that hip-sys links
//! before the first call. So the search finds it, under any file name, and this crate uses the same runtime. hip-sys
//! declares error codes as a Rust enum of the codes of HIP 5.4. Any other code of a newer runtime is undefined behavior
//! there, so its `hipError_t` converts to [`HipCode`](crate::HipCode), but not back.
//!
//! **cubecl-hip-sys.** Its build script runs `hipconfig`, if there is one, for the version of HIP. It has no types for a
//! version that it does not list, and does not compile then. Plain pointers always work. Its `hipError_t` is an integer,
//! for [`HipCode::new`](crate::HipCode::new).
//!
//! **An owner** that destroys the stream makes the wrapping safe: implement
//! [`StreamOwner`](gpu_stream_core::StreamOwner) for it, and call
//! [`Backend::stream_from_owner`](gpu_stream_core::Backend::stream_from_owner). The crates above have none.

#[cfg(feature = "cubecl-hip-sys")]
mod cubecl_hip_sys;
#[cfg(feature = "hip-sys")]
mod hip_sys;
