//! The call that makes a future: [`DoneExt`].

use gpu_stream_core::{CaptureStatus, Error as _, ErrorKind, ErrorOf, KnownWork, Stream};

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
    /// - [`Capturing`](gpu_stream_core::ErrorKind::Capturing) if the stream is being captured, or if another thread begins a
    ///   capture during the call. The capture goes on.
    /// - [`StreamFault`](gpu_stream_core::ErrorKind::StreamFault) if earlier work failed.
    #[doc(alias("cuLaunchHostFunc", "cudaLaunchHostFunc", "hipLaunchHostFunc", "await"))]
    #[track_caller] // The reports of `gpu_stream_checked` then have the place of this call.
    fn done(&self) -> Result<Done<Self::Backend>, ErrorOf<Self>> {
        // A further round means that a capture has ended since `is_captured` saw it.
        loop {
            // Refuses a captured stream.
            let mut known = KnownWork::new();
            if self.query_into(&mut known)? {
                return Ok(Done::idle(known));
            }
            let event = self.record_event()?;
            // A capture that another thread began since the query has the record, which then stands for no work.
            if !is_captured(self)? {
                return Ok(Done::recorded(event, StreamKey::of(self)));
            }
        }
    }
}

impl<S: Stream> DoneExt for S {}

/// Returns `true` if the stream is being captured. Returns `false` if the backend has no captures or cannot tell.
fn is_captured<S: Stream>(stream: &S) -> Result<bool, ErrorOf<S>> {
    match stream.capture_status() {
        Ok(status) => Ok(status != CaptureStatus::None),
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(false),
        Err(error) => Err(error),
    }
}
