//! The blanket implementations of the object-safe traits: each method calls its namesake of the typed trait.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::{Any, TypeId};
use core::fmt;

use super::{BoxedEvent, DynBackend, DynEvent, DynStream, SharedStream};
use crate::{
    AnyError, Backend, BackendInfo, BackendKind, CaptureStatus, ContractError, Device, Event,
    EventOptions, EventStatus, HostFunc, KeepAlive, KnownWork, PerThread, PlainHandles,
    PriorityRange, RawEvent, RawStream, Region, Stream, StreamOptions,
};

/// Returns the event as backend `B`'s own type. Fails for an event of another backend.
fn downcast_event<'e, B: Backend>(
    event: &'e dyn DynEvent,
    operation: &'static str,
) -> Result<&'e B::Event, AnyError> {
    let found = event.as_any().downcast_ref();
    found.ok_or_else(|| mismatch::<B>(operation, event.backend()))
}

/// Creates the error of `operation` on backend `B` for what belongs to backend `given`.
fn mismatch<B: Backend>(operation: &'static str, given: BackendKind) -> AnyError {
    ContractError::BackendMismatch { operation, expected: B::KIND, given }.into()
}

impl<B: PlainHandles> DynBackend for B {
    fn kind(&self) -> BackendKind {
        B::KIND
    }

    fn events_keep_owner(&self) -> bool {
        B::EVENTS_KEEP_OWNER
    }

    fn probe(&self) -> Result<BackendInfo, AnyError> {
        B::probe().map_err(AnyError::new)
    }

    fn devices(&self) -> Result<Vec<Device>, AnyError> {
        B::devices().map_err(AnyError::new)
    }

    fn default_stream(&self, device: Device) -> Result<SharedStream, AnyError> {
        shared(B::default_stream(device))
    }

    unsafe fn per_thread_stream(&self, device: Device) -> Result<SharedStream, AnyError> {
        let stream = B::per_thread_stream(device).map_err(AnyError::new)?;
        // SAFETY: the stream is used on this thread only (caller contract).
        Ok(Arc::new(unsafe { stream.into_inner_unchecked() }))
    }

    fn new_stream(&self, device: Device, options: StreamOptions) -> Result<SharedStream, AnyError> {
        shared(B::new_stream(device, options))
    }

    fn new_event(&self, device: Device, options: EventOptions) -> Result<BoxedEvent, AnyError> {
        Ok(Box::new(B::new_event(device, options).map_err(AnyError::new)?))
    }

    fn priority_range(&self, device: Device) -> Result<PriorityRange, AnyError> {
        B::priority_range(device).map_err(AnyError::new)
    }

    unsafe fn stream_from_raw_with_owner(
        &self,
        bits: usize,
        device: Option<Device>,
        owner: KeepAlive,
    ) -> Result<SharedStream, AnyError> {
        // SAFETY: the caller contract is that of `Backend::stream_from_raw_with_owner`.
        shared(unsafe { B::stream_from_raw_with_owner(RawStream::from_bits(bits), device, owner) })
    }

    unsafe fn stream_from_raw_with_owner_unchecked(
        &self,
        bits: usize,
        device: Device,
        owner: KeepAlive,
    ) -> Result<SharedStream, AnyError> {
        // SAFETY: the caller contract is that of `Backend::stream_from_raw_with_owner_unchecked`.
        shared(unsafe {
            B::stream_from_raw_with_owner_unchecked(RawStream::from_bits(bits), device, owner)
        })
    }

    unsafe fn event_from_raw_with_owner(
        &self,
        bits: usize,
        device: Option<Device>,
        options: Option<EventOptions>,
        owner: KeepAlive,
    ) -> Result<BoxedEvent, AnyError> {
        // SAFETY: the caller contract is that of `Backend::event_from_raw_with_owner`.
        let event = unsafe {
            B::event_from_raw_with_owner(RawEvent::from_bits(bits), device, options, owner)
        };
        Ok(Box::new(event.map_err(AnyError::new)?))
    }
}

/// Converts a typed stream to the object, and its error to [`AnyError`].
fn shared<S, E>(stream: Result<S, E>) -> Result<SharedStream, AnyError>
where
    S: DynStream + Send + Sync,
    E: crate::Error,
{
    Ok(Arc::new(stream.map_err(AnyError::new)?))
}

impl<S: Stream<Backend: PlainHandles> + fmt::Debug> DynStream for S {
    fn backend(&self) -> BackendKind {
        S::Backend::KIND
    }

    fn raw_bits(&self) -> usize {
        self.raw().to_bits()
    }

    fn raw_bits_to_compare(&self) -> usize {
        self.raw_to_compare().to_bits()
    }

    fn device(&self) -> Device {
        Stream::device(self)
    }

    fn query(&self) -> Result<bool, AnyError> {
        Stream::query(self).map_err(AnyError::new)
    }

    fn query_into(&self, known: &mut KnownWork) -> Result<bool, AnyError> {
        Stream::query_into(self, known).map_err(AnyError::new)
    }

    fn synchronize(&self) -> Result<(), AnyError> {
        Stream::synchronize(self).map_err(AnyError::new)
    }

    fn new_event(&self, options: EventOptions) -> Result<BoxedEvent, AnyError> {
        Ok(Box::new(Stream::new_event(self, options).map_err(AnyError::new)?))
    }

    fn new_stream(&self, options: StreamOptions) -> Result<SharedStream, AnyError> {
        shared(Stream::new_stream(self, options))
    }

    fn record(&self, event: &dyn DynEvent) -> Result<(), AnyError> {
        let event = downcast_event::<S::Backend>(event, "Stream::record")?;
        Stream::record(self, event).map_err(AnyError::new)
    }

    fn record_event(&self) -> Result<BoxedEvent, AnyError> {
        Ok(Box::new(Stream::record_event(self).map_err(AnyError::new)?))
    }

    fn wait_event(&self, event: &dyn DynEvent) -> Result<(), AnyError> {
        let event = downcast_event::<S::Backend>(event, "Stream::wait_event")?;
        Stream::wait_event(self, event).map_err(AnyError::new)
    }

    fn wait_stream(&self, other: &dyn DynStream) -> Result<(), AnyError> {
        type Of<S> = <<S as Stream>::Backend as Backend>::Stream;
        let native = other.as_any();
        if let Some(other) = native.downcast_ref::<Of<S>>() {
            Stream::wait_stream(self, other).map_err(AnyError::new)
        } else if let Some(other) = native.downcast_ref::<PerThread<Of<S>>>() {
            Stream::wait_stream(self, other).map_err(AnyError::new)
        } else if let Some(other) = native.downcast_ref::<S>() {
            Stream::wait_stream(self, other).map_err(AnyError::new)
        } else if other.backend_type() == TypeId::of::<S::Backend>() {
            // A wrapper type around a stream of this backend: its events are the backend's.
            DynStream::wait_event(self, &*other.record_event()?)
        } else {
            Err(mismatch::<S::Backend>("Stream::wait_stream", other.backend()))
        }
    }

    fn priority(&self) -> Result<i32, AnyError> {
        Stream::priority(self).map_err(AnyError::new)
    }

    fn is_blocking(&self) -> Result<bool, AnyError> {
        Stream::is_blocking(self).map_err(AnyError::new)
    }

    fn id(&self) -> Result<u64, AnyError> {
        Stream::id(self).map_err(AnyError::new)
    }

    fn capture_status(&self) -> Result<CaptureStatus, AnyError> {
        Stream::capture_status(self).map_err(AnyError::new)
    }

    fn launch_host_func(&self, func: HostFunc) -> Result<(), AnyError> {
        Stream::launch_host_func(self, func).map_err(AnyError::new)
    }

    fn reads(&self, region: &Region) {
        Stream::reads(self, region);
    }

    fn writes(&self, region: &Region) {
        Stream::writes(self, region);
    }

    fn released(&self, region: &Region) {
        Stream::released(self, region);
    }

    fn backend_type(&self) -> TypeId {
        Stream::backend_type(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl<E: Event<Backend: PlainHandles<Event = E>> + fmt::Debug> DynEvent for E {
    fn backend(&self) -> BackendKind {
        E::Backend::KIND
    }

    fn raw_bits(&self) -> usize {
        self.raw().to_bits()
    }

    fn device(&self) -> Device {
        Event::device(self)
    }

    fn options(&self) -> EventOptions {
        Event::options(self)
    }

    fn is_foreign(&self) -> bool {
        Event::is_foreign(self)
    }

    fn status(&self) -> Result<EventStatus, AnyError> {
        Event::status(self).map_err(AnyError::new)
    }

    fn status_into(&self, known: &mut KnownWork) -> Result<EventStatus, AnyError> {
        Event::status_into(self, known).map_err(AnyError::new)
    }

    fn query(&self) -> Result<bool, AnyError> {
        Event::query(self).map_err(AnyError::new)
    }

    fn synchronize(&self) -> Result<(), AnyError> {
        Event::synchronize(self).map_err(AnyError::new)
    }

    fn elapsed_since(&self, start: &dyn DynEvent) -> Result<f32, AnyError> {
        let start = downcast_event::<E::Backend>(start, "Event::elapsed_since")?;
        Event::elapsed_since(self, start).map_err(AnyError::new)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
