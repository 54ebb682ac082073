//! An event with a check: [`CheckedEvent`].

use std::fmt;

use gpu_stream_core::{
    Backend, Device, Event, EventOptions, EventStatus, KnownWork, PlainHandles, RawEvent, RawHandle,
};

use crate::Checked;
use crate::engine::{Engine, EventState};
use crate::place::{Place, caller};

/// An event of [`Checked<B>`](Checked): an event of `B`, and what is known of its last record.
pub struct CheckedEvent<B: Backend> {
    inner: B::Event,
    state: EventState,
}

impl<B: Backend> CheckedEvent<B> {
    /// Wraps an event that was just created, and has no record.
    pub(crate) fn created(engine: &'static Engine, inner: B::Event) -> Self {
        CheckedEvent { inner, state: EventState::new(engine, false) }
    }

    /// Wraps an event that other code may record.
    pub(crate) fn foreign(engine: &'static Engine, inner: B::Event) -> Self {
        CheckedEvent { inner, state: EventState::new(engine, true) }
    }

    /// Returns the event inside, for the calls that only the backend has. Does not block.
    ///
    /// Records that are made with the result are not seen. So from then on a wait for this event orders all earlier work.
    pub fn inner(&self) -> &B::Event {
        self.engine().escaped(&self.state);
        &self.inner
    }

    /// Returns the event inside, for calls of this crate that the engine is told of.
    pub(crate) fn known(&self) -> &B::Event {
        &self.inner
    }

    /// Returns what the engine knows of the event.
    pub(crate) fn state(&self) -> &EventState {
        &self.state
    }

    fn engine(&self) -> &'static Engine {
        self.state.engine()
    }

    /// Calls `elapsed`. Its success means that both events are complete.
    fn complete_both<T, E>(
        &self,
        start: &Self,
        place: Place,
        elapsed: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let marks = [start, self].map(|event| self.engine().mark_event(&event.state));
        let milliseconds = elapsed()?;
        for (mark, event) in marks.into_iter().zip([start, self]) {
            self.engine().event_completed(mark, &event.state, place);
        }
        Ok(milliseconds)
    }
}

// SAFETY: every method calls its namesake of the event inside, which upholds the contract, and returns its result.
//
// The lint makes a method that is added to `Event` an error here until it is forwarded.
#[deny(clippy::missing_trait_methods)]
unsafe impl<B: PlainHandles> Event for CheckedEvent<B> {
    type Backend = Checked<B>;

    fn raw(&self) -> RawEvent<Checked<B>> {
        RawEvent::from_bits(RawHandle::to_bits(self.inner().raw()))
    }

    fn device(&self) -> Device {
        self.inner.device()
    }

    fn options(&self) -> EventOptions {
        self.inner.options()
    }

    fn is_foreign(&self) -> bool {
        self.inner.is_foreign()
    }

    #[track_caller]
    fn status(&self) -> Result<EventStatus, B::Error> {
        let place = caller();
        let mark = self.engine().mark_event(&self.state);
        let status = self.inner.status()?;
        if status == EventStatus::Complete {
            self.engine().event_completed(mark, &self.state, place);
        }
        Ok(status)
    }

    #[track_caller]
    fn status_into(&self, known: &mut KnownWork) -> Result<EventStatus, B::Error> {
        let mark = self.engine().mark_event(&self.state);
        let status = self.inner.status_into(known)?;
        if status == EventStatus::Complete {
            self.engine().event_answered(mark, &self.state, known);
        }
        Ok(status)
    }

    #[track_caller]
    fn query(&self) -> Result<bool, B::Error> {
        let place = caller();
        let mark = self.engine().mark_event(&self.state);
        let is_done = self.inner.query()?;
        if is_done {
            self.engine().event_completed(mark, &self.state, place);
        }
        Ok(is_done)
    }

    #[track_caller]
    fn synchronize(&self) -> Result<(), B::Error> {
        let place = caller();
        let mark = self.engine().mark_event(&self.state);
        self.inner.synchronize()?;
        self.engine().event_completed(mark, &self.state, place);
        Ok(())
    }

    #[track_caller]
    fn elapsed_since(&self, start: &Self) -> Result<f32, B::Error> {
        self.complete_both(start, caller(), || self.inner.elapsed_since(&start.inner))
    }

    #[track_caller]
    fn elapsed_unchecked(&self, start: &Self) -> Result<f32, B::Error> {
        self.complete_both(start, caller(), || self.inner.elapsed_unchecked(&start.inner))
    }
}

impl<B: Backend> fmt::Debug for CheckedEvent<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CheckedEvent").field(&self.inner).finish()
    }
}
