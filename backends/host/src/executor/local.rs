//! The state of one thread that runs queues: [`Local`].

use super::pool::Pool;
use super::queue::Queue;
use crate::sync::{Arc, spin_loop};

/// The number of items that a thread may run before other queues get their turn.
pub(super) const RUN_BUDGET: u32 = 256;

/// The number of spins before a worker checks a queue again that it has emptied.
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
const RECHECK_SPINS: u32 = 64;
#[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
const RECHECK_SPINS: u32 = 0;

/// The LIFO slot of a thread (as in Tokio's scheduler), its budget, and its claim to be searching.
///
/// A queue that this thread has resumed stays in the slot. The thread runs it as soon as its
/// current queue stops, so two streams that alternate stay on one core.
pub(crate) struct Local<'p> {
    pool: &'p Pool,
    lifo_slot: Option<Arc<Queue>>,
    /// `true` if this thread became the searching worker ahead of time.
    searching: bool,
    /// The number of items left, over all queues that the thread runs nested or resumes.
    budget: u32,
}

impl<'p> Local<'p> {
    /// Creates the state of a thread with an empty slot and a full budget.
    pub(crate) fn new(pool: &'p Pool) -> Self {
        Local { pool, lifo_slot: None, searching: false, budget: RUN_BUDGET }
    }

    /// Refills the budget.
    pub(super) fn reset_budget(&mut self) {
        self.budget = RUN_BUDGET;
    }

    /// Returns `true` if the budget is used up.
    #[inline]
    pub(crate) fn is_budget_spent(&self) -> bool {
        self.budget == 0
    }

    /// Takes one item from the budget. Refills a budget that is used up: no other queue was ready.
    #[inline]
    pub(crate) fn count_item(&mut self) {
        self.budget = self.budget.checked_sub(1).unwrap_or(RUN_BUDGET);
    }

    /// Puts a resumed queue into the slot. Pushes the queue that it replaces to the pool.
    pub(crate) fn set_lifo_slot(&mut self, queue: Arc<Queue>) {
        if let Some(other) = self.lifo_slot.replace(queue) {
            self.pool.push(&other);
        }
    }

    /// Takes the queue out of the slot.
    pub(super) fn take_lifo(&mut self) -> Option<Arc<Queue>> {
        self.lifo_slot.take()
    }

    /// Takes the queue out of the slot if it is `queue`.
    pub(crate) fn take_lifo_if(&mut self, queue: &Arc<Queue>) -> Option<Arc<Queue>> {
        self.lifo_slot.take_if(|slot| Arc::ptr_eq(slot, queue))
    }

    /// Spins briefly if no other queue is ready, so that producers can append a batch before the
    /// runner touches the shared tail again.
    pub(crate) fn spin_before_recheck(&self) {
        for _ in 0..RECHECK_SPINS {
            if self.lifo_slot.is_some() || self.pool.has_ready() {
                return;
            }
            spin_loop();
        }
    }

    /// Starts searching before it releases an emptied queue, so that a submission right after it
    /// need not wake a parked worker. Does nothing if another worker is searching.
    pub(crate) fn start_searching_early(&mut self) {
        self.searching =
            self.searching || (self.lifo_slot.is_none() && self.pool.start_searching());
    }

    /// Takes the claim to be searching.
    pub(super) fn take_searching(&mut self) -> bool {
        std::mem::take(&mut self.searching)
    }

    /// Stops searching, and pushes the queue in the slot to the pool.
    #[inline]
    pub(crate) fn flush(&mut self) {
        if self.searching || self.lifo_slot.is_some() {
            self.flush_slow();
        }
    }

    #[cold]
    fn flush_slow(&mut self) {
        if self.take_searching() {
            self.pool.stop_searching();
        }
        if let Some(queue) = self.lifo_slot.take() {
            self.pool.push(&queue);
        }
    }
}
