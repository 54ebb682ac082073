//! The reason why a stream cannot continue: [`Fault`].

use std::fmt;
use std::sync::Arc;

/// The first id of a created stream, which is also its handle.
///
/// Lower ids are those of the default streams, by device. The handles 0, 1 and 2 thus keep their
/// meaning, and a small number that was passed by mistake is never a valid handle.
pub(crate) const FIRST_HANDLE: u64 = 0x1000;

/// The panic that ended a stream. Every later call on the stream returns it, so a clone is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// The id of the stream whose task panicked. It can differ from the stream that reports it.
    origin: u64,
    message: Arc<str>,
}

impl Fault {
    /// Creates the fault of a task of stream `origin` that panicked with `message`.
    pub(crate) fn new(origin: u64, message: &str) -> Self {
        Fault { origin, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (origin, message) = (self.origin, &self.message);
        if origin < FIRST_HANDLE {
            return write!(f, "a task of the default stream of host:{origin} panicked: {message}");
        }
        write!(f, "a task of stream {origin:#x} panicked: {message}")
    }
}
