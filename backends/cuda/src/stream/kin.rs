//! What a stream tells of itself, and what it makes in its own context: events, streams.

use std::sync::Arc;

use gpu_stream_core::{
    BackendKind, ContractError, EventOptions, HandleKind, KeepAlive, RawStream, StreamOptions,
};

use super::CudaStream;
use super::wrap::{Owned, Parts, create};
use crate::driver::capture::{self, CaptureModeGuard};
use crate::driver::symbols::Ptr;
use crate::driver::{Driver, check, driver, require};
use crate::event::Place;
use crate::{CudaError, CudaEvent};

/// `CU_STREAM_NON_BLOCKING`: does not synchronise with the default stream.
pub(super) const NON_BLOCKING: u32 = 1;

/// Returns the flags of `cuStreamCreateWithPriority`.
pub(super) fn flags(options: StreamOptions) -> u32 {
    if options.blocking { 0 } else { NON_BLOCKING }
}

impl CudaStream {
    /// Makes a new event in this stream's own context. An event of another context than the device's
    /// primary one keeps the owner of the stream, which keeps that context.
    pub(crate) fn new_event_slow(
        &self,
        options: EventOptions,
        operation: &'static str,
    ) -> Result<CudaEvent, CudaError> {
        let driver = driver()?;
        let primary = self.primary(operation)?;
        let context = self.context(operation)?;
        let place = Place { device: self.device, context, primary };
        let owner = if primary.is_some() { KeepAlive::none() } else { self.owner.clone() };
        CudaEvent::new(driver, place, options, owner, operation)
    }

    /// Makes a new stream in this stream's own context. A stream of another context than the device's
    /// primary one keeps the owner of this one, which keeps that context.
    pub(super) fn new_sibling(&self, options: StreamOptions) -> Result<Self, CudaError> {
        const OPERATION: &str = "Stream::new_stream";
        let driver = driver()?;
        let primary = self.primary(OPERATION)?;
        let context = self.context(OPERATION)?;
        driver.check_priority(context, options.priority, OPERATION)?;
        let green = self.green_context(driver, OPERATION)?;
        let raw = match green {
            Some(green) => create_green(driver, green, options, OPERATION)?,
            None => create(driver, context, flags(options), options.priority, OPERATION)?,
        };
        let parts = match primary {
            Some(primary) => Parts::of_primary(raw, primary),
            None => Parts::of_context(raw, self.device, context),
        };
        let kept = if primary.is_some() { KeepAlive::none() } else { self.owner.clone() };
        let scope = self.scope(OPERATION)?;
        // A green context goes with the device's primary one.
        let beneath = green.and_then(|_| driver.retained_primary(self.device));
        let owned = Owned::new(raw, primary.or(beneath), scope, kept);
        Ok(parts.with(KeepAlive::owner(Arc::new(owned))))
    }

    /// Returns the green context that the stream is of, if it is of one.
    fn green_context(
        &self,
        driver: &'static Driver,
        operation: &'static str,
    ) -> Result<Option<Ptr>, CudaError> {
        let (HandleKind::Explicit, Some(ask)) =
            (self.raw.kind(), driver.symbols.stream_green.function)
        else {
            return Ok(None);
        };
        let mut green = std::ptr::null_mut();
        // SAFETY: the stream is alive, and `green` is a valid out-pointer. A capture does not mind.
        let code = unsafe { ask(self.raw.as_ptr(), &mut green) };
        check(code, operation, driver.symbols.stream_green.name)?;
        Ok((!green.is_null()).then_some(green))
    }

    /// Returns `true` if the stream and the default stream of its context wait for each other's work.
    pub(super) fn asked_blocking(&self) -> Result<bool, CudaError> {
        const OPERATION: &str = "Stream::is_blocking";
        if self.raw.kind() != HandleKind::Explicit {
            return Ok(true);
        }
        self.with_current(OPERATION, |driver, raw| {
            let ask = require(driver.symbols.stream_flags, OPERATION)?;
            // SAFETY: the stream is alive. While it is captured, the question would break the capture.
            unsafe { capture::ensure_not_capturing(driver, raw, OPERATION) }?;
            let mut flags = 0;
            // SAFETY: as above, and `flags` is a valid out-pointer.
            check(unsafe { ask(raw, &mut flags) }, OPERATION, "cuStreamGetFlags")?;
            Ok(flags & NON_BLOCKING == 0)
        })
    }
}

fn create_green(
    driver: &'static Driver,
    green: Ptr,
    options: StreamOptions,
    operation: &'static str,
) -> Result<RawStream<crate::Cuda>, CudaError> {
    if options.blocking {
        let reason = "no stream of a green context is blocking; ask for one that is not, or make it in the device's \
                      primary context with `Backend::new_stream`";
        let backend = BackendKind::Cuda;
        return Err(ContractError::Unsupported { operation, backend, reason }.into());
    }
    let create = require(driver.symbols.green_stream_create, operation)?;
    let _relaxed = CaptureModeGuard::enter(driver, operation)?;
    let mut stream = std::ptr::null_mut();
    // SAFETY: `stream` is a valid out-pointer, and the green context is alive as its stream is.
    let code = unsafe { create(&mut stream, green, NON_BLOCKING, options.priority) };
    check(code, operation, driver.symbols.green_stream_create.name)?;
    Ok(RawStream::from_ptr(stream))
}
