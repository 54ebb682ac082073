//! An event of a backend that is chosen at run time: [`AnyEvent`].

use core::fmt;

use gpu_stream_core::dynamic::{BoxedEvent, DynEvent};
use gpu_stream_core::{AnyError, Device, Event, EventOptions, EventStatus, PlainHandles};

use super::{Any, AnyRawEvent};

/// An event of [`Any`] backend.
///
/// It means what the event inside means, and can be recorded and waited for by streams of the same
/// backend: with another one, the answer is [`BackendMismatch`](crate::ErrorKind::BackendMismatch).
#[derive(Debug)]
pub struct AnyEvent(BoxedEvent);

impl AnyEvent {
    /// `event`, with its backend forgotten by the types. [`downcast_ref`](Self::downcast_ref) finds
    /// it again.
    pub fn new<E>(event: E) -> Self
    where
        E: Event<Backend: PlainHandles<Event = E>> + fmt::Debug + Send + Sync,
    {
        AnyEvent(Box::new(event))
    }

    /// The event as the type that it is, if that is `E`: `event.downcast_ref::<HostEvent>()`.
    pub fn downcast_ref<E: Event>(&self) -> Option<&E> {
        self.0.as_any().downcast_ref()
    }

    /// The event in its object-safe form.
    pub fn as_dyn(&self) -> &(dyn DynEvent + Send + Sync) {
        &*self.0
    }
}

/// For events from a [`DynBackend`](crate::dynamic::DynBackend) or
/// [`DynStream`](crate::dynamic::DynStream).
impl From<BoxedEvent> for AnyEvent {
    fn from(event: BoxedEvent) -> Self {
        AnyEvent(event)
    }
}

// SAFETY: every answer is that of the event inside. `DynEvent` is sealed: only an `Event` is one,
// which upholds the contract.
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

    fn status(&self) -> Result<EventStatus, AnyError> {
        self.0.status()
    }

    fn query(&self) -> Result<bool, AnyError> {
        self.0.query()
    }

    fn synchronize(&self) -> Result<(), AnyError> {
        self.0.synchronize()
    }

    /// As [`Event::elapsed_since`]. Events of two backends are told apart before their devices are
    /// compared.
    fn elapsed_since(&self, start: &Self) -> Result<f32, AnyError> {
        self.0.elapsed_since(start.as_dyn())
    }

    fn elapsed_unchecked(&self, start: &Self) -> Result<f32, AnyError> {
        self.0.elapsed_since(start.as_dyn())
    }
}
