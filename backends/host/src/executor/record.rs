//! A position in a stream, which events hold and waits bind to: [`Record`].

use std::sync::OnceLock;
use std::time::Instant;

use super::fault::Fault;
use super::local::Local;
use super::progress::Waiter;
use super::queue::{Queue, WaitError};
use crate::sync::Arc;

/// The time at which a stream reached a timed record.
#[derive(Default)]
pub(crate) struct Timestamp(OnceLock<Instant>);

impl Timestamp {
    /// Sets the timestamp to the current time.
    pub(crate) fn set(&self) {
        // A timestamp is submitted to one queue, once, so it is still unset here.
        let _ = self.0.set(Instant::now());
    }

    /// Returns the time. Returns `None` before the stream has reached the record.
    pub(crate) fn get(&self) -> Option<Instant> {
        self.0.get().copied()
    }
}

/// The position after item `number` of `queue`.
#[derive(Clone)]
pub(crate) struct Record {
    queue: Arc<Queue>,
    number: u64,
    timestamp: Option<Arc<Timestamp>>,
}

impl Record {
    /// Creates a record. It is timed if `timestamp` was submitted as item `number`.
    pub(crate) fn new(queue: Arc<Queue>, number: u64, timestamp: Option<Arc<Timestamp>>) -> Self {
        Record { queue, number, timestamp }
    }

    /// Returns the queue that was recorded.
    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Returns `true` if the queue has completed the record's item. Fails if it never will.
    pub(crate) fn is_complete(&self) -> Result<bool, Fault> {
        self.queue.progress.check(self.number)
    }

    /// Runs the queue up to this record on the calling thread, if the queue is ready.
    ///
    /// Returns `false` if nothing ran. That includes a complete record: a caller that repeats the
    /// call would otherwise spin.
    pub(super) fn run(&self, local: &mut Local<'_>, nested: u32) -> bool {
        !matches!(self.is_complete(), Ok(true))
            && self.queue.run_nested(local, Some(self.number), nested)
    }

    /// Registers `waiter` to be woken when the record is complete. Returns `false` if it already
    /// is; the waiter is not woken then.
    pub(crate) fn watch(&self, waiter: Waiter) -> bool {
        self.queue.progress.watch(self.number, waiter)
    }

    /// Blocks until the record is complete. Errors as [`Queue::wait_for`].
    pub(crate) fn wait(&self, help: bool) -> Result<(), WaitError> {
        self.queue.wait_for(self.number, help)
    }

    /// Returns the time at which the stream reached the record. Returns `None` before that, and for
    /// a record without timing.
    pub(crate) fn reached_at(&self) -> Option<Instant> {
        self.timestamp.as_ref()?.get()
    }
}
