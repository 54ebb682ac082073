//! Retention as a method of a stream: [`RetainUntilDone`].

use gpu_stream_core::{ErrorOf, Stream};

use crate::{Reclaimer, Refused};

/// The method [`retain_until_done`](Self::retain_until_done) of all streams.
pub trait RetainUntilDone: Stream {
    /// Keeps `value` until this stream has done all work that was submitted before this call. Does not block.
    ///
    /// The reclaimer [of the process](Reclaimer::process_wide) keeps it. Values are dropped by later retains of the
    /// stream, 64 at a time, and by `Reclaimer::process_wide().collect()`, on any thread of the program.
    ///
    /// ```
    /// use gpu_stream_core::{Backend, Stream};
    /// use gpu_stream_retain::{Reclaimer, Refused, RetainUntilDone};
    ///
    /// fn run<S: Stream>(caller: &S, staging: Vec<u8>) -> Result<(), Refused<Vec<u8>, gpu_stream_core::ErrorOf<S>>> {
    ///     // … submit a copy from `staging` to `caller.raw()` …
    ///     caller.retain_until_done(staging)
    /// }
    /// # let device = gpu_stream_host::Host::device(0)?;
    /// # let stream = gpu_stream_host::Host::default_stream(device)?;
    /// # run(&stream, vec![0; 64]).map_err(Refused::leak)?;
    /// # Reclaimer::<gpu_stream_host::Host>::process_wide().drain()?;
    /// # Ok::<(), gpu_stream_host::HostError>(())
    /// ```
    ///
    /// # Errors
    /// As [`Reclaimer::retain`]: the value comes back in the error.
    ///
    /// # Panics
    /// If the destructor of an earlier value panics, after all others have run. This value is retained then.
    #[doc(alias("record_stream", "keep_alive"))]
    #[track_caller]
    fn retain_until_done<T: Send + 'static>(
        &self,
        value: T,
    ) -> Result<(), Refused<T, ErrorOf<Self>>> {
        Reclaimer::process_wide().retain(value, &[self])
    }
}

impl<S: Stream> RetainUntilDone for S {}
