//! Handles that all threads share: [`SharedHandles`].

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gpu_stream_conformance::fixture::{BackendOf, EventOf, RawStreamOf, StreamOf};
use gpu_stream_conformance::{Fixture, Verdict};
use gpu_stream_core::{
    Backend, Device, Error, ErrorKind, EventOptions, StreamOptions, StreamOwner,
};

use crate::counters::Counters;
use crate::run::Plan;

/// Number of events that all threads record and wait for.
const EVENTS: usize = 4;

/// Streams, events and counters that all threads share.
pub(crate) struct SharedHandles<F: Fixture> {
    pub(crate) fixture: F,
    pub(crate) device: Device,
    pub(crate) default: StreamOf<F>,
    /// Two streams of the backend, and one foreign stream.
    pub(crate) streams: Vec<StreamOf<F>>,
    pub(crate) events: Vec<EventOf<F>>,
    pub(crate) counters: Arc<Counters>,
    #[cfg(feature = "seeded-bugs")]
    pub(crate) seeded_bug: Option<crate::seeded_bug::SeededBug>,
}

impl<F: Fixture> SharedHandles<F> {
    #[cfg_attr(not(feature = "seeded-bugs"), allow(unused_variables, reason = "the seeded bug"))]
    pub(crate) fn new(fixture: F, plan: &Plan) -> Result<Self, Verdict> {
        let devices = fixture.devices()?;
        let device = *devices.first().ok_or_else(|| Verdict::failed("there is no device"))?;
        let counters = Arc::new(Counters::default());
        let new = || BackendOf::<F>::new_stream(device, StreamOptions::new());
        let streams = vec![new()?, new()?, wrap_foreign(&fixture, device, &counters)?];
        let event = || BackendOf::<F>::new_event(device, EventOptions::new());
        let events = std::iter::repeat_with(event).take(EVENTS).collect::<Result<Vec<_>, _>>()?;
        counters.events.fetch_add(EVENTS as u64, Ordering::Relaxed);
        Ok(SharedHandles {
            // An ordinary stream takes the place of a default stream that the engine does not have.
            default: match BackendOf::<F>::default_stream(device) {
                Err(error) if error.kind() == ErrorKind::Unsupported => new()?,
                default => default?,
            },
            fixture,
            device,
            streams,
            events,
            counters,
            #[cfg(feature = "seeded-bugs")]
            seeded_bug: plan.seeded_bug,
        })
    }
}

/// Creates a foreign stream, and wraps it with its owner.
pub(crate) fn wrap_foreign<F: Fixture>(
    fixture: &F,
    device: Device,
    counters: &Arc<Counters>,
) -> Result<StreamOf<F>, Verdict> {
    let stream = fixture.foreign(device, StreamOptions::new())?;
    counters.owners.fetch_add(1, Ordering::Relaxed);
    let owner = Arc::new(Owner::<F> { counters: Arc::clone(counters), stream });
    Ok(BackendOf::<F>::stream_from_owner(owner, None)?)
}

/// Owner of a foreign stream that counts its own drop.
struct Owner<F: Fixture> {
    counters: Arc<Counters>,
    stream: F::Foreign,
}

impl<F: Fixture> Drop for Owner<F> {
    fn drop(&mut self) {
        self.counters.owners_dropped.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: `raw_stream` returns the handle of `self.stream`, which lives as long as `self`.
unsafe impl<F: Fixture> StreamOwner<BackendOf<F>> for Owner<F> {
    fn raw_stream(&self) -> RawStreamOf<F> {
        self.stream.raw_stream()
    }
}
