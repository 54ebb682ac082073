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
//! into scope, and only one of `Backend` and `DynBackend`. A `dyn DynStream` needs neither, because
//! the methods of a trait object are always in scope.
//!
//! A call with a stream and an event of different vendors compiles here, and returns
//! [`BackendMismatch`](crate::ErrorKind::BackendMismatch). Otherwise each method does what its
//! namesake does, blocks where that blocks, and returns its errors.

mod forward;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::{Any, TypeId};
use core::fmt;

use crate::{
    AnyError, BackendInfo, BackendKind, CaptureStatus, Device, EventOptions, EventStatus, HostFunc,
    KeepAlive, KnownWork, PriorityRange, Region, StreamOptions,
};
#[cfg(doc)]
use crate::{Backend, Event, Stream};

mod sealed {
    use crate::{Event, PlainHandles, Stream};

    // The facade builds an `unsafe impl Stream` on these traits. So they are sealed: only a
    // `Stream` or an `Event` implements them.
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

/// [`Backend`] without its types. Each backend is a unit type, and its value implements this:
/// `&Host` is a `&dyn DynBackend`.
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

    /// Returns [`Stream::raw_to_compare`] as an integer.
    #[doc(hidden)]
    fn raw_bits_to_compare(&self) -> usize;

    /// Calls [`Stream::device`].
    fn device(&self) -> Device;

    /// Calls [`Stream::query`].
    fn query(&self) -> Result<bool, AnyError>;

    /// Calls [`Stream::query_into`].
    #[doc(hidden)]
    fn query_into(&self, known: &mut KnownWork) -> Result<bool, AnyError>;

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

    /// Calls [`Stream::reads`].
    fn reads(&self, region: &Region);

    /// Calls [`Stream::writes`].
    fn writes(&self, region: &Region);

    /// Calls [`Stream::released`].
    fn released(&self, region: &Region);

    /// Returns the id of the type that implements [`Backend`]. Two streams belong to one backend if
    /// their ids are equal. Two backends can have the name that [`backend`](Self::backend) returns.
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

    /// Calls [`Event::status_into`].
    #[doc(hidden)]
    fn status_into(&self, known: &mut KnownWork) -> Result<EventStatus, AnyError>;

    /// Calls [`Event::query`].
    fn query(&self) -> Result<bool, AnyError>;

    /// Calls [`Event::synchronize`].
    fn synchronize(&self) -> Result<(), AnyError>;

    /// Calls [`Event::elapsed_since`].
    fn elapsed_since(&self, start: &dyn DynEvent) -> Result<f32, AnyError>;

    /// Returns the event as `Any`, for `downcast_ref`.
    fn as_any(&self) -> &dyn Any;

    /// Converts the event to `Any`, for `downcast`.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}
