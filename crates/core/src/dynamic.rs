//! The object-safe form, for programs that choose the vendor at run time.
//!
//! [`DynBackend`], [`DynStream`] and [`DynEvent`] are [`Backend`], [`Stream`] and [`Event`] without
//! the types of the backend. A stream is a `dyn DynStream`, a handle is an integer beside a
//! [`BackendKind`], and an error is an [`AnyError`]. They are implemented for every backend, stream
//! and event, and cannot be implemented by hand.
//!
//! **Most programs do not need this module.** The facade crate `gpu-stream` has `Any`, a
//! [`Backend`] made of these traits, whose streams a library written against [`Stream`] takes like
//! any other.
//!
//! ```
//! use gpu_stream_core::dynamic::{DynBackend, SharedStream};
//! use gpu_stream_core::{AnyError, StreamOptions};
//!
//! /// A stream of whichever backend has a device.
//! fn first_that_works(choices: &[&dyn DynBackend]) -> Option<Result<SharedStream, AnyError>> {
//!     choices.iter().find_map(|backend| {
//!         let device = *backend.devices().ok()?.first()?;
//!         Some(backend.new_stream(device, StreamOptions::new()))
//!     })
//! }
//! ```
//!
//! The methods have the names of their counterparts, so bring only one of `Stream` and `DynStream`
//! into scope. A `dyn DynStream` needs neither: methods of a trait object are found without.
//!
//! A stream and an event of different vendors can meet here, and then the answer is
//! [`BackendMismatch`](crate::ErrorKind::BackendMismatch). Each method means what its namesake
//! means, blocks where that blocks, and returns its errors and this one.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::{Any, TypeId};
use core::fmt;

use crate::{
    AnyError, Backend, BackendInfo, BackendKind, CaptureStatus, ContractError, Device, Event,
    EventOptions, EventStatus, HostFunc, KeepAlive, PerThread, PlainHandles, PriorityRange,
    RawEvent, RawStream, Stream, StreamOptions,
};

mod sealed {
    use crate::{Event, PlainHandles, Stream};

    // The facade builds an `unsafe impl Stream` on these traits. So they are sealed: every
    // implementation answers as a `Stream` or an `Event` does.
    pub trait SealedStream {}
    impl<S: Stream<Backend: PlainHandles>> SealedStream for S {}

    pub trait SealedEvent {}
    impl<E: Event<Backend: PlainHandles<Event = E>>> SealedEvent for E {}

    pub trait SealedBackend {}
    impl<B: PlainHandles> SealedBackend for B {}
}

/// A stream of some backend, shared, for any thread.
pub type SharedStream = Arc<dyn DynStream + Send + Sync>;

/// An event of some backend, for any thread.
pub type BoxedEvent = Box<dyn DynEvent + Send + Sync>;

/// [`Backend`] without its types. A backend's marker value is one: `&Host` is a `&dyn DynBackend`.
pub trait DynBackend: sealed::SealedBackend + Send + Sync {
    /// Returns [`Backend::KIND`].
    fn kind(&self) -> BackendKind;

    /// Returns [`Backend::EVENTS_KEEP_OWNER`].
    fn events_keep_owner(&self) -> bool;

    /// Calls [`Backend::probe`].
    fn probe(&self) -> Result<BackendInfo, AnyError>;

    /// Calls [`Backend::devices`].
    fn devices(&self) -> Result<Vec<Device>, AnyError>;

    /// Calls [`Backend::default_stream`].
    fn default_stream(&self, device: Device) -> Result<SharedStream, AnyError>;

    /// Calls [`Backend::per_thread_stream`], and returns a stream whose type is `Send` and `Sync`.
    ///
    /// # Safety
    /// The stream must be used on the calling thread only.
    unsafe fn per_thread_stream(&self, device: Device) -> Result<SharedStream, AnyError>;

    /// Calls [`Backend::new_stream`].
    fn new_stream(&self, device: Device, options: StreamOptions) -> Result<SharedStream, AnyError>;

    /// Calls [`Backend::new_event`].
    fn new_event(&self, device: Device, options: EventOptions) -> Result<BoxedEvent, AnyError>;

    /// Calls [`Backend::priority_range`].
    fn priority_range(&self, device: Device) -> Result<PriorityRange, AnyError>;

    /// Calls [`Backend::stream_from_raw_with_owner`].
    ///
    /// # Safety
    /// As [`Backend::stream_from_raw_with_owner`]; `bits` is a handle of this backend.
    unsafe fn stream_from_raw_with_owner(
        &self,
        bits: usize,
        device: Option<Device>,
        owner: KeepAlive,
    ) -> Result<SharedStream, AnyError>;

    /// Calls [`Backend::stream_from_raw_with_owner_unchecked`].
    ///
    /// # Safety
    /// As [`Backend::stream_from_raw_with_owner_unchecked`]; `bits` is a handle of this backend.
    unsafe fn stream_from_raw_with_owner_unchecked(
        &self,
        bits: usize,
        device: Device,
        owner: KeepAlive,
    ) -> Result<SharedStream, AnyError>;

    /// Calls [`Backend::event_from_raw_with_owner`].
    ///
    /// # Safety
    /// As [`Backend::event_from_raw_with_owner`]; `bits` is a handle of this backend.
    unsafe fn event_from_raw_with_owner(
        &self,
        bits: usize,
        device: Option<Device>,
        options: Option<EventOptions>,
        owner: KeepAlive,
    ) -> Result<BoxedEvent, AnyError>;
}

/// [`Stream`] without the types of its backend.
pub trait DynStream: sealed::SealedStream + fmt::Debug + 'static {
    /// Returns the backend that executes the stream.
    fn backend(&self) -> BackendKind;

    /// Returns [`Stream::raw`] as an integer.
    fn raw_bits(&self) -> usize;

    /// Calls [`Stream::device`].
    fn device(&self) -> Device;

    /// Calls [`Stream::query`].
    fn query(&self) -> Result<bool, AnyError>;

    /// Calls [`Stream::synchronize`].
    fn synchronize(&self) -> Result<(), AnyError>;

    /// Calls [`Stream::new_event`].
    fn new_event(&self, options: EventOptions) -> Result<BoxedEvent, AnyError>;

    /// Calls [`Stream::new_stream`].
    fn new_stream(&self, options: StreamOptions) -> Result<SharedStream, AnyError>;

    /// Calls [`Stream::record`].
    fn record(&self, event: &dyn DynEvent) -> Result<(), AnyError>;

    /// Calls [`Stream::record_event`].
    fn record_event(&self) -> Result<BoxedEvent, AnyError>;

    /// Calls [`Stream::wait_event`].
    fn wait_event(&self, event: &dyn DynEvent) -> Result<(), AnyError>;

    /// Calls [`Stream::wait_stream`].
    fn wait_stream(&self, other: &dyn DynStream) -> Result<(), AnyError>;

    /// Calls [`Stream::priority`].
    fn priority(&self) -> Result<i32, AnyError>;

    /// Calls [`Stream::is_blocking`].
    fn is_blocking(&self) -> Result<bool, AnyError>;

    /// Calls [`Stream::id`].
    fn id(&self) -> Result<u64, AnyError>;

    /// Calls [`Stream::capture_status`].
    fn capture_status(&self) -> Result<CaptureStatus, AnyError>;

    /// Calls [`Stream::launch_host_func`].
    fn launch_host_func(&self, func: HostFunc) -> Result<(), AnyError>;

    /// Returns the id of the type that implements [`Backend`]. Two streams belong to one backend if
    /// this is equal. The name that [`backend`](Self::backend) returns can be the name of two
    /// backends.
    fn backend_type(&self) -> TypeId;

    /// Returns the stream as `Any`, for `downcast_ref`.
    fn as_any(&self) -> &dyn Any;
}

/// [`Event`] without the types of its backend.
pub trait DynEvent: sealed::SealedEvent + fmt::Debug + 'static {
    /// Returns the backend whose event this is.
    fn backend(&self) -> BackendKind;

    /// Returns [`Event::raw`] as an integer.
    fn raw_bits(&self) -> usize;

    /// Calls [`Event::device`].
    fn device(&self) -> Device;

    /// Calls [`Event::options`].
    fn options(&self) -> EventOptions;

    /// Calls [`Event::is_foreign`].
    fn is_foreign(&self) -> bool;

    /// Calls [`Event::status`].
    fn status(&self) -> Result<EventStatus, AnyError>;

    /// Calls [`Event::query`].
    fn query(&self) -> Result<bool, AnyError>;

    /// Calls [`Event::synchronize`].
    fn synchronize(&self) -> Result<(), AnyError>;

    /// Calls [`Event::elapsed_since`].
    fn elapsed_since(&self, start: &dyn DynEvent) -> Result<f32, AnyError>;

    /// Returns the event as `Any`, for `downcast_ref`.
    fn as_any(&self) -> &dyn Any;
}

fn native_event<'e, B: Backend>(
    event: &'e dyn DynEvent,
    operation: &'static str,
) -> Result<&'e B::Event, AnyError> {
    let found = event.as_any().downcast_ref();
    found.ok_or_else(|| mismatch::<B>(operation, event.backend()))
}

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

    fn device(&self) -> Device {
        Stream::device(self)
    }

    fn query(&self) -> Result<bool, AnyError> {
        Stream::query(self).map_err(AnyError::new)
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
        let event = native_event::<S::Backend>(event, "Stream::record")?;
        Stream::record(self, event).map_err(AnyError::new)
    }

    fn record_event(&self) -> Result<BoxedEvent, AnyError> {
        Ok(Box::new(Stream::record_event(self).map_err(AnyError::new)?))
    }

    fn wait_event(&self, event: &dyn DynEvent) -> Result<(), AnyError> {
        let event = native_event::<S::Backend>(event, "Stream::wait_event")?;
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

    fn query(&self) -> Result<bool, AnyError> {
        Event::query(self).map_err(AnyError::new)
    }

    fn synchronize(&self) -> Result<(), AnyError> {
        Event::synchronize(self).map_err(AnyError::new)
    }

    fn elapsed_since(&self, start: &dyn DynEvent) -> Result<f32, AnyError> {
        let start = native_event::<E::Backend>(start, "Event::elapsed_since")?;
        Event::elapsed_since(self, start).map_err(AnyError::new)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
