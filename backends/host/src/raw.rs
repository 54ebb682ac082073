//! Streams and events without a wrapper, as another library allocates and hands them out.
//!
//! To the host backend this is what `cuStreamCreate` and `cuStreamDestroy` are to CUDA: the other
//! side of [`Backend::stream_from_raw`](gpu_stream_core::Backend::stream_from_raw). Handles are
//! never used twice, so a stale one is told and not mistaken for a new stream.

use gpu_stream_core::{ContractError, Device, EventOptions, RawEvent, RawStream, StreamOptions};

use crate::executor::{Origin, driver};
use crate::host::{check_event, check_stream};
use crate::{Host, HostError, device, raw_event};

/// Allocates a stream, to be destroyed by hand. Does not block.
///
/// # Errors
/// [`BackendMismatch`](gpu_stream_core::ErrorKind::BackendMismatch),
/// [`InvalidDevice`](gpu_stream_core::ErrorKind::InvalidDevice),
/// [`InvalidOptions`](gpu_stream_core::ErrorKind::InvalidOptions) for a priority that there is not.
#[doc(alias("cuStreamCreate", "hipStreamCreate"))]
pub fn create(device: Device, options: StreamOptions) -> Result<RawStream<Host>, HostError> {
    const OPERATION: &str = "raw::create";
    let device = device::ordinal(device, OPERATION)?;
    check_stream(options, OPERATION)?;
    let driver = driver()?;
    let entry = driver.streams.create(&driver.pool, device, options, Origin::Foreign);
    Ok(RawStream::from_bits(entry.handle()))
}

/// Destroys a stream that [`create`] made. Does not block, and what was submitted still runs.
///
/// Wrappers of the stream that are left, whose maker broke the promise of `stream_from_raw`, answer
/// [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) from now on.
///
/// # Errors
/// [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) if no such stream is alive, or if
/// it is one that a [`HostStream`](crate::HostStream) owns.
#[doc(alias("cuStreamDestroy", "hipStreamDestroy"))]
pub fn destroy(raw: RawStream<Host>) -> Result<(), HostError> {
    let driver = driver()?;
    let is_theirs =
        driver.streams.find(raw.to_bits()).is_some_and(|entry| entry.origin == Origin::Foreign);
    if is_theirs && driver.streams.destroy(raw.to_bits()) {
        return Ok(());
    }
    let reason = "is no live stream that `raw::create` made; one that has an owner goes with it";
    let (operation, bits) = ("raw::destroy", raw.to_bits());
    Err(ContractError::InvalidHandle { operation, bits, reason }.into())
}

/// Whether `raw` is a stream that was made, by whomever, and not destroyed; a default stream is no
/// such stream.
pub fn is_alive(raw: RawStream<Host>) -> bool {
    driver().is_ok_and(|driver| driver.streams.find(raw.to_bits()).is_some())
}

/// Allocates an event, to be destroyed by hand. Does not block.
///
/// # Errors
/// As [`Backend::new_event`](gpu_stream_core::Backend::new_event).
#[doc(alias("cuEventCreate", "hipEventCreateWithFlags"))]
pub fn create_event(device: Device, options: EventOptions) -> Result<RawEvent<Host>, HostError> {
    check_event(device, options, "raw::create_event")?;
    Ok(raw_event::create(device, options))
}

/// Destroys an event that [`create_event`] made. Does not block, and waits that were made hold.
///
/// # Errors
/// [`InvalidHandle`](gpu_stream_core::ErrorKind::InvalidHandle) if no such event is alive, or if it is
/// one of a [`HostEvent`](crate::HostEvent).
#[doc(alias("cuEventDestroy", "hipEventDestroy"))]
pub fn destroy_event(raw: RawEvent<Host>) -> Result<(), HostError> {
    if raw_event::destroy(raw) {
        return Ok(());
    }
    let reason =
        "is no live event that `raw::create_event` made; one of the backend goes with its wrapper";
    let (operation, bits) = ("raw::destroy_event", raw.to_bits());
    Err(ContractError::InvalidHandle { operation, bits, reason }.into())
}
