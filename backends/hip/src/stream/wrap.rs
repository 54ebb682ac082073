//! Creating a [`HipStream`], and wrapping the handle of another library's stream.

use std::ffi::c_int;

use gpu_stream_core::{
    BackendKind, ContractError, Device, HandleKind, KeepAlive, PerThread, RawStream, StreamOptions,
};
use gpu_stream_driver_common::Seen;
use gpu_stream_driver_common::captures::Capturable;
use gpu_stream_driver_common::texts::PER_THREAD_HANDLE;

use super::HipStream;
use crate::driver::CaptureModeGuard;
use crate::driver::{Driver, current, dead, driver};
use crate::host_func::next_number;
use crate::owned_stream::create;
use crate::per_thread::{PER_THREAD, name_stream};
use crate::{Hip, HipError, device};

/// Creates a stream with a wrapper.
pub(crate) fn new_stream(
    device: Device,
    options: StreamOptions,
    operation: &'static str,
) -> Result<HipStream, HipError> {
    device::priority_range(device, operation)?.check(options.priority, operation)?;
    let driver = driver()?;
    let (ordinal, number) = (device.ordinal(), number(driver));
    let (raw, owner) = create(driver, ordinal, number, options, operation)?;
    let (seen, capturable) = (Seen::new(), Capturable::not_yet());
    Ok(HipStream { raw, device: ordinal, owner, number, seen, capturable })
}

/// Returns the key of panics for a new wrapper. 0 where the runtime has stream ids.
#[inline]
fn number(driver: &Driver) -> u64 {
    if driver.symbols.stream_id.function.is_some() { 0 } else { next_number() }
}

/// Wraps the default stream of `device`.
pub(crate) fn default_stream(
    device: Device,
    owner: KeepAlive,
    operation: &'static str,
) -> Result<HipStream, HipError> {
    Ok(special(RawStream::DEFAULT, Some(device), operation)?.with(owner))
}

/// Wraps the calling thread's default stream on `device`.
pub(crate) fn per_thread_stream(device: Device) -> Result<PerThread<HipStream>, HipError> {
    const OPERATION: &str = "Backend::per_thread_stream";
    let ordinal = device::ordinal(device, OPERATION)?;
    let driver = driver()?;
    driver.check_only_runtime(OPERATION)?;
    name_stream(driver, ordinal, OPERATION)?;
    let stream = Parts { driver, raw: PER_THREAD, device: ordinal }.with(KeepAlive::none());
    // SAFETY: handle 2 names the calling thread's stream, and this is the only place that wraps it.
    Ok(unsafe { PerThread::new_unchecked(stream) })
}

/// The fields of a wrapper, except its owner.
///
/// The functions that return it are inlined, and the owner is added last. So a wrapper is built in registers. Passed
/// in memory, it would cost twice as much.
#[derive(Clone, Copy)]
pub(crate) struct Parts {
    driver: &'static Driver,
    raw: RawStream<Hip>,
    device: u32,
}

impl Parts {
    /// Creates the wrapper.
    #[inline(always)]
    pub(crate) fn with(self, owner: KeepAlive) -> HipStream {
        let Parts { driver, raw, device } = self;
        let (seen, capturable) = (Seen::new(), Capturable::always());
        HipStream { raw, device, owner, number: number(driver), seen, capturable }
    }
}

/// Checks a handle, and the device if one is given.
///
/// # Safety
/// - As for `Backend::stream_from_raw_with_owner`.
#[inline]
pub(crate) unsafe fn wrap(
    raw: RawStream<Hip>,
    device: Option<Device>,
    operation: &'static str,
) -> Result<Parts, HipError> {
    if raw.kind() != HandleKind::Explicit {
        return special(raw, device, operation);
    }
    let driver = driver()?;
    if let Some(given) = device {
        device::ordinal(given, operation)?;
    }
    let number = {
        let _relaxed = CaptureModeGuard::enter(driver, operation)?;
        // SAFETY: the stream is live (caller contract).
        unsafe { driver.device_of(raw.as_ptr(), operation) }?
    };
    let actual = ordinal(number);
    if actual >= driver.count() {
        return Err(dead(raw.as_ptr(), operation));
    }
    if let Some(given) = device {
        given.check_is(Device::new(BackendKind::Hip, actual), operation)?;
    }
    Ok(Parts { driver, raw, device: actual })
}

/// Checks a handle and its device without a call of the runtime.
///
/// # Safety
/// - As for `Backend::stream_from_raw_with_owner_unchecked`.
#[inline]
pub(crate) unsafe fn wrap_unchecked(
    raw: RawStream<Hip>,
    device: Device,
    operation: &'static str,
) -> Result<Parts, HipError> {
    if raw.kind() != HandleKind::Explicit {
        return special(raw, Some(device), operation);
    }
    let device = device::ordinal(device, operation)?;
    Ok(Parts { driver: driver()?, raw, device })
}

/// Checks a handle that names a stream of each thread or device. The default stream is that of the current device, unless
/// another is given.
#[cold]
fn special(
    raw: RawStream<Hip>,
    device: Option<Device>,
    operation: &'static str,
) -> Result<Parts, HipError> {
    if raw.kind() == HandleKind::PerThread {
        let reason = PER_THREAD_HANDLE;
        return Err(ContractError::InvalidHandle { operation, bits: raw.to_bits(), reason }.into());
    }
    let device = match device {
        Some(device) => device,
        None => Device::new(BackendKind::Hip, ordinal(current(driver()?, operation)?)),
    };
    let device = device::ordinal(device, operation)?;
    let driver = driver()?;
    // Each runtime of the process has this handle.
    driver.check_only_runtime(operation)?;
    Ok(Parts { driver, raw: RawStream::DEFAULT, device })
}

#[inline]
fn ordinal(device: c_int) -> u32 {
    u32::try_from(device).unwrap_or(u32::MAX)
}
