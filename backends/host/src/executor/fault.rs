//! Why a stream will not go on.

use std::fmt;
use std::sync::Arc;

/// The ids of streams that are created begin here, and are their handles too; below are the default
/// streams, by device. So 0, 1 and 2 keep their meaning, and small numbers look like the mistakes
/// they are.
pub(crate) const FIRST_HANDLE: u64 = 0x1000;

/// The panic that ended a stream. Cheap to clone: every later call on the stream hands it out.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// The id of the stream whose task panicked, which need not be the stream that reports it.
    origin: u64,
    message: Arc<str>,
}

impl Fault {
    /// A task of the stream `origin` panicked with `message`.
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
