//! Streams and events without a wrapper, as another library allocates them.
//!
//! These functions correspond to `cuStreamCreate` and `cuStreamDestroy` of CUDA. Their handles can
//! be passed to [`Backend::stream_from_raw`](gpu_stream_core::Backend::stream_from_raw). A handle
//! is never reused, so a stale one is always detected.

use gpu_stream_core::{ContractError, Device, EventOptions, RawEvent, RawStream, StreamOptions};

use crate::executor::{Origin, executor};
use crate::options::{check_event, check_stream};
use crate::{Host, HostError, device, shared_event};

/// Creates a stream, which lives until [`destroy`]. Does not block.
///
/// # Errors
/// - [`BackendMismatch`](gpu_stream_core::ErrorKind::BackendMismatch) or
///   [`InvalidDevice`](gpu_stream_core::ErrorKind::InvalidDevice) if the host has no such device.
/// - [`InvalidOptions`](gpu_stream_core::ErrorKind::InvalidOptions) if the priority is out of
///   range.
#[doc(alias("cuStreamCreate", "hipStreamCreate"))]
pub fn create(device: Device, options: StreamOptions) -> Result<RawStream<Host>, HostError> {
    const OPERATION: &str = "raw::create";
    let device = device::ordinal(device, OPERATION)?;
    check_stream(options, OPERATION)?;
    let executor = executor()?;
    let entry = executor.streams.create(&executor.pool, device, options, Origin::Foreign);
    Ok(RawStream::from_bits(entry.handle()))
}

/// Destroys a stream that [`create`] returned. Does not block. Work that was submitted still runs.
///
/// A wrapper that still exists violates the contract of `stream_from_raw`. Its calls fail with
/// [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) from now on.
///
/// # Errors
/// [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) if no such stream is alive, or if a
/// [`HostStream`](crate::HostStream) owns it.
#[doc(alias("cuStreamDestroy", "hipStreamDestroy"))]
pub fn destroy(raw: RawStream<Host>) -> Result<(), HostError> {
    let streams = &executor()?.streams;
    let is_foreign =
        streams.find(raw.to_bits()).is_some_and(|entry| entry.origin == Origin::Foreign);
    if is_foreign && streams.destroy(raw.to_bits()) {
        return Ok(());
    }
    let reason = "is not a live stream of `raw::create`; drop the wrappers of a stream that has an \
                  owner";
    let (operation, bits) = ("raw::destroy", raw.to_bits());
    Err(ContractError::InvalidHandle { operation, bits, reason }.into())
}

/// Returns `true` if `raw` is a live stream, created by this module or by the backend. Returns
/// `false` for a default stream.
pub fn is_alive(raw: RawStream<Host>) -> bool {
    executor().is_ok_and(|executor| executor.streams.find(raw.to_bits()).is_some())
}

/// Creates an event, which lives until [`destroy_event`]. Does not block.
///
/// # Errors
/// Errors as [`Backend::new_event`](gpu_stream_core::Backend::new_event).
#[doc(alias("cuEventCreate", "hipEventCreateWithFlags"))]
pub fn create_event(device: Device, options: EventOptions) -> Result<RawEvent<Host>, HostError> {
    const OPERATION: &str = "raw::create_event";
    device::ordinal(device, OPERATION)?;
    check_event(options, OPERATION)?;
    Ok(shared_event::create(device, options))
}

/// Destroys an event that [`create_event`] returned. Does not block. Waits for the event stay in
/// effect.
///
/// # Errors
/// [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) if no such event is alive, or if a
/// [`HostEvent`](crate::HostEvent) owns it.
#[doc(alias("cuEventDestroy", "hipEventDestroy"))]
pub fn destroy_event(raw: RawEvent<Host>) -> Result<(), HostError> {
    if shared_event::destroy(raw) {
        return Ok(());
    }
    let reason = "is not a live event of `raw::create_event`; drop the wrapper of an event of the \
                  backend";
    let (operation, bits) = ("raw::destroy_event", raw.to_bits());
    Err(ContractError::InvalidHandle { operation, bits, reason }.into())
}
