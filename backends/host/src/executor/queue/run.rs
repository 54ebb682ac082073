//! Runs the items of a queue.

use super::{MAX_NESTING, Queue, wake};
use crate::executor::fault::Fault;
use crate::executor::item::Control;
use crate::executor::local::Local;
use crate::executor::progress::Waiter;
use crate::executor::record::Record;
use crate::executor::run_state::Phase;
use crate::executor::task::{self, TaskGuard};
use crate::executor::task_queue::Reader;
use crate::sync::{Arc, lock};

/// The reason why a run ended.
enum RunOutcome {
    /// The queue is empty, and its state is `Idle`. `is_closed` if it accepts no more items.
    Idle { is_closed: bool },
    /// The queue is at a wait. It is among the waiters of the queue that it waits for.
    Suspended,
    /// A task panicked, or the queue waited for one with a fault.
    Failed(Fault),
    /// The budget is used up, or the run has passed its limit.
    Yielded,
}

impl Queue {
    /// Runs the queue on this thread if it is ready. Returns `true` if it was.
    ///
    /// The run ends when the queue is empty, waits or fails, or when the budget of `local` is used
    /// up. With `until`, it also ends at the first task after that number.
    pub(crate) fn run(self: &Arc<Self>, local: &mut Local<'_>, until: Option<u64>) -> bool {
        self.run_nested(local, until, MAX_NESTING)
    }

    /// Runs the queue as [`run`](Self::run) does, with at most `nested` other queues nested in it.
    ///
    /// At a wait for a queue that is ready too, that queue runs first: it has to run before this
    /// one can continue anyway.
    pub(in crate::executor) fn run_nested(
        self: &Arc<Self>,
        local: &mut Local<'_>,
        until: Option<u64>,
        nested: u32,
    ) -> bool {
        if !self.state().try_run() {
            return false;
        }
        let _guard = TaskGuard::enter();
        match self.run_items(local, until, nested) {
            RunOutcome::Idle { is_closed } => {
                if is_closed {
                    self.pool.draining().remove(self.id);
                }
            }
            RunOutcome::Suspended => {}
            RunOutcome::Failed(fault) => self.fail(fault, local),
            RunOutcome::Yielded => {
                self.state().set(Phase::Ready);
                self.pool.push(self);
            }
        }
        true
    }

    /// Runs items until there is a reason to stop.
    ///
    /// The reader is dropped before the state changes, so that the next runner finds the head
    /// unlocked. The exception is a wait, where a next runner is rare.
    fn run_items(
        self: &Arc<Self>,
        local: &mut Local<'_>,
        until: Option<u64>,
        nested: u32,
    ) -> RunOutcome {
        let mut reader = self.tasks.read();
        let mut rechecked = false;
        loop {
            let next = reader.taken() + 1;
            let Some(item) = reader.front() else {
                if until.is_none() && !rechecked {
                    rechecked = true;
                    local.spin_before_recheck();
                    continue;
                }
                match self.leave_if_empty(reader, local, until) {
                    Ok(again) => reader = again,
                    Err(outcome) => return outcome,
                }
                continue;
            };
            rechecked = false;
            let is_past = until.is_some_and(|until| next > until);
            // With `is_past`, stops even if no other queue is ready: `synchronize` has to return.
            if local.is_budget_spent() && (is_past || self.pool.has_ready()) {
                return RunOutcome::Yielded;
            }
            local.count_item();
            match item.control() {
                None => {
                    if is_past {
                        return RunOutcome::Yielded;
                    }
                    // A task can take long: queues that this run has resumed must not wait for it.
                    local.flush();
                    if let Err(message) = task::catch_panic(|| item.run()) {
                        return RunOutcome::Failed(Fault::new(self.id, &message));
                    }
                }
                Some(Control::Wait(record)) => match record.is_complete() {
                    Ok(true) => item.discard(),
                    Ok(false) => {
                        let ran = nested > 0 && !is_past && record.run(local, nested - 1);
                        if !ran && self.suspend(record) {
                            return RunOutcome::Suspended;
                        }
                        continue;
                    }
                    Err(fault) => return RunOutcome::Failed(fault),
                },
                Some(Control::Timestamp(timestamp)) => {
                    timestamp.set();
                    item.discard();
                }
            }
            self.progress.advance(next, |waiter| wake(waiter, Some(local)));
        }
    }

    /// Makes the queue idle if it is still empty, and returns the outcome. Otherwise returns the
    /// reader again.
    fn leave_if_empty<'q>(
        &self,
        reader: Reader<'q>,
        local: &mut Local<'_>,
        until: Option<u64>,
    ) -> Result<Reader<'q>, RunOutcome> {
        let mut is_closed = false;
        let on_idle = |closed| {
            is_closed = closed;
            if until.is_none() {
                local.start_searching_early();
            }
            self.state().set(Phase::Idle);
        };
        reader.leave_if_empty(on_idle).ok_or(RunOutcome::Idle { is_closed })
    }

    /// Suspends the queue until `record` is complete. Returns `false` if it already is.
    fn suspend(self: &Arc<Self>, record: &Record) -> bool {
        self.state().set(Phase::Suspended);
        if record.watch(Waiter::Queue(Arc::clone(self))) {
            return true;
        }
        // The waiter was not registered, so no other thread has changed the state.
        self.state().set(Phase::Running);
        false
    }

    /// Closes the queue, drops its remaining items, and then wakes all waiters with the fault.
    fn fail(&self, fault: Fault, local: &mut Local<'_>) {
        *lock(&self.fault) = Some(fault.clone());
        self.tasks.close();
        // A destructor can take long, or wait for a queue that this run has resumed.
        local.flush();
        // Closures are dropped one by one: each destructor is code of the user, and can panic too.
        // Only the first panic is reported.
        let mut reader = self.tasks.read();
        while let Some(item) = reader.front() {
            task::discard(|| item.discard());
        }
        drop(reader);
        self.progress.fail(fault, |waiter| wake(waiter, Some(local)));
        self.state().set(Phase::Idle);
        // The stream can have been destroyed before.
        self.pool.draining().remove(self.id);
    }
}
