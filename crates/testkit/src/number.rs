//! Numbers that streams work on: [`Number`].

use std::fmt;
use std::sync::Arc;

use gpu_stream::{Device, Stream};
use gpu_stream_conformance::Fixture;

use crate::place::at_caller;
use crate::{TestBackend, TestResult, Verdict};

/// A `u32` that streams store and copy: [`Kit::number`](crate::Kit::number).
///
/// It proves order: a copy that ran too early holds the old value. On a GPU it is in memory that the host
/// and all devices can access, and the work is a kernel or a call of the driver. Its drop while work is
/// pending is allowed.
///
/// In a checked variant, stores and copies are declared accesses. [`get`](Self::get) is none: it may come at any time.
pub struct Number<B: TestBackend> {
    data: <B::Fixture as Fixture>::Data,
    fixture: Arc<B::Fixture>,
}

impl<B: TestBackend> Number<B> {
    pub(crate) fn new(
        fixture: &Arc<B::Fixture>,
        device: Device,
        value: u32,
    ) -> Result<Self, Verdict> {
        Ok(Number { data: fixture.data(device, value)?, fixture: Arc::clone(fixture) })
    }

    /// Returns the value at this moment. Waits for no stream and no gate.
    ///
    /// # Errors
    /// The driver's error.
    pub fn get(&self) -> Result<u32, Verdict> {
        self.fixture.load(&self.data)
    }

    /// Submits a store of `value` to `stream`. Does not block. In a capture use [`copy_to`](Self::copy_to):
    /// HIP does not capture the write of a value, and carries it out.
    ///
    /// # Errors
    /// The driver's error.
    #[track_caller]
    pub fn store<S: Stream<Backend = B>>(&self, stream: &S, value: u32) -> TestResult {
        at_caller(|| self.fixture.store(stream, &self.data, value))
    }

    /// Submits a copy of the value that this number has by then into `to`, to `stream`. Does not block.
    ///
    /// # Errors
    /// The driver's error.
    #[track_caller]
    pub fn copy_to<S: Stream<Backend = B>>(&self, stream: &S, to: &Self) -> TestResult {
        at_caller(|| self.fixture.copy(stream, &self.data, &to.data))
    }
}

impl<B: TestBackend> fmt::Debug for Number<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Number").field(&self.get().ok()).finish()
    }
}
