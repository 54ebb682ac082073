//! Creates streams and events in a context, and destroys events.

use std::ffi::c_uint;

use gpu_stream_core::{
    BackendKind, ContractError, PriorityRange, RawEvent, RawStream, StreamOptions,
};

use super::capture::CaptureModeGuard;
use super::check::{check, require};
use super::code::CudaCode;
use super::context::{Context, ContextGuard};
use super::symbols::{Ptr, Symbols};
use crate::{Cuda, CudaError};

/// `CU_STREAM_NON_BLOCKING`: the stream does not synchronize with the default stream.
pub(crate) const NON_BLOCKING: c_uint = 1;

/// Creates an event in the context. Runs no user code, so the caller may hold a bucket of the coalescer.
pub(crate) fn create_event(
    symbols: &'static Symbols,
    context: Context,
    flags: c_uint,
    operation: &'static str,
) -> Result<RawEvent<Cuda>, CudaError> {
    let _relaxed = CaptureModeGuard::enter(symbols, operation)?;
    let _current = ContextGuard::enter(symbols, context, operation)?;
    let mut event = std::ptr::null_mut();
    // SAFETY: `&mut event` is a valid out-pointer, the flags are valid, and the context is current.
    let code = unsafe { (symbols.event_create)(&mut event, flags) };
    check(code, operation, "cuEventCreate")?;
    Ok(RawEvent::from_ptr(event))
}

/// Destroys an event. Leaks it if the driver returns an error: no caller is left to report it to, and at the end of the
/// process the driver may be shut down.
///
/// # Safety
/// - The event was created by this crate, its context is alive, and this is its last use.
pub(crate) unsafe fn destroy_event(symbols: &'static Symbols, event: RawEvent<Cuda>) {
    // Without the guard the call can invalidate a capture.
    let _relaxed = CaptureModeGuard::enter(symbols, "destroying an event").ok();
    // SAFETY: the event is ours, and this is its last use (caller contract).
    let _ = unsafe { (symbols.event_destroy)(event.as_ptr()) };
}

/// Creates a stream in the context.
pub(crate) fn create_stream(
    symbols: &'static Symbols,
    context: Context,
    options: StreamOptions,
    operation: &'static str,
) -> Result<RawStream<Cuda>, CudaError> {
    let _relaxed = CaptureModeGuard::enter(symbols, operation)?;
    let _current = ContextGuard::enter(symbols, context, operation)?;
    let flags = if options.blocking { 0 } else { NON_BLOCKING };
    let mut stream = std::ptr::null_mut();
    // SAFETY: `&mut stream` is a valid out-pointer, the flags are valid, and the context is current.
    let code = unsafe { (symbols.stream_create)(&mut stream, flags, options.priority) };
    check(code, operation, "cuStreamCreateWithPriority")?;
    Ok(RawStream::from_ptr(stream))
}

/// Creates a stream in a green context.
///
/// # Errors
/// [`Unsupported`](gpu_stream_core::ErrorKind::Unsupported) for a blocking stream. The driver creates none there: with
/// flags 0 and a green context current, `cuStreamCreate` returns a non-blocking stream.
///
/// # Safety
/// - `green` is a live green context.
pub(crate) unsafe fn create_green_stream(
    symbols: &'static Symbols,
    green: Ptr,
    options: StreamOptions,
    operation: &'static str,
) -> Result<RawStream<Cuda>, CudaError> {
    if options.blocking {
        let reason = "no stream of a green context is blocking; ask for a non-blocking one, or create it in the device's \
                      primary context with `Backend::new_stream`";
        let backend = BackendKind::Cuda;
        return Err(ContractError::Unsupported { operation, backend, reason }.into());
    }
    let create = require(symbols.green_stream_create, operation)?;
    let _relaxed = CaptureModeGuard::enter(symbols, operation)?;
    let mut stream = std::ptr::null_mut();
    // SAFETY: `green` is live (caller contract), and `&mut stream` is a valid out-pointer.
    let code = unsafe { create(&mut stream, green, NON_BLOCKING, options.priority) };
    check(code, operation, symbols.green_stream_create.name)?;
    Ok(RawStream::from_ptr(stream))
}

/// Returns the priorities that streams of the context can have.
pub(crate) fn priorities(
    symbols: &'static Symbols,
    context: Context,
    operation: &'static str,
) -> Result<PriorityRange, CudaError> {
    let get = require(symbols.ctx_priorities, operation)?;
    let _relaxed = CaptureModeGuard::enter(symbols, operation)?;
    let _current = ContextGuard::enter(symbols, context, operation)?;
    let (mut least, mut greatest) = (0, 0);
    // SAFETY: both are valid out-pointers, and the context is current.
    let code = unsafe { get(&mut least, &mut greatest) };
    check(code, operation, "cuCtxGetStreamPriorityRange")?;
    Ok(PriorityRange { least, greatest })
}

/// Returns an error unless streams of the context can have this priority. A driver without priorities supports 0 only.
pub(crate) fn check_priority(
    symbols: &'static Symbols,
    context: Context,
    priority: i32,
    operation: &'static str,
) -> Result<(), CudaError> {
    match priorities(symbols, context, operation) {
        Ok(range) => Ok(range.check(priority, operation)?),
        Err(error) if priority == 0 && lacks_priorities(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Returns `true` if the error means that the driver has no priorities.
fn lacks_priorities(error: &CudaError) -> bool {
    match error {
        CudaError::MissingSymbol { .. } => true,
        CudaError::Driver { function, code, .. } => {
            *function == "cuCtxGetStreamPriorityRange" && *code == CudaCode::NOT_SUPPORTED
        }
        _ => false,
    }
}
