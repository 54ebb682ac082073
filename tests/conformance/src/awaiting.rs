//! The future under test, as the cases use it: [`BoxedDone`].

use std::future::Future;
use std::pin::Pin;

use gpu_stream_async::DoneExt;
use gpu_stream_core::{Backend, ErrorOf, Stream};

/// A future of a stream's work.
pub type BoxedDone<B> = Pin<Box<dyn Future<Output = Result<(), <B as Backend>::Error>> + Send>>;

/// Returns the future of [`DoneExt::done`].
///
/// # Errors
/// As [`DoneExt::done`].
pub fn done<S: Stream>(stream: &S) -> Result<BoxedDone<S::Backend>, ErrorOf<S>> {
    Ok(Box::pin(stream.done()?))
}
