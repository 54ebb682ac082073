//! Why a stream will not go on.

use std::fmt;
use std::sync::Arc;

/// The panic that ended a stream. Cheap to clone: every later call on the stream hands it out.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// The handle of the stream whose task panicked, which need not be the stream that reports it.
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
        write!(f, "a task of stream {:#x} panicked: {}", self.origin, self.message)
    }
}
