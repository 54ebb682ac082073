//! Captures by the caller of a library: [`Capture`].

use std::fmt;
use std::sync::Arc;

use gpu_stream::Stream;
use gpu_stream_conformance::Fixture;

use crate::place::at_caller;
use crate::{CaptureMode, TestBackend, Verdict};

/// A capture of a stream: [`Kit::capture`](crate::Kit::capture). Its drop ends it.
#[must_use = "the drop ends the capture"]
pub struct Capture<B: TestBackend, S: Stream<Backend = B>> {
    stream: S,
    fixture: Arc<B::Fixture>,
    is_over: bool,
}

impl<B: TestBackend, S: Stream<Backend = B>> Capture<B, S> {
    pub(crate) fn begin(
        fixture: &Arc<B::Fixture>,
        stream: &S,
        mode: CaptureMode,
    ) -> Result<Self, Verdict>
    where
        S: Clone,
    {
        fixture.begin_capture(stream, mode)?;
        Ok(Capture { stream: stream.clone(), fixture: Arc::clone(fixture), is_over: false })
    }

    /// Returns `true` if the driver says that the capture lasts and is not broken.
    ///
    /// # Errors
    /// The driver's error.
    #[track_caller]
    pub fn is_alive(&self) -> Result<bool, Verdict> {
        at_caller(|| self.fixture.is_capturing(&self.stream))
    }

    /// Ends the capture. Returns the number of nodes of the graph, where the driver tells it.
    ///
    /// # Errors
    /// The driver's error: the capture was broken, or a stream that joined it was not joined back.
    #[track_caller]
    pub fn end(self) -> Result<Option<usize>, Verdict> {
        self.end_with(false)
    }

    /// Ends the capture, and launches its graph once on the stream. Does not wait for it. Returns the
    /// number of nodes of the graph, where the driver tells it.
    ///
    /// # Errors
    /// As [`end`](Self::end).
    #[track_caller]
    pub fn launch(self) -> Result<Option<usize>, Verdict> {
        self.end_with(true)
    }

    #[track_caller]
    fn end_with(mut self, launch: bool) -> Result<Option<usize>, Verdict> {
        self.is_over = true;
        at_caller(|| self.fixture.end_capture(&self.stream, launch))
    }
}

impl<B: TestBackend, S: Stream<Backend = B>> Drop for Capture<B, S> {
    fn drop(&mut self) {
        if !self.is_over {
            // A capture that cannot be ended is broken, and the test has no use for it.
            let _ = self.fixture.end_capture(&self.stream, false);
        }
    }
}

impl<B: TestBackend, S: Stream<Backend = B>> fmt::Debug for Capture<B, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("stream", &self.stream.raw()).finish_non_exhaustive()
    }
}
