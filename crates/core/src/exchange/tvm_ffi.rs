//! The stream of tvm-ffi's environment: [`EnvStream`].
//!
//! [tvm-ffi](https://tvm.apache.org/ffi/) is the C interface of compiled kernels: TVM, FlashInfer, cuTe DSL and others
//! export functions by it. The caller, as `tvm_ffi.use_torch_stream`, sets a stream for each device and thread, and
//! the function asks for it.
//!
//! The facade finds the function in the library that the process has loaded, by its feature `tvm-ffi`. A program that
//! links tvm-ffi passes its own:
//!
//! ```
//! # use core::ffi::c_void;
//! use gpu_stream_core::exchange::tvm_ffi::EnvStream;
//! # unsafe extern "C" fn TVMFFIEnvGetStream(_: i32, _: i32) -> *mut c_void { core::ptr::null_mut() }
//!
//! // SAFETY: it is tvm-ffi's own function.
//! let environment = unsafe { EnvStream::from_fn(TVMFFIEnvGetStream) };
//! # let _ = environment;
//! ```

use core::ffi::c_void;
use core::fmt;

use super::current;
use crate::{Backend, ContractError, Device, RawStream};

/// tvm-ffi's function `TVMFFIEnvGetStream`: takes a device type and a device id of DLPack, and returns the handle.
#[doc(alias = "TVMFFIEnvGetStream")]
pub type GetStream = unsafe extern "C" fn(device_type: i32, device_id: i32) -> *mut c_void;

/// The stream of tvm-ffi's environment.
///
/// Each thread has its own environment, with a stream for each device. A device for which the thread has set no stream
/// has its default stream. tvm-ffi does not tell the two apart.
///
/// Origin:
/// [`c_env_api.h`](https://github.com/apache/tvm-ffi/blob/main/include/tvm/ffi/extra/c_env_api.h).
#[doc(alias("TVMFFIEnvGetStream", "TVMFFIEnvSetStream", "use_torch_stream", "use_raw_stream"))]
#[derive(Clone, Copy)]
pub struct EnvStream {
    get_stream: GetStream,
}

impl EnvStream {
    /// Takes the function.
    ///
    /// # Safety
    /// It is `TVMFFIEnvGetStream` of tvm-ffi, or does what its header says. It stays loaded as long as this value and
    /// its copies are used. Any thread may call it at any time.
    pub const unsafe fn from_fn(get_stream: GetStream) -> Self {
        EnvStream { get_stream }
    }

    /// Wraps the stream that the calling thread's environment has for `device`.
    ///
    /// Asks tvm-ffi, and then the driver as [`Backend::stream_from_raw`] does. Does not block. tvm-ffi answers no
    /// failure, and does not know which devices exist: the driver finds that.
    ///
    /// # Errors
    /// - [`BackendMismatch`](crate::ErrorKind::BackendMismatch) for another vendor's device.
    /// - [`Unsupported`](crate::ErrorKind::Unsupported) for a backend without streams in DLPack, which the host is.
    /// - [`InvalidHandle`](crate::ErrorKind::InvalidHandle) if the answer can be no stream, or is the thread's own (2).
    ///   For the latter see [`handle`](Self::handle).
    /// - Otherwise those of [`Backend::stream_from_raw`].
    ///
    /// # Safety
    /// - What the environment has is a stream of `device`, in this process.
    /// - It stays alive until the wrapper, all its clones and every event recorded through one of them are dropped.
    ///   tvm-ffi keeps nothing alive. The code that set the stream does, which for a function that tvm-ffi calls is its
    ///   caller, until the function returns.
    ///
    /// Origin: `TVMFFIEnvGetStream`.
    pub unsafe fn current_stream<B>(self, device: Device) -> Result<B::Stream, B::Error>
    where
        B: Backend<RawStream = RawStream<B>>,
    {
        let operation = "EnvStream::current_stream";
        current::check_backend(device, B::KIND, operation)?;
        let bits = self.ask(device, operation)?;
        // SAFETY: the environment has a stream of `device`, which outlives the wrapper (caller contract).
        unsafe { B::stream_from_raw(RawStream::from_bits(bits), Some(device)) }
    }

    /// Returns the handle that the calling thread's environment has for `device`, without wrapping it. Does not block.
    ///
    /// 0 and 1 are the default stream, and 2 is the thread's own ([`HandleKind`](crate::HandleKind)). For the latter
    /// use [`Backend::per_thread_stream`].
    ///
    /// # Errors
    /// As [`current_stream`](Self::current_stream), as far as no driver is asked.
    pub fn handle(self, device: Device) -> Result<usize, ContractError> {
        self.ask(device, "EnvStream::handle")
    }

    /// Asks tvm-ffi for the handle.
    fn ask(self, device: Device, operation: &'static str) -> Result<usize, ContractError> {
        let (device_type, device_id) = current::numbers(device, operation)?;
        // SAFETY: the function is loaded and takes any two numbers on any thread (contract of `from_fn`).
        let stream = unsafe { (self.get_stream)(device_type, device_id) };
        current::handle(stream, device, operation)
    }
}

impl fmt::Debug for EnvStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvStream").finish_non_exhaustive()
    }
}
