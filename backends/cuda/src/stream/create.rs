//! Creates events and streams in the own context of a [`CudaStream`], and streams of a device.

use std::sync::Arc;

use gpu_stream_core::{Device, EventOptions, HandleKind, KeepAlive, StreamOptions};

use super::CudaStream;
use super::owned::Owned;
use super::wrap::Parts;
use crate::driver::check::check;
use crate::driver::create::{check_priority, create_green_stream, create_stream};
use crate::driver::driver;
use crate::driver::symbols::{Ptr, Symbols};
use crate::event::create::EventContext;
use crate::{CudaError, CudaEvent, device};

/// Creates a stream in the primary context of a device.
pub(crate) fn new_stream(device: Device, options: StreamOptions) -> Result<CudaStream, CudaError> {
    const OPERATION: &str = "Backend::new_stream";
    let ordinal = device::ordinal(device, OPERATION)?;
    let driver = driver()?;
    let primary = driver.primary(ordinal, OPERATION)?;
    check_priority(&driver.symbols, primary.context, options.priority, OPERATION)?;
    let raw = create_stream(&driver.symbols, primary.context, options, OPERATION)?;
    let owned = Owned::new(raw, Some(primary), primary.scope(), KeepAlive::none());
    Ok(Parts::of_primary(raw, primary).with(KeepAlive::owner(Arc::new(owned))))
}

impl CudaStream {
    /// Creates an event in this stream's own context. If that is not the device's primary context, the event keeps the
    /// owner of the stream, which keeps the context.
    pub(crate) fn new_event_slow(
        &self,
        options: EventOptions,
        operation: &'static str,
    ) -> Result<CudaEvent, CudaError> {
        let driver = driver()?;
        let primary = self.primary(operation)?;
        let context = self.context(operation)?;
        let location = EventContext { device: self.device, context, primary };
        let owner = if primary.is_some() { KeepAlive::none() } else { self.owner.clone() };
        CudaEvent::new(&driver.symbols, location, options, owner, operation)
    }

    /// Creates a stream in this stream's own context. If that is not the device's primary context, the new stream keeps
    /// the owner of this one, which keeps the context.
    pub(super) fn new_sibling(&self, options: StreamOptions) -> Result<Self, CudaError> {
        const OPERATION: &str = "Stream::new_stream";
        let driver = driver()?;
        let symbols = &driver.symbols;
        let primary = self.primary(OPERATION)?;
        let context = self.context(OPERATION)?;
        check_priority(symbols, context, options.priority, OPERATION)?;
        let green = self.green_context(symbols, OPERATION)?;
        let raw = match green {
            // SAFETY: the green context is alive, because its stream is.
            Some(green) => unsafe { create_green_stream(symbols, green, options, OPERATION)? },
            None => create_stream(symbols, context, options, OPERATION)?,
        };
        let parts = match primary {
            Some(primary) => Parts::of_primary(raw, primary),
            None => Parts::of_context(raw, self.device, context),
        };
        let kept = if primary.is_some() { KeepAlive::none() } else { self.owner.clone() };
        let scope = self.scope(OPERATION)?;
        // A green context ends with the device's primary one.
        let beneath = green.and_then(|_| driver.retained_primary(self.device));
        let owned = Owned::new(raw, primary.or(beneath), scope, kept);
        Ok(parts.with(KeepAlive::owner(Arc::new(owned))))
    }

    /// Returns the green context of the stream, if it belongs to one.
    fn green_context(
        &self,
        symbols: &Symbols,
        operation: &'static str,
    ) -> Result<Option<Ptr>, CudaError> {
        let (HandleKind::Explicit, Some(get)) = (self.raw.kind(), symbols.stream_green.function)
        else {
            return Ok(None);
        };
        let mut green = std::ptr::null_mut();
        // SAFETY: `self` keeps the stream alive, and `&mut green` is a valid out-pointer. The call leaves captures
        // intact.
        let code = unsafe { get(self.raw.as_ptr(), &mut green) };
        check(code, operation, symbols.stream_green.name)?;
        Ok((!green.is_null()).then_some(green))
    }
}
