//! Wraps the handles of other libraries as [`CudaStream`]s.

use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize};

use gpu_stream_core::{
    BackendKind, ContractError, Device, HandleKind, KeepAlive, PerThread, RawStream,
};
use gpu_stream_driver_common::Seen;

use super::CudaStream;
use crate::driver::context::{Context, current_context};
use crate::driver::primary::PrimaryContext;
use crate::driver::{Driver, driver, loaded};
use crate::{Cuda, CudaError, device};

/// The fields of a wrapper, without its owner.
///
/// The functions that lead here are inlined into the caller, and the owner comes last, so a wrapper is
/// built in registers. Passed through memory it would cost twice as much, because it would be written in
/// small pieces and read in large ones.
#[derive(Clone, Copy)]
pub(crate) struct Parts {
    raw: RawStream<Cuda>,
    device: u32,
    /// 0 if it is not known.
    context: usize,
    /// Null if the stream is not known to belong to it.
    primary: *const PrimaryContext,
}

impl Parts {
    #[inline(always)]
    pub(super) fn of_primary(raw: RawStream<Cuda>, primary: &'static PrimaryContext) -> Self {
        Parts { raw, device: primary.ordinal, context: primary.context.to_bits(), primary }
    }

    #[inline(always)]
    fn of_unknown(raw: RawStream<Cuda>, device: u32) -> Self {
        Parts { raw, device, context: 0, primary: std::ptr::null() }
    }

    /// Returns the fields of a stream in a context that is not the device's primary one.
    pub(super) fn of_context(raw: RawStream<Cuda>, device: u32, context: Context) -> Self {
        Parts { context: context.to_bits(), ..Parts::of_unknown(raw, device) }
    }

    /// Adds the owner.
    #[inline(always)]
    pub(crate) fn with(self, owner: KeepAlive) -> CudaStream {
        let Parts { raw, device, context, primary } = self;
        let (context, primary) = (AtomicUsize::new(context), AtomicPtr::new(primary.cast_mut()));
        let (seen, number) = (Seen::new(), AtomicU64::new(0));
        CudaStream { raw, device, context, primary, seen, number, owner }
    }
}

/// Wraps handle 1 or 2 in the primary context of `device`.
pub(crate) fn named(
    raw: RawStream<Cuda>,
    device: Device,
    owner: KeepAlive,
    operation: &'static str,
) -> Result<CudaStream, CudaError> {
    Ok(parts_of_named(raw, device, operation)?.with(owner))
}

#[cold]
fn parts_of_named(
    raw: RawStream<Cuda>,
    device: Device,
    operation: &'static str,
) -> Result<Parts, CudaError> {
    let ordinal = device::ordinal(device, operation)?;
    let driver = driver()?;
    // Handles 1 and 2 exist in every driver of the process.
    driver.check_only_runtime(operation)?;
    Ok(Parts::of_primary(raw, driver.primary(ordinal, operation)?))
}

/// Wraps handle 2, the calling thread's own default stream.
pub(crate) fn per_thread_stream(device: Device) -> Result<PerThread<CudaStream>, CudaError> {
    const OPERATION: &str = "Backend::per_thread_stream";
    let stream = named(RawStream::PER_THREAD, device, KeepAlive::none(), OPERATION)?;
    // SAFETY: handle 2 means the calling thread's stream, and this crate never wraps it elsewhere.
    Ok(unsafe { PerThread::new_unchecked(stream) })
}

/// Wraps a handle, in the device's context where one is given.
///
/// # Safety
/// - `raw` is a live stream, as for `Backend::stream_from_raw_with_owner`.
#[inline(always)]
pub(crate) unsafe fn wrap(
    raw: RawStream<Cuda>,
    device: Option<Device>,
    operation: &'static str,
) -> Result<Parts, CudaError> {
    // Fast path: the stream is explicit, its device is the given one, and its primary context was used
    // before. One driver call checks all three.
    let is_cuda = device.is_none_or(|given| matches!(given.backend(), BackendKind::Cuda));
    if raw.kind() == HandleKind::Explicit
        && is_cuda
        && let Some(driver) = loaded()
    {
        let ordinal = device.map(Device::ordinal);
        // SAFETY: the stream is live (caller contract) and explicit.
        if let Some(primary) = unsafe { driver.primary_of(raw.as_ptr(), ordinal) } {
            return Ok(Parts::of_primary(raw, primary));
        }
    }
    // SAFETY: the stream is live (caller contract).
    unsafe { wrap_slow(raw, device, operation) }
}

/// Wraps any other handle: of a context that was not used before, of another device than the given one, or
/// not explicit.
///
/// # Safety
/// - `raw` is a live stream, as for `Backend::stream_from_raw_with_owner`.
#[cold]
#[inline(never)]
unsafe fn wrap_slow(
    raw: RawStream<Cuda>,
    device: Option<Device>,
    operation: &'static str,
) -> Result<Parts, CudaError> {
    let driver = driver()?;
    match raw.kind() {
        HandleKind::PerThread => return Err(per_thread_error(raw, operation)),
        HandleKind::Default => {
            let device = match device {
                Some(device) => device,
                None => current_device(driver, raw, operation)?,
            };
            return parts_of_named(RawStream::LEGACY, device, operation);
        }
        HandleKind::Explicit => {}
    }
    if let Some(given) = device {
        device::ordinal(given, operation)?;
    }
    // SAFETY: the stream is live (caller contract) and explicit.
    let context = unsafe { driver.context_of(raw.as_ptr(), operation) }?;
    let parts = in_context(driver, raw, context, operation)?;
    if let Some(given) = device {
        given.check_is(Device::new(BackendKind::Cuda, parts.device), operation)?;
    }
    Ok(parts)
}

/// Returns the fields of a stream in `context`, which may not have been used before.
fn in_context(
    driver: &'static Driver,
    raw: RawStream<Cuda>,
    context: Context,
    operation: &'static str,
) -> Result<Parts, CudaError> {
    let device = driver.ordinal_of(context, operation)?;
    Ok(match driver.live_known_primary(device, context, operation)? {
        Some(primary) => Parts::of_primary(raw, primary),
        None => Parts::of_context(raw, device, context),
    })
}

/// Wraps a handle without checking it. Makes no driver call for an explicit handle.
///
/// # Safety
/// - `raw` is a live stream of `device`, as for `Backend::stream_from_raw_with_owner_unchecked`.
#[inline(always)]
pub(crate) unsafe fn wrap_unchecked(
    raw: RawStream<Cuda>,
    device: Device,
    operation: &'static str,
) -> Result<Parts, CudaError> {
    if raw.kind() == HandleKind::Explicit && device::exists(device) {
        return Ok(Parts::of_unknown(raw, device.ordinal()));
    }
    wrap_unchecked_slow(raw, device, operation)
}

/// Handles the other cases: the driver is not loaded yet, the device does not exist, or the handle is not
/// explicit.
#[cold]
#[inline(never)]
fn wrap_unchecked_slow(
    raw: RawStream<Cuda>,
    device: Device,
    operation: &'static str,
) -> Result<Parts, CudaError> {
    match raw.kind() {
        HandleKind::PerThread => Err(per_thread_error(raw, operation)),
        HandleKind::Default => parts_of_named(RawStream::LEGACY, device, operation),
        HandleKind::Explicit => Ok(Parts::of_unknown(raw, device::ordinal(device, operation)?)),
    }
}

#[cold]
fn per_thread_error(raw: RawStream<Cuda>, operation: &'static str) -> CudaError {
    let reason = "is the calling thread's own stream; use `Backend::per_thread_stream`";
    ContractError::InvalidHandle { operation, bits: raw.to_bits(), reason }.into()
}

/// Returns the device that handle 0 or 1 means on this thread: that of the current context, or device 0.
fn current_device(
    driver: &'static Driver,
    raw: RawStream<Cuda>,
    operation: &'static str,
) -> Result<Device, CudaError> {
    let Some(context) = current_context(&driver.symbols, operation)? else {
        return Ok(Device::new(BackendKind::Cuda, 0));
    };
    let ordinal = driver.ordinal_of(context, operation)?;
    if driver.known_primary(ordinal, context).is_none() {
        // Each context has a default stream. Device and handle alone would not tell this one from that of
        // the primary context, and a stream does not wait for itself.
        let reason = "would be the default stream of the current context, which is not the primary one of its device and \
                      cannot be named by device and handle; create a stream in that context, or give the device to mean \
                      its primary context's";
        return Err(ContractError::InvalidHandle { operation, bits: raw.to_bits(), reason }.into());
    }
    Ok(Device::new(BackendKind::Cuda, ordinal))
}
