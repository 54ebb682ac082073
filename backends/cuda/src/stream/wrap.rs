//! How a [`CudaStream`] comes to be: made here, or made by others and wrapped.

use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize};

use gpu_stream_core::{
    BackendKind, ContractError, Device, HandleKind, KeepAlive, PerThread, RawStream, StreamOptions,
};
use gpu_stream_driver_common::Seen;

use super::CudaStream;
use super::kin::flags;
use crate::driver::capture::{self, CaptureModeGuard};
use crate::driver::code::CudaCode;
use crate::driver::symbols::Ptr;
use crate::driver::{Context, ContextGuard, Driver, PrimaryContext, check, driver, loaded};
use crate::host_func::{self, HOST_FUNCS, PANICS};
use crate::{Cuda, CudaError, device};

/// The owner of a stream that we made: destroys it.
pub(super) struct Owned {
    raw: RawStream<Cuda>,
    /// The life of the primary context that it was made in, if it was made in one.
    primary: Option<&'static PrimaryContext>,
    /// What host functions and panics know its context by.
    scope: usize,
    /// What keeps a context alive that is not the device's primary one.
    context_owner: KeepAlive,
}

impl Owned {
    pub(super) fn new(
        raw: RawStream<Cuda>,
        primary: Option<&'static PrimaryContext>,
        scope: usize,
        context_owner: KeepAlive,
    ) -> Self {
        Owned { raw, primary, scope, context_owner }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let (raw, primary, scope) = (self.raw, self.primary, self.scope);
        host_func::run_outside_host_func(move || {
            // In the child of a fork it is left alone.
            let Some(driver) = loaded() else { return };
            // Before the driver uses the handle again.
            PANICS.remove(scope, raw.to_bits());
            let code = if primary.is_some_and(PrimaryContext::is_reset) {
                // It went with its context, and the driver would follow the handle.
                CudaCode::CONTEXT_IS_DESTROYED
            } else {
                let _relaxed = CaptureModeGuard::enter(driver, "CudaStream::drop").ok();
                // SAFETY: the stream is ours and alive.
                let before = unsafe { fault_of(driver, raw.as_ptr()) };
                // SAFETY: as above, and this is its last use. Work that was submitted still runs. At
                // the end of the process the driver may be gone, and says so; no caller is left to
                // tell.
                let code = unsafe { (driver.symbols.stream_destroy)(raw.as_ptr()) };
                before.unwrap_or(code)
            };
            if code.is_end_of_context() {
                // Nothing holds the mode any more: what is dropped is code of users.
                HOST_FUNCS.cancel(|stream| stream.scope == scope);
            }
        });
        host_func::drop_owner(std::mem::take(&mut self.context_owner));
    }
}

/// Returns the code of the context's fault, if a closure could wait behind it. A driver may destroy a
/// stream and say nothing of it.
///
/// # Safety
/// The stream is alive, and the thread's mode is the relaxed one.
unsafe fn fault_of(driver: &'static Driver, stream: Ptr) -> Option<CudaCode> {
    // SAFETY: the caller promises the stream. A captured one is not asked.
    if HOST_FUNCS.is_empty() || unsafe { capture::may_be_capturing(driver, stream) } {
        return None;
    }
    // SAFETY: as above.
    let code = unsafe { (driver.symbols.stream_query)(stream) };
    code.is_end_of_context().then_some(code)
}

pub(crate) fn new_stream(device: Device, options: StreamOptions) -> Result<CudaStream, CudaError> {
    const OPERATION: &str = "Backend::new_stream";
    let ordinal = device::ordinal(device, OPERATION)?;
    let driver = driver()?;
    let primary = driver.primary(ordinal, OPERATION)?;
    driver.check_priority(primary.context, options.priority, OPERATION)?;
    let raw = create(driver, primary.context, flags(options), options.priority, OPERATION)?;
    let owned = Owned::new(raw, Some(primary), primary.scope(), KeepAlive::none());
    Ok(Parts::of_primary(raw, primary).with(KeepAlive::owner(Arc::new(owned))))
}

/// Makes a stream in a context.
pub(super) fn create(
    driver: &'static Driver,
    context: Context,
    flags: u32,
    priority: i32,
    operation: &'static str,
) -> Result<RawStream<Cuda>, CudaError> {
    let _relaxed = CaptureModeGuard::enter(driver, operation)?;
    let _current = ContextGuard::enter(driver, context, operation)?;
    let mut stream = std::ptr::null_mut();
    // SAFETY: `stream` is a valid out-pointer, the flags are valid, and the context is current.
    let code = unsafe { (driver.symbols.stream_create)(&mut stream, flags, priority) };
    check(code, operation, "cuStreamCreateWithPriority")?;
    Ok(RawStream::from_ptr(stream))
}

/// What a wrapper is made of, beside its owner.
///
/// What leads to it is inlined into the caller, and the owner comes last: so a wrapper is made in
/// registers. Handed over in memory it would cost as much again, for being written in small pieces
/// and read in large ones.
#[derive(Clone, Copy)]
pub(crate) struct Parts {
    raw: RawStream<Cuda>,
    device: u32,
    /// 0 if it was not asked for.
    context: usize,
    /// Null if the stream is not known to be of it.
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

    /// A stream of a context that is not the device's primary one.
    pub(super) fn of_context(raw: RawStream<Cuda>, device: u32, context: Context) -> Self {
        Parts { context: context.to_bits(), ..Parts::of_unknown(raw, device) }
    }

    #[inline(always)]
    pub(crate) fn with(self, owner: KeepAlive) -> CudaStream {
        let Parts { raw, device, context, primary } = self;
        let (context, primary) = (AtomicUsize::new(context), AtomicPtr::new(primary.cast_mut()));
        let (seen, number) = (Seen::new(), AtomicU64::new(0));
        CudaStream { raw, device, context, primary, seen, number, owner }
    }
}

/// One of the handles 1 and 2, in the primary context of `device`.
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
    // Every driver of the process has these handles.
    driver.check_only_runtime(operation)?;
    Ok(Parts::of_primary(raw, driver.primary(ordinal, operation)?))
}

pub(crate) fn per_thread_stream(device: Device) -> Result<PerThread<CudaStream>, CudaError> {
    const OPERATION: &str = "Backend::per_thread_stream";
    let stream = named(RawStream::PER_THREAD, device, KeepAlive::none(), OPERATION)?;
    // SAFETY: handle 2 is the calling thread's, and no other wrapper of it is ever made.
    Ok(unsafe { PerThread::new_unchecked(stream) })
}

/// # Safety
/// As `Backend::stream_from_raw_with_owner`.
#[inline(always)]
pub(crate) unsafe fn wrap(
    raw: RawStream<Cuda>,
    device: Option<Device>,
    operation: &'static str,
) -> Result<Parts, CudaError> {
    // An explicit stream of a primary context that was used before, and of the device that is
    // given: all is said with one question.
    let is_ours = device.is_none_or(|given| matches!(given.backend(), BackendKind::Cuda));
    if raw.kind() == HandleKind::Explicit
        && is_ours
        && let Some(driver) = loaded()
    {
        let ordinal = device.map(Device::ordinal);
        // SAFETY: the caller promises that the stream is alive.
        if let Some(primary) = unsafe { driver.primary_of(raw.as_ptr(), ordinal) } {
            return Ok(Parts::of_primary(raw, primary));
        }
    }
    // SAFETY: as above.
    unsafe { wrap_slow(raw, device, operation) }
}

/// Any other stream: of a context that was not seen before, of another device than was given, or no
/// explicit one.
///
/// # Safety
/// As `Backend::stream_from_raw_with_owner`.
#[cold]
#[inline(never)]
unsafe fn wrap_slow(
    raw: RawStream<Cuda>,
    device: Option<Device>,
    operation: &'static str,
) -> Result<Parts, CudaError> {
    let driver = driver()?;
    match raw.kind() {
        HandleKind::PerThread => return Err(refuse_per_thread(raw, operation)),
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
    // SAFETY: the caller promises that the stream is alive.
    let context = unsafe { driver.context_of(raw.as_ptr(), operation) }?;
    let parts = in_context(driver, raw, context, operation)?;
    if let Some(given) = device {
        given.check_is(Device::new(BackendKind::Cuda, parts.device), operation)?;
    }
    Ok(parts)
}

/// A stream of the context, which may be one that was not seen before.
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

/// As [`wrap`], without a call of the driver for an explicit handle.
///
/// # Safety
/// As `Backend::stream_from_raw_with_owner_unchecked`.
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

/// The driver was not loaded yet, or there is no such device, or the handle is no explicit one.
#[cold]
#[inline(never)]
fn wrap_unchecked_slow(
    raw: RawStream<Cuda>,
    device: Device,
    operation: &'static str,
) -> Result<Parts, CudaError> {
    match raw.kind() {
        HandleKind::PerThread => Err(refuse_per_thread(raw, operation)),
        HandleKind::Default => parts_of_named(RawStream::LEGACY, device, operation),
        HandleKind::Explicit => Ok(Parts::of_unknown(raw, device::ordinal(device, operation)?)),
    }
}

#[cold]
fn refuse_per_thread(raw: RawStream<Cuda>, operation: &'static str) -> CudaError {
    let reason = "is the calling thread's own stream; use `Backend::per_thread_stream`";
    ContractError::InvalidHandle { operation, bits: raw.to_bits(), reason }.into()
}

/// The device that handle 0 or 1 means on this thread: that of the current context, or device 0.
fn current_device(
    driver: &'static Driver,
    raw: RawStream<Cuda>,
    operation: &'static str,
) -> Result<Device, CudaError> {
    let Some(context) = driver.current_context(operation)? else {
        return Ok(Device::new(BackendKind::Cuda, 0));
    };
    let ordinal = driver.ordinal_of(context, operation)?;
    if driver.known_primary(ordinal, context).is_none() {
        // Each context has a default stream. Device and handle would not tell this one from the
        // primary context's, and what is taken for one stream is not made to wait.
        let reason = "would be the default stream of the current context, which is not the primary one of its device and \
                      cannot be named by device and handle; create a stream in that context, or give the device to mean \
                      its primary context's";
        return Err(ContractError::InvalidHandle { operation, bits: raw.to_bits(), reason }.into());
    }
    Ok(Device::new(BackendKind::Cuda, ordinal))
}
