//! Events that the backend did not make: [`ForeignEvent`].

use std::fmt;
use std::sync::Arc;

use gpu_stream::{Device, EventOptions, EventOwner, Stream};
use gpu_stream_conformance::Fixture;

use crate::place::at_caller;
use crate::{TestBackend, TestResult, Verdict};

/// An event that the driver's own calls made, record and query, as another library does:
/// [`Kit::foreign_event`](crate::Kit::foreign_event). Its drop destroys it.
///
/// [`Backend::event_from_owner`](gpu_stream::Backend::event_from_owner) wraps it.
pub struct ForeignEvent<B: TestBackend> {
    raw: B::RawEvent,
    device: Device,
    options: EventOptions,
    fixture: Arc<B::Fixture>,
}

impl<B: TestBackend> ForeignEvent<B> {
    pub(crate) fn new(
        fixture: &Arc<B::Fixture>,
        device: Device,
        options: EventOptions,
    ) -> Result<Arc<Self>, Verdict> {
        let raw = fixture.create_event(device, options)?;
        Ok(Arc::new(ForeignEvent { raw, device, options, fixture: Arc::clone(fixture) }))
    }

    /// Records the event on `stream` with the driver's own call. Does not block.
    ///
    /// # Errors
    /// The driver's error.
    #[track_caller]
    pub fn record<S: Stream<Backend = B>>(&self, stream: &S) -> TestResult {
        at_caller(|| self.fixture.record_bare(stream, self.raw))
    }

    /// Returns `true` if the event is complete, by the driver's own call.
    ///
    /// # Errors
    /// The driver's error.
    pub fn query(&self) -> Result<bool, Verdict> {
        self.fixture.query_bare(self.raw)
    }
}

impl<B: TestBackend> Drop for ForeignEvent<B> {
    fn drop(&mut self) {
        // Fails only if the library under test has destroyed the event.
        let _ = self.fixture.destroy_event(self.raw);
    }
}

// SAFETY: the driver made the event, and only the drop of the value destroys it.
unsafe impl<B: TestBackend> EventOwner<B> for ForeignEvent<B> {
    fn raw_event(&self) -> B::RawEvent {
        self.raw
    }

    fn device(&self) -> Option<Device> {
        Some(self.device)
    }

    fn options(&self) -> Option<EventOptions> {
        Some(self.options)
    }
}

impl<B: TestBackend> fmt::Debug for ForeignEvent<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ForeignEvent").field(&self.raw).finish()
    }
}
