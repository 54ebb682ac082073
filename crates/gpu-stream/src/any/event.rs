//! An event of a backend that is chosen at run time: [`AnyEvent`].

use core::fmt;

use gpu_stream_core::dynamic::{BoxedEvent, DynEvent};
use gpu_stream_core::{
    AnyError, Device, Event, EventOptions, EventStatus, KnownWork, PlainHandles,
};

use super::{Any, AnyRawEvent};
use crate::check::{self, placed};

/// An event of [`Any`] backend.
///
/// It means what the event inside means. Streams of the same backend can record it and wait for it;
/// streams of another backend return [`BackendMismatch`](crate::ErrorKind::BackendMismatch).
#[derive(Debug)]
pub struct AnyEvent(BoxedEvent);

impl AnyEvent {
    /// Wraps `event`, and hides its backend's types. [`downcast_ref`](Self::downcast_ref) returns
    /// the typed event.
    pub fn new<E>(event: E) -> Self
    where
        E: Event<Backend: PlainHandles<Event = E>> + fmt::Debug + Send + Sync,
    {
        AnyEvent(check::event(Box::new(event)))
    }

    /// Returns the typed event, if its type is `E`: `event.downcast_ref::<HostEvent>()`.
    pub fn downcast_ref<E: Event>(&self) -> Option<&E> {
        let event = self.0.as_any();
        event.downcast_ref().or_else(|| check::event_inside(event))
    }

    /// Returns the event in its object-safe form.
    pub fn as_dyn(&self) -> &(dyn DynEvent + Send + Sync) {
        &*self.0
    }
}

/// Converts events from a [`DynBackend`](crate::dynamic::DynBackend) or
/// [`DynStream`](crate::dynamic::DynStream).
impl From<BoxedEvent> for AnyEvent {
    fn from(event: BoxedEvent) -> Self {
        AnyEvent(check::event(event))
    }
}

// SAFETY: every method forwards to the event inside. `DynEvent` is sealed: only an `Event`
// implements it, and that upholds the contract.
//
// The lint makes a method that is added to `Event` an error here until it is forwarded.
#[deny(clippy::missing_trait_methods)]
unsafe impl Event for AnyEvent {
    type Backend = Any;

    fn raw(&self) -> AnyRawEvent {
        AnyRawEvent::new(self.0.backend(), self.0.raw_bits())
    }

    fn device(&self) -> Device {
        self.0.device()
    }

    fn options(&self) -> EventOptions {
        self.0.options()
    }

    fn is_foreign(&self) -> bool {
        self.0.is_foreign()
    }

    #[cfg_attr(feature = "checked", track_caller)]
    fn status(&self) -> Result<EventStatus, AnyError> {
        placed(|| self.0.status())
    }

    #[cfg_attr(feature = "checked", track_caller)]
    fn status_into(&self, known: &mut KnownWork) -> Result<EventStatus, AnyError> {
        placed(|| self.0.status_into(known))
    }

    #[cfg_attr(feature = "checked", track_caller)]
    fn query(&self) -> Result<bool, AnyError> {
        placed(|| self.0.query())
    }

    #[cfg_attr(feature = "checked", track_caller)]
    fn synchronize(&self) -> Result<(), AnyError> {
        placed(|| self.0.synchronize())
    }

    /// Returns the time as [`Event::elapsed_since`]. A mismatch of the backends is found before the
    /// devices are compared.
    #[cfg_attr(feature = "checked", track_caller)]
    fn elapsed_since(&self, start: &Self) -> Result<f32, AnyError> {
        placed(|| self.0.elapsed_since(start.as_dyn()))
    }

    #[cfg_attr(feature = "checked", track_caller)]
    fn elapsed_unchecked(&self, start: &Self) -> Result<f32, AnyError> {
        placed(|| self.0.elapsed_since(start.as_dyn()))
    }
}
