//! Wraps the handles of other libraries as [`CudaStream`]s.

use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize};

use gpu_stream_core::{BackendKind, Device, HandleKind, KeepAlive, PerThread, RawStream};
use gpu_stream_driver_common::Seen;
use gpu_stream_driver_common::texts::PER_THREAD_HANDLE;

use super::CudaStream;
use crate::driver::{Context, DriverCall, PrimaryContext, loaded};
use crate::error::{Result, invalid_handle};
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

/// Returns the fields of handle 1 or 2 in the primary context of `device`.
#[cold]
pub(crate) fn named(
    raw: RawStream<Cuda>,
    device: Device,
    operation: &'static str,
) -> Result<Parts> {
    let ordinal = device::ordinal(device, operation)?;
    let call = DriverCall::begin(operation)?;
    // Handles 1 and 2 exist in every driver of the process.
    call.check_only_runtime()?;
    Ok(Parts::of_primary(raw, call.primary(ordinal)?))
}

/// Wraps handle 2, the calling thread's own default stream.
pub(crate) fn per_thread_stream(device: Device) -> Result<PerThread<CudaStream>> {
    let parts = named(RawStream::PER_THREAD, device, "Backend::per_thread_stream")?;
    // SAFETY: handle 2 means the calling thread's stream, and this crate never wraps it elsewhere.
    Ok(unsafe { PerThread::new_unchecked(parts.with(KeepAlive::none())) })
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
    let call = DriverCall::begin(operation)?;
    match raw.kind() {
        HandleKind::PerThread => {
            Err(invalid_handle(operation, raw.to_bits(), PER_THREAD_HANDLE).into())
        }
        HandleKind::Default => {
            let device = match device {
                Some(device) => device,
                None => current_device(call, raw)?,
            };
            Ok(named(RawStream::LEGACY, device, operation)?)
        }
        HandleKind::Explicit => {
            if let Some(given) = device {
                device::ordinal(given, operation)?;
            }
            // SAFETY: the stream is live (caller contract) and explicit.
            let context = unsafe { call.context_of(raw.as_ptr()) }?;
            let actual = call.ordinal_of(context)?;
            let primary = call.live_known_primary(actual, context)?;
            if let Some(given) = device {
                given.check_is(Device::new(BackendKind::Cuda, actual), operation)?;
            }
            Ok(match primary {
                Some(primary) => Parts::of_primary(raw, primary),
                None => Parts::of_context(raw, actual, context),
            })
        }
    }
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

/// Handles the other cases: the driver is not loaded yet, the device does not exist, or the handle is not explicit.
#[cold]
#[inline(never)]
fn wrap_unchecked_slow(
    raw: RawStream<Cuda>,
    device: Device,
    operation: &'static str,
) -> Result<Parts, CudaError> {
    match raw.kind() {
        HandleKind::PerThread => {
            Err(invalid_handle(operation, raw.to_bits(), PER_THREAD_HANDLE).into())
        }
        HandleKind::Default => Ok(named(RawStream::LEGACY, device, operation)?),
        HandleKind::Explicit => Ok(Parts::of_unknown(raw, device::ordinal(device, operation)?)),
    }
}

/// Returns the device that handle 0 or 1 means on this thread: that of the current context, or device 0.
fn current_device(call: DriverCall, raw: RawStream<Cuda>) -> Result<Device> {
    let Some(context) = call.current_context()? else {
        return Ok(Device::new(BackendKind::Cuda, 0));
    };
    let ordinal = call.ordinal_of(context)?;
    if call.driver.known_primary(ordinal, context).is_none() {
        // Each context has a default stream. Device and handle alone would not tell this one from that of the primary
        // context, and a stream does not wait for itself.
        let reason = "would be the default stream of the current context, which is not the primary one of its device and \
                      cannot be named by device and handle; create a stream in that context, or give the device to mean \
                      its primary context's";
        return Err(invalid_handle(call.operation, raw.to_bits(), reason));
    }
    Ok(Device::new(BackendKind::Cuda, ordinal))
}
