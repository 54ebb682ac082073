//! Events of a device that nobody uses at the moment.
//!
//! Making an event is what a wait for a stream would cost most, and a wait binds to the record made
//! before it, so that an event can go back as soon as its waits are enqueued. Not here: events that
//! were recorded in a capture, whose handle somebody has, or that have options.
//!
//! An event in a pool may still point to the stream of its last record, which may be gone. HIP does
//! not follow that pointer when the event is recorded or destroyed, and nothing else is done with it
//! before it is recorded anew.

use std::sync::OnceLock;

use gpu_stream_core::{EventOptions, RawEvent};
use gpu_stream_driver_common::{Pool, RecordCoalescer, thread_number};

use crate::driver::Driver;
use crate::owned_event::EventRef;
use crate::{Hip, HipError, event, owned_event};

/// For events that people see.
#[derive(Default)]
pub(crate) struct Events(Pool);

impl Events {
    /// Takes one that may have an old record, to be replaced before the event is asked or waited for.
    #[inline]
    pub(crate) fn take(&self) -> Option<EventRef> {
        let event = self.0.take(thread_number())?;
        // SAFETY: `give` made the number, and the pool returns it once.
        Some(unsafe { EventRef::from_bits(event) })
    }

    /// Takes the event back. Returns it if there is no room.
    #[inline]
    pub(crate) fn give(&self, event: EventRef) -> Result<(), EventRef> {
        let refused = self.0.give(event.into_bits(), thread_number());
        // SAFETY: `into_bits` made the number, and the pool has not taken it.
        refused.map_err(|event| unsafe { EventRef::from_bits(event) })
    }
}

/// For records that nobody sees but who waits for them at once.
#[derive(Default)]
pub(crate) struct ScratchEvents {
    pool: Pool,
    /// The streams that somebody waits for at the moment; made for the first.
    coalescer: OnceLock<RecordCoalescer>,
}

impl ScratchEvents {
    #[inline]
    pub(crate) fn coalescer(&self) -> &RecordCoalescer {
        self.coalescer.get_or_init(RecordCoalescer::new)
    }

    /// An event of the device `ordinal`, whose these are, that is to be recorded, waited for and
    /// given back.
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

    #[inline]
    pub(crate) fn give(&self, driver: &'static Driver, event: RawEvent<Hip>) {
        if let Err(event) = self.pool.give(event.to_bits(), thread_number()) {
            owned_event::destroy_soon(driver, RawEvent::from_bits(event));
        }
    }
}
