//! The call that makes a future: [`DoneExt`].

use gpu_stream_core::{ErrorOf, Stream};

use crate::Done;
use crate::waiting::StreamKey;

/// Streams that can be awaited. Implemented for every [`Stream`].
pub trait DoneExt: Stream {
    /// Returns a future that resolves when all work submitted to this stream so far is done. Does not block.
    ///
    /// The future is a snapshot, as a record is: it does not wait for work that is submitted after this call. If the
    /// stream is idle, the future is ready at once, and this call makes no record. Otherwise it records a pooled event, on
    /// the calling thread. Nothing else is submitted: no callback runs on the stream.
    ///
    /// ```
    /// # use gpu_stream_core::{ErrorOf, Stream};
    /// use gpu_stream_async::DoneExt;
    ///
    /// async fn finish<S: Stream>(stream: &S) -> Result<(), ErrorOf<S>> {
    ///     // … launch on `stream` …
    ///     stream.done()?.await
    /// }
    /// ```
    ///
    /// torch has no counterpart.
    ///
    /// # Errors
    /// As [`Stream::query`] and [`Stream::record_event`]. In particular:
    ///
    /// - [`Capturing`](gpu_stream_core::ErrorKind::Capturing) if the stream is being captured. The capture goes on.
    /// - [`StreamFault`](gpu_stream_core::ErrorKind::StreamFault) if earlier work failed.
    #[doc(alias("cuLaunchHostFunc", "cudaLaunchHostFunc", "hipLaunchHostFunc", "await"))]
    fn done(&self) -> Result<Done<Self::Backend>, ErrorOf<Self>> {
        if self.query()? {
            return Ok(Done::idle());
        }
        let event = self.record_event()?;
        Ok(Done::recorded(event, StreamKey::of(self)))
    }
}

impl<S: Stream> DoneExt for S {}
