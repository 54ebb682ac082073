//! The default stream and blocking streams, where the backend has them.

use gpu_stream_checked::FindingKind;
use gpu_stream_core::{Backend, Stream, StreamOptions};

use super::support::{Outcome, device, memory};
use super::{Bug, Missing, Right};

/// Returns the bugs with blocking streams.
pub fn bugs<B: Backend>() -> [Bug<B>; 1] {
    [Bug {
        name: "two_blocking_streams",
        source: "https://docs.nvidia.com/cuda/cuda-runtime-api/stream-sync-behavior.html",
        kind: FindingKind::WriteAfterWrite,
        missing: Missing::Wait("two", "one"),
        program: two_blocking_streams::<B>,
    }]
}

/// Returns the right programs with blocking streams.
pub fn right<B: Backend>() -> [Right<B>; 1] {
    [("copy_and_blocking_stream", copy_and_blocking_stream::<B>)]
}

/// The program of `copy_on_the_default_stream` with a blocking stream is right: the vendor orders the two.
fn copy_and_blocking_stream<B: Backend>() -> Outcome<B> {
    let queue = B::new_stream(device::<B>()?, StreamOptions::new().blocking(true))?;
    let copy = B::default_stream(device::<B>()?)?;
    let data = memory("data");
    copy.writes(&data);
    queue.writes(&data);
    copy.reads(&data);
    copy.synchronize()
}

/// Two blocking streams have no order between them.
///
/// Mended: work of the default stream between the two.
pub fn two_blocking_streams<B: Backend>(mended: bool) -> Outcome<B> {
    let one = B::new_stream(device::<B>()?, StreamOptions::new().blocking(true))?;
    let two = B::new_stream(device::<B>()?, StreamOptions::new().blocking(true))?;
    let default = B::default_stream(device::<B>()?)?;
    let data = memory("data");
    one.writes(&data); // first
    if mended {
        default.reads(&data);
    }
    two.writes(&data); // second
    default.synchronize()
}
