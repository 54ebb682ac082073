//! Streams that have failed, or are gone.

use std::panic::resume_unwind;

use gpu_stream_core::{Backend, Stream};

use super::support::{Outcome, stream};

/// A program that retries goes on submitting to a stream that has reported a fault. All of that work is lost.
///
/// Mended: it stops.
pub fn work_behind_a_fault<B: Backend>(mended: bool) -> Outcome<B> {
    let work = stream::<B>()?;
    work.launch_host_func(Box::new(|| resume_unwind(Box::new("the work fails"))))?;
    let outcome = work.synchronize(); // first
    if !mended && outcome.is_err() {
        let _launched_on = work.raw(); // second
    }
    Ok(())
}

/// An allocator keeps a foreign stream, to record an event on its handle when the memory is freed. The stream is destroyed
/// by then.
///
/// Mended: the event is recorded when the stream is given to the allocator.
pub fn allocator_keeps_a_dead_stream<B: Backend>(mended: bool) -> Outcome<B> {
    let theirs = stream::<B>()?;
    // SAFETY: the stream is alive. In the form that is wrong, it is destroyed before the wrapper is dropped. The only call
    // after that is `raw`, which asks no driver.
    let kept = unsafe { B::stream_from_raw(theirs.raw(), None)? };
    if mended {
        drop(kept.record_event()?);
        drop(kept);
        drop(theirs);
    } else {
        drop(theirs);
        let _recorded_on = kept.raw(); // second
    }
    Ok(())
}
