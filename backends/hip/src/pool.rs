//! Pools of unused events, one pair for each device: [`Events`] and [`ScratchEvents`].
//!
//! Creating an event would be the largest cost of a wait for a stream. A wait binds to the record before it, so an
//! event is free as soon as its waits are enqueued. Three kinds are not pooled: events that were recorded in a
//! capture, events whose handle is known outside of this crate, and events with options.
//!
//! A pooled event may still point to the stream of its last record, which may be destroyed. HIP does not follow that
//! pointer when the event is recorded or destroyed, and a pooled event is recorded before any other call.

use std::sync::OnceLock;

use gpu_stream_core::{EventOptions, RawEvent};
use gpu_stream_driver_common::{Pool, RecordCoalescer, thread_number};

use crate::driver::Driver;
use crate::owned_event::EventRef;
use crate::{Hip, HipError, event, owned_event};

/// The pool of events that [`HipEvent`](crate::HipEvent) uses.
#[derive(Default)]
pub(crate) struct Events(Pool);

impl Events {
    /// Takes an event. It may have an old record, so the caller records it before any other call.
    #[inline]
    pub(crate) fn take(&self) -> Option<EventRef> {
        let event = self.0.take(thread_number())?;
        // SAFETY: the number is from `into_bits`, called by `give`, and the pool returns it once.
        Some(unsafe { EventRef::from_bits(event) })
    }

    /// Returns an event to the pool.
    ///
    /// # Errors
    /// The event, if the pool is full.
    #[inline]
    pub(crate) fn give(&self, event: EventRef) -> Result<(), EventRef> {
        let refused = self.0.give(event.into_bits(), thread_number());
        // SAFETY: the number is from `into_bits`, and the pool did not take it.
        refused.map_err(|event| unsafe { EventRef::from_bits(event) })
    }
}

/// Scratch events: recorded and waited for inside one call.
#[derive(Default)]
pub(crate) struct ScratchEvents {
    pool: Pool,
    /// Coalesces concurrent records of one stream. Created for the first.
    coalescer: OnceLock<RecordCoalescer>,
}

impl ScratchEvents {
    /// Returns the coalescer of the device's streams.
    #[inline]
    pub(crate) fn coalescer(&self) -> &RecordCoalescer {
        self.coalescer.get_or_init(RecordCoalescer::new)
    }

    /// Takes a scratch event, or creates one on the device `ordinal`. The caller records it, waits for it and returns
    /// it.
    #[inline]
    pub(crate) fn take(
        &self,
        driver: &'static Driver,
        ordinal: u32,
        operation: &'static str,
    ) -> Result<RawEvent<Hip>, HipError> {
        match self.pool.take(thread_number()) {
            Some(event) => Ok(RawEvent::from_bits(event)),
            None => event::create(driver, ordinal, EventOptions::new(), operation),
        }
    }

    /// Returns a scratch event to the pool. Destroys it if the pool is full.
    #[inline]
    pub(crate) fn give(&self, driver: &'static Driver, event: RawEvent<Hip>) {
        if let Err(event) = self.pool.give(event.to_bits(), thread_number()) {
            owned_event::destroy_soon(driver, RawEvent::from_bits(event));
        }
    }
}
