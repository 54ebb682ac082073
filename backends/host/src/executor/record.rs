//! A place in a stream: what an event holds and a wait binds to.

use std::sync::OnceLock;
use std::time::Instant;

use super::fault::Fault;
use super::pool::Local;
use super::progress::Waiter;
use super::queue::{NoWait, Queue};
use crate::sync::Arc;

/// The moment at which a stream came to a timed record.
#[derive(Default)]
pub(crate) struct Timestamp(OnceLock<Instant>);

impl Timestamp {
    pub(crate) fn set(&self) {
        // A stamp lies in one queue, once, so nobody has set it before.
        let _ = self.0.set(Instant::now());
    }

    pub(crate) fn get(&self) -> Option<Instant> {
        self.0.get().copied()
    }
}

/// The place behind item `number` of `queue`.
#[derive(Clone)]
pub(crate) struct Record {
    queue: Arc<Queue>,
    number: u64,
    stamp: Option<Arc<Timestamp>>,
}

impl Record {
    pub(crate) fn new(queue: Arc<Queue>, number: u64, stamp: Option<Arc<Timestamp>>) -> Self {
        Record { queue, number, stamp }
    }

    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    pub(crate) fn is_complete(&self) -> Result<bool, Fault> {
        self.queue.progress.check(self.number)
    }

    /// Runs the queue up to this place on the calling thread, if it is ready. Returns `false` if the
    /// place was passed before: there is nothing to run, and a caller that repeats this would spin.
    pub(super) fn run(&self, local: &mut Local<'_>, nested: u32) -> bool {
        !matches!(self.is_complete(), Ok(true))
            && self.queue.run_nested(local, Some(self.number), nested)
    }

    /// Has `waiter` told when the place is passed; `false` if it is already.
    pub(crate) fn watch(&self, waiter: Waiter) -> bool {
        self.queue.progress.watch(self.number, waiter)
    }

    /// Blocks until the place is passed.
    pub(crate) fn wait(&self, help: bool) -> Result<(), NoWait> {
        self.queue.wait_for(self.number, help)
    }

    /// When the place was passed, if that was recorded and has happened.
    pub(crate) fn passed_at(&self) -> Option<Instant> {
        self.stamp.as_ref()?.get()
    }
}
