//! What all threads share.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gpu_stream_conformance::fixture::{BackendOf, EventOf, RawStreamOf, StreamOf};
use gpu_stream_conformance::{Fixture, Verdict};
use gpu_stream_core::{Backend, Device, EventOptions, StreamOptions, StreamOwner};

use crate::run::Plan;
use crate::tally::Tally;

/// How many events all threads record and wait for.
const EVENTS: usize = 4;

pub(crate) struct World<F: Fixture> {
    pub(crate) fixture: F,
    pub(crate) device: Device,
    pub(crate) default: StreamOf<F>,
    /// Two of the backend's own, and one that somebody else made.
    pub(crate) streams: Vec<StreamOf<F>>,
    pub(crate) events: Vec<EventOf<F>>,
    pub(crate) tally: Arc<Tally>,
    #[cfg(feature = "plant")]
    pub(crate) plant: Option<crate::plant::Plant>,
}

impl<F: Fixture> World<F> {
    #[cfg_attr(not(feature = "plant"), allow(unused_variables, reason = "what to plant"))]
    pub(crate) fn new(fixture: F, plan: &Plan) -> Result<Self, Verdict> {
        let devices = fixture.devices()?;
        let device = *devices.first().ok_or_else(|| Verdict::failed("there is no device"))?;
        let tally = Arc::new(Tally::default());
        let new = || BackendOf::<F>::new_stream(device, StreamOptions::new());
        let streams = vec![new()?, new()?, foreign(&fixture, device, &tally)?];
        let event = || BackendOf::<F>::new_event(device, EventOptions::new());
        let events = std::iter::repeat_with(event).take(EVENTS).collect::<Result<Vec<_>, _>>()?;
        tally.events.fetch_add(EVENTS as u64, Ordering::Relaxed);
        Ok(World {
            default: BackendOf::<F>::default_stream(device)?,
            fixture,
            device,
            streams,
            events,
            tally,
            #[cfg(feature = "plant")]
            plant: plan.plant,
        })
    }
}

/// A foreign stream, wrapped with its owner.
pub(crate) fn foreign<F: Fixture>(
    fixture: &F,
    device: Device,
    tally: &Arc<Tally>,
) -> Result<StreamOf<F>, Verdict> {
    let stream = fixture.foreign(device, StreamOptions::new())?;
    tally.owners.fetch_add(1, Ordering::Relaxed);
    let owner = Arc::new(Owner::<F> { tally: Arc::clone(tally), stream });
    Ok(BackendOf::<F>::stream_from_owner(owner, None)?)
}

/// Owns a foreign stream, and counts its end.
struct Owner<F: Fixture> {
    tally: Arc<Tally>,
    stream: F::Foreign,
}

impl<F: Fixture> Drop for Owner<F> {
    fn drop(&mut self) {
        self.tally.owners_dropped.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: the stream is the foreign one's, which lives as long as this.
unsafe impl<F: Fixture> StreamOwner<BackendOf<F>> for Owner<F> {
    fn raw_stream(&self) -> RawStreamOf<F> {
        self.stream.raw_stream()
    }
}
