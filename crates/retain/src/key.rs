//! Names of streams and of sets of streams: [`Key`], [`hash_of`].

use std::any::TypeId;
use std::thread::{self, ThreadId};

use gpu_stream_core::{Device, RawHandle, Stream};

/// The name of a stream. Equal for two wrappers of one stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    bits: usize,
    pub(crate) device: Device,
    /// The thread that records the marks, if no other may.
    thread: Option<ThreadId>,
    /// The backend of the stream itself. Backends of one kind can have equal devices and handles.
    backend: TypeId,
}

impl Key {
    /// Returns the name of `stream` and, if the entry cannot keep the stream, of the calling thread.
    pub(crate) fn of<S: Stream>(stream: &S, is_kept: bool) -> Self {
        let thread = (!is_kept).then(|| thread::current().id());
        let (backend, device) = (stream.backend_type(), stream.device());
        Key { bits: stream.raw_to_compare().to_bits(), device, thread, backend }
    }
}

/// Returns a hash of a set of streams. Depends neither on their order nor on repetitions.
///
/// Threads are left out: sets of one per-thread handle have one hash.
pub(crate) fn hash_of<S: Stream>(streams: &[&S]) -> u64 {
    // Fibonacci hashing: handles are multiples of large powers of two. The high bits depend on all bits.
    let spread = |stream: &&S| {
        let name = stream.raw_to_compare().to_bits() as u64 ^ u64::from(stream.device().ordinal());
        name.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    };
    // Both are the same for every order of the streams. One of them alone would be the same for many sets with a
    // stream in common.
    let (least, greatest) = streams
        .iter()
        .map(spread)
        .fold((u64::MAX, 0), |(least, greatest), hash| (least.min(hash), greatest.max(hash)));
    greatest.rotate_left(32) ^ least
}
