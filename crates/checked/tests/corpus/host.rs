//! The host reads, writes or frees memory that a stream still uses.

use gpu_stream_core::{Access, Backend, Stream};

use super::support::{Outcome, device, memory, stream};

/// The host reads the result of an asynchronous copy without a wait.
///
/// Mended: it synchronizes first.
pub fn result_read_too_early<B: Backend>(mended: bool) -> Outcome<B> {
    let work = stream::<B>()?;
    let probabilities = memory("probabilities");
    work.writes(&probabilities); // first
    if mended {
        work.synchronize()?;
    }
    B::host_access(Access::Read, &probabilities); // second
    Ok(())
}

/// The inputs of the next step are written to the arrays that the copies of this step read.
///
/// Mended: each copy has a source of its own.
pub fn inputs_of_the_next_step<B: Backend>(mended: bool) -> Outcome<B> {
    let copy = stream::<B>()?;
    let mut inputs = memory("inputs");
    for _ in 0..2 {
        B::host_access(Access::Write, &inputs); // second
        copy.reads(&inputs); // first
        if mended {
            inputs = memory("inputs of the next step");
        }
    }
    Ok(())
}

/// Pinned memory that was made for one copy is freed when the function returns, and the copy is pending.
///
/// Mended: the function synchronizes before it returns.
pub fn temporary_of_a_pending_copy<B: Backend>(mended: bool) -> Outcome<B> {
    let copy = stream::<B>()?;
    let pinned = memory("pinned");
    B::host_access(Access::Write, &pinned);
    copy.reads(&pinned); // first
    if mended {
        copy.synchronize()?;
    }
    B::host_access(Access::Release, &pinned); // second
    Ok(())
}

/// The host synchronizes the default stream and reads what a kernel on another stream writes.
///
/// Mended: it synchronizes the stream of the kernel.
pub fn other_stream_synchronized<B: Backend>(mended: bool) -> Outcome<B> {
    let active = stream::<B>()?;
    let default = B::default_stream(device::<B>()?)?;
    let stride = memory("stride");
    active.writes(&stride); // first
    if mended {
        active.synchronize()?
    } else {
        default.synchronize()?
    }
    B::host_access(Access::Read, &stride); // second
    Ok(())
}

/// A batch goes back to the prefetch thread's queue while a copy from it is pending. That thread's stream fills it again.
///
/// Mended: the stream of the copy is synchronized before.
pub fn batch_given_back_too_early<B: Backend>(mended: bool) -> Outcome<B> {
    let layer = B::default_stream(device::<B>()?)?;
    let prefetch = stream::<B>()?;
    let batch = memory("batch");
    layer.reads(&batch); // first
    if mended {
        layer.synchronize()?;
    }
    prefetch.writes(&batch); // second
    prefetch.synchronize()
}
