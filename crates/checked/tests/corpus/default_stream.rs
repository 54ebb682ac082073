//! Work that is thought to be ordered with the default stream.

use gpu_stream_core::{Backend, Stream};

use super::support::{Outcome, device, memory, stream};

/// A plain copy runs on the default stream, with which a non-blocking stream has no order.
///
/// Mended: the copy is submitted to the queue's own stream.
pub fn copy_on_the_default_stream<B: Backend>(mended: bool) -> Outcome<B> {
    let queue = stream::<B>()?;
    let copy = if mended { queue.clone() } else { B::default_stream(device::<B>()?)? };
    let input = memory("input");
    copy.writes(&input); // first
    queue.reads(&input); // second
    Ok(())
}

/// A workspace is cleared on the default stream, for a kernel on the stream that the caller has given.
///
/// Mended: it is cleared on the caller's stream.
pub fn workspace_cleared_elsewhere<B: Backend>(mended: bool) -> Outcome<B> {
    let kernel = stream::<B>()?;
    let clear = if mended { kernel.clone() } else { B::default_stream(device::<B>()?)? };
    let workspace = memory("workspace");
    clear.writes(&workspace); // first
    kernel.writes(&workspace); // second
    Ok(())
}

/// A session computes on a stream of its own, and does not wait for the kernels that make its input.
///
/// Mended: it waits for its caller's stream.
pub fn session_on_its_own_stream<B: Backend>(mended: bool) -> Outcome<B> {
    let caller = B::default_stream(device::<B>()?)?;
    let session = stream::<B>()?;
    let (input, output) = (memory("input"), memory("output"));
    caller.writes(&input); // first
    if mended {
        session.wait_stream(&caller)?;
    }
    session.reads(&input); // second
    session.writes(&output);
    caller.wait_stream(&session)?;
    caller.reads(&output);
    Ok(())
}
