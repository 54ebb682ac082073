//! The functions of the driver that the handler calls: [`Driver`].
//!
//! gpu-stream has streams and events, and no memory. A handler that launches kernels has them here, or uses cudarc,
//! cuda-core and others.

use std::ffi::{c_int, c_uchar, c_void};
use std::mem::ManuallyDrop;
use std::sync::OnceLock;

use gpu_stream::prelude::*;
use gpu_stream::{Cuda, CudaStream};
use libloading::Library;

use crate::error::HandlerError;

type Ptr = *mut c_void;

/// The driver that gpu-stream has loaded.
#[derive(Debug)]
pub struct Driver {
    stream_context: unsafe extern "C" fn(Ptr, *mut Ptr) -> c_int,
    context_push: unsafe extern "C" fn(Ptr) -> c_int,
    context_pop: unsafe extern "C" fn(*mut Ptr) -> c_int,
    copy: unsafe extern "C" fn(u64, u64, usize, Ptr) -> c_int,
    set: unsafe extern "C" fn(u64, c_uchar, usize, Ptr) -> c_int,
}

impl Driver {
    /// Finds the functions, once for the process. A driver is never unloaded.
    ///
    /// # Errors
    /// The driver cannot be used, or lacks a function.
    pub fn load() -> Result<&'static Self, HandlerError> {
        static DRIVER: OnceLock<Driver> = OnceLock::new();
        if let Some(driver) = DRIVER.get() {
            return Ok(driver);
        }
        let file = Cuda::probe()?.library.unwrap_or_default();
        // SAFETY: the process has loaded this library already, so its initializers have run.
        let library = ManuallyDrop::new(unsafe { Library::new(&file) }.map_err(|error| {
            HandlerError::DriverFunction { name: "cuInit", reason: format!("{file}: {error}") }
        })?);
        // SAFETY: these are the functions' types in `cuda.h`.
        let driver = unsafe {
            Driver {
                stream_context: find(&library, "cuStreamGetCtx")?,
                context_push: find(&library, "cuCtxPushCurrent_v2")?,
                context_pop: find(&library, "cuCtxPopCurrent_v2")?,
                copy: find(&library, "cuMemcpyDtoDAsync_v2")?,
                set: find(&library, "cuMemsetD8Async")?,
            }
        };
        Ok(DRIVER.get_or_init(|| driver))
    }

    /// Makes the stream's context current until the result is dropped.
    ///
    /// # Errors
    /// The driver's code.
    pub fn enter(&'static self, stream: &CudaStream) -> Result<Current, HandlerError> {
        let mut context = std::ptr::null_mut();
        // SAFETY: the stream is live, since its wrapper is, and `&mut context` is a valid out-pointer.
        let code = unsafe { (self.stream_context)(stream.raw().as_ptr(), &mut context) };
        check("cuStreamGetCtx", code)?;
        // SAFETY: the context is live, as long as the stream.
        check("cuCtxPushCurrent", unsafe { (self.context_push)(context) })?;
        Ok(Current(self))
    }

    /// Submits a copy within the memory of the stream's device. The stream's context is current.
    ///
    /// # Errors
    /// The driver's code.
    ///
    /// # Safety
    /// - Both addresses are of `bytes` bytes there, which stay allocated until the work is done.
    pub unsafe fn copy(
        &self,
        stream: &CudaStream,
        [to, from]: [u64; 2],
        bytes: usize,
    ) -> Result<(), HandlerError> {
        // SAFETY: the stream is live, and the memory is as required (caller contract).
        check("cuMemcpyDtoDAsync", unsafe { (self.copy)(to, from, bytes, stream.raw().as_ptr()) })
    }

    /// Submits a store of zeros in the memory of the stream's device. The stream's context is current.
    ///
    /// # Errors
    /// The driver's code.
    ///
    /// # Safety
    /// - The address is of `bytes` bytes there, which stay allocated until the work is done.
    pub unsafe fn clear(
        &self,
        stream: &CudaStream,
        to: u64,
        bytes: usize,
    ) -> Result<(), HandlerError> {
        // SAFETY: the stream is live, and the memory is as required (caller contract).
        check("cuMemsetD8Async", unsafe { (self.set)(to, 0, bytes, stream.raw().as_ptr()) })
    }
}

/// A context that is current until this is dropped. The drop makes the previous one current again.
#[must_use = "the drop makes the previous context current again"]
#[derive(Debug)]
pub struct Current(&'static Driver);

impl Drop for Current {
    fn drop(&mut self) {
        // SAFETY: the out-pointer is valid, and `enter` has pushed a context.
        unsafe { (self.0.context_pop)(&mut std::ptr::null_mut()) };
    }
}

/// Returns a function of the driver.
///
/// # Safety
/// - `F` is the function's type.
unsafe fn find<F: Copy>(library: &Library, name: &'static str) -> Result<F, HandlerError> {
    // SAFETY: `F` is the function's type (caller contract).
    match unsafe { library.get::<F>(name) } {
        Ok(function) => Ok(*function),
        Err(error) => Err(HandlerError::DriverFunction { name, reason: error.to_string() }),
    }
}

/// Converts a code of the driver.
fn check(call: &'static str, code: c_int) -> Result<(), HandlerError> {
    if code == 0 { Ok(()) } else { Err(HandlerError::Driver { call, code }) }
}
