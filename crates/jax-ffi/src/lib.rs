#![doc = include_str!("../README.md")]

pub mod branches;
pub mod copy;
pub mod driver;
pub mod error;
pub mod frame;
pub mod xla;

use std::any::Any;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use gpu_stream::prelude::*;
use gpu_stream::{Cuda, RawStream};

use crate::copy::Copy;
use crate::error::HandlerError;
use crate::frame::Frame;
use crate::xla::{CallFrame, XlaError};

/// The number of calls that have submitted work.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// Copies the argument into the result, on two streams of its own that fork from XLA's execution stream and join it.
///
/// `jax.ffi.register_ffi_target` takes this function. Does not block, except as [`Copy::submit`] and while the first call on
/// a device creates the streams. Returns null, or an error that XLA destroys and raises in Python. Never panics.
///
/// # Safety
/// - `frame` is null, or a call frame as XLA's `c_api.h` describes it, and valid until the call returns.
/// - The arrays stay allocated until the work that the call has submitted is done, in the order of the execution stream.
///
/// Origin: `XLA_FFI_Handler`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpu_stream_jax_copy(frame: *mut CallFrame) -> *mut XlaError {
    // SAFETY: the frame is as required (caller contract).
    unsafe { handle(frame, 0) }
}

/// Does what [`gpu_stream_jax_copy`] does, and lets XLA capture the call into a graph (a *command buffer*).
///
/// XLA then launches the graph without a call. The handler may allow it, because each call submits the same work.
///
/// # Safety
/// As [`gpu_stream_jax_copy`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpu_stream_jax_copy_capturable(frame: *mut CallFrame) -> *mut XlaError {
    // SAFETY: the frame is as required (caller contract).
    unsafe { handle(frame, xla::COMMAND_BUFFER_COMPATIBLE) }
}

/// Calls [`call`], and converts its outcome for XLA.
///
/// # Safety
/// As [`gpu_stream_jax_copy`].
unsafe fn handle(frame: *const CallFrame, traits: u32) -> *mut XlaError {
    // SAFETY: the frame is as required (caller contract).
    let outcome = catch_unwind(AssertUnwindSafe(|| unsafe { call(frame, traits) }));
    let outcome =
        outcome.unwrap_or_else(|panic| Err(HandlerError::Panic { text: text_of(&*panic) }));
    match outcome {
        Ok(()) => std::ptr::null_mut(),
        // SAFETY: the frame is as required (caller contract).
        Err(error) => unsafe { error.into_xla(frame) },
    }
}

/// Returns how many calls have submitted work. A graph that XLA launches makes no call.
#[unsafe(no_mangle)]
pub extern "C" fn gpu_stream_jax_calls() -> u64 {
    CALLS.load(Ordering::Relaxed)
}

/// Blocks until all streams of the handler have done their work. Returns 0, or -1 after it has printed the error.
///
/// Only a call that leaves the join out needs it: otherwise the execution stream waits for the handler's streams.
#[unsafe(no_mangle)]
pub extern "C" fn gpu_stream_jax_synchronize() -> c_int {
    match catch_unwind(branches::synchronize) {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            error::say(format_args!("gpu_stream_jax_synchronize: {error}"));
            -1
        }
        Err(panic) => {
            let text = text_of(&*panic);
            error::say(format_args!("gpu_stream_jax_synchronize: a panic: {text}"));
            -1
        }
    }
}

/// Does what [`gpu_stream_jax_copy`] does, with these traits, and returns the error as a value of Rust.
///
/// # Errors
/// See [`HandlerError`].
///
/// # Safety
/// As [`gpu_stream_jax_copy`].
pub unsafe fn call(frame: *const CallFrame, traits: u32) -> Result<(), HandlerError> {
    // SAFETY: the frame is as required (caller contract).
    let Some(frame) = (unsafe { Frame::check(frame, traits) })? else { return Ok(()) };
    let copy = Copy::read(&frame)?;
    let stream = RawStream::from_ptr(frame.stream(copy.from.bytes)?);
    // SAFETY: XLA keeps its stream alive through the call, and the wrapper and its events end with the call. The device is
    // asked of the driver.
    let caller = unsafe { Cuda::stream_from_raw(stream, None) }?;
    // SAFETY: the arrays are on the device of the execution stream, and are freed in its order (caller contract).
    unsafe { copy.submit(&caller) }?;
    CALLS.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Returns the message of a panic.
fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}
