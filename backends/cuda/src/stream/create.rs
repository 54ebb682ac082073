//! Creates events and streams in the own context of a [`CudaStream`], and streams of a device.

use std::sync::Arc;

use gpu_stream_core::{Device, EventOptions, KeepAlive, StreamOptions};

use super::CudaStream;
use super::owned::Owned;
use super::wrap::Parts;
use crate::driver::{DriverCall, Ptr};
use crate::error::Result;
use crate::event::create::EventContext;
use crate::{CudaEvent, device};

/// Creates a stream in the primary context of a device.
pub(crate) fn new_stream(device: Device, options: StreamOptions) -> Result<CudaStream> {
    const OPERATION: &str = "Backend::new_stream";
    let ordinal = device::ordinal(device, OPERATION)?;
    let call = DriverCall::begin(OPERATION)?;
    let primary = call.primary(ordinal)?;
    call.check_priority(primary.context, options.priority)?;
    let raw = call.create_stream(primary.context, options)?;
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
    ) -> Result<CudaEvent> {
        let call = DriverCall::begin(operation)?;
        let (primary, context) = (self.primary(operation)?, self.context(operation)?);
        let location = EventContext { device: self.device, context, primary };
        let owner = if primary.is_some() { KeepAlive::none() } else { self.owner.clone() };
        CudaEvent::new(call, location, options, owner)
    }

    /// Creates a stream in this stream's own context. If that is not the device's primary context, the new stream keeps
    /// the owner of this one, which keeps the context.
    pub(super) fn new_sibling(&self, options: StreamOptions) -> Result<Self> {
        const OPERATION: &str = "Stream::new_stream";
        let call = DriverCall::begin(OPERATION)?;
        let (primary, context) = (self.primary(OPERATION)?, self.context(OPERATION)?);
        call.check_priority(context, options.priority)?;
        let green = self.green_context(call)?;
        let raw = match green {
            // SAFETY: the green context is alive, because its stream is.
            Some(green) => unsafe { call.create_green_stream(green, options)? },
            None => call.create_stream(context, options)?,
        };
        let (parts, kept) = match primary {
            Some(primary) => (Parts::of_primary(raw, primary), KeepAlive::none()),
            None => (Parts::of_context(raw, self.device, context), self.owner.clone()),
        };
        // A green context ends with the device's primary one.
        let beneath = green.and_then(|_| call.driver.retained_primary(self.device));
        let owned = Owned::new(raw, primary.or(beneath), self.scope(OPERATION)?, kept);
        Ok(parts.with(KeepAlive::owner(Arc::new(owned))))
    }

    /// Returns the green context of the stream, if it belongs to one.
    fn green_context(&self, call: DriverCall) -> Result<Option<Ptr>> {
        let symbol = call.symbols().stream_green;
        let (true, Some(get)) = (self.is_explicit(), symbol.function) else {
            return Ok(None);
        };
        let mut green = std::ptr::null_mut();
        // SAFETY: `self` keeps the stream alive, and `&mut green` is a valid out-pointer. The call leaves captures
        // intact.
        call.check(unsafe { get(self.as_ptr(), &mut green) }, symbol.name)?;
        Ok((!green.is_null()).then_some(green))
    }
}
