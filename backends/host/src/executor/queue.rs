//! One stream: an ordered queue of items, and the state that decides the thread that runs it
//! ([`Queue`]).
//!
//! - [`task_queue`](super::task_queue) holds the items. A submission to an idle queue makes it
//!   `Ready` and pushes it to the pool. It stays `Ready` until a thread runs it: a worker,
//!   or a thread in `synchronize`.
//! - [`run`] runs the items. Only the runner takes items out while the queue is `Running`. At a
//!   wait whose record is not complete the queue becomes `Suspended`. It is then only in the list
//!   of waiters of the queue that it waits for. No thread is blocked.
//! - [`wait`] blocks a thread until an item is complete.
//!
//! The pool can contain a stale entry. Only the transition from `Ready` to `Running` gives the
//! right to run a queue. So a thread that helps can run a queue that is still in the pool. A
//! runner that reaches a wait for the queue can do so too.
//!
//! The imports of this module and of `task_queue`, `chunk`, `item`, `record`, `progress`, `pool`,
//! `local`, `ready` and `draining` form a cycle. It is inherent. A queue contains items, and an
//! item can be a wait for another queue. The lists of waiters and of ready queues hold queues.

mod run;
mod wait;

use crossbeam_utils::CachePadded;
use gpu_stream_core::ContractError;

use super::fault::Fault;
use super::item::{Control, Task, Value, is_inline};
use super::level::Level;
use super::local::Local;
use super::pool::Pool;
use super::process_state;
use super::progress::{Progress, Waiter};
use super::ready::Node;
use super::record::{Record, Timestamp};
use super::run_state::{Phase, RunState};
use super::task;
use super::task_queue::TaskQueue;
use crate::sync::{Arc, Mutex, lock};

pub(crate) use wait::WaitError;

/// The maximum depth to which a runner runs queues nested, each because the one before waits for
/// it.
const MAX_NESTING: u32 = 4;

/// The reason why a submission failed.
pub(crate) enum SubmitError {
    /// The stream was destroyed.
    Closed,
    /// A task of the stream panicked, or the stream waited for a stream with a fault.
    Faulted(Fault),
    /// The process is exiting, or was forked.
    Process(ContractError),
}

/// One stream.
pub(crate) struct Queue {
    id: u64,
    level: Level,
    pool: Arc<Pool>,
    /// The reason why `tasks` is closed. `None` while it is open, and if the stream was destroyed. Set before `tasks` is
    /// closed.
    fault: Mutex<Option<Fault>>,
    schedule: CachePadded<(RunState, Node)>,
    tasks: TaskQueue,
    pub(crate) progress: CachePadded<Progress>,
}

/// A quiescent point of a queue: it cannot continue by itself.
pub(crate) struct Quiescence {
    /// The number of the last item submitted.
    pub(crate) submitted: u64,
    /// The number of the last item completed.
    pub(crate) done: u64,
    /// The queue that this one is suspended for.
    pub(crate) blocked_on: Option<Arc<Queue>>,
}

impl Queue {
    /// Creates an empty queue.
    pub(crate) fn new(id: u64, level: Level, pool: &Arc<Pool>) -> Arc<Self> {
        Self::with_phase(id, level, pool, Phase::Idle)
    }

    /// Creates a queue that no thread runs. Its item 1 completes by
    /// [`complete_external`](Self::complete_external).
    pub(crate) fn new_external(pool: &Arc<Pool>) -> Arc<Self> {
        Self::with_phase(0, Level::Normal, pool, Phase::External)
    }

    #[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
    pub(super) fn ready_for_tests(level: Level, pool: &Arc<Pool>) -> Arc<Self> {
        Self::with_phase(0, level, pool, Phase::Ready)
    }

    fn with_phase(id: u64, level: Level, pool: &Arc<Pool>, phase: Phase) -> Arc<Self> {
        Arc::new(Queue {
            id,
            level,
            pool: Arc::clone(pool),
            fault: Mutex::default(),
            schedule: CachePadded::new((RunState::new(phase), Node::new())),
            tasks: TaskQueue::new(),
            progress: CachePadded::new(Progress::new()),
        })
    }

    /// Returns the id of the stream.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Returns the priority level of the stream.
    pub(crate) fn level(&self) -> Level {
        self.level
    }

    /// Returns the run state.
    pub(super) fn state(&self) -> &RunState {
        &self.schedule.0
    }

    /// Returns the node by which a ready list contains the queue.
    pub(super) fn node(&self) -> &Node {
        &self.schedule.1
    }

    /// Returns the number of the last item submitted.
    pub(crate) fn submitted(&self) -> u64 {
        self.tasks.submitted()
    }

    /// Submits a closure, and returns its number.
    ///
    /// # Errors
    /// [`SubmitError`] if the queue is closed or the process state forbids it. `task` is dropped.
    pub(crate) fn launch<F>(self: &Arc<Self>, task: F) -> Result<u64, SubmitError>
    where
        F: FnOnce() + Send + 'static,
    {
        if is_inline::<F>() {
            self.submit(Task(task))
        } else {
            let boxed: Box<dyn FnOnce() + Send> = Box::new(task);
            self.submit(Task(boxed))
        }
    }

    /// Submits a wait for `record`, and returns its number. Later items run after the record is
    /// complete. Errors as [`launch`](Self::launch).
    pub(crate) fn submit_wait(self: &Arc<Self>, record: Record) -> Result<u64, SubmitError> {
        self.submit(Control::Wait(record))
    }

    /// Submits an item that sets `timestamp`, and returns its number. Errors as
    /// [`launch`](Self::launch).
    pub(crate) fn submit_timestamp(
        self: &Arc<Self>,
        timestamp: Arc<Timestamp>,
    ) -> Result<u64, SubmitError> {
        self.submit(Control::Timestamp(timestamp))
    }

    fn submit<T: Value>(self: &Arc<Self>, value: T) -> Result<u64, SubmitError> {
        if !process_state::is_running() {
            ensure_may_submit()?;
        }
        let Some(pushed) = self.tasks.push(value) else { return Err(self.submit_error()) };
        if pushed.was_idle {
            // This submission is the first since the queue became idle, so this thread owns the
            // transition.
            self.state().set(Phase::Ready);
            self.pool.push(self);
        }
        Ok(pushed.number)
    }

    /// Returns the number of the last item submitted. Fails if the queue accepts no items.
    pub(crate) fn ensure_usable(&self) -> Result<u64, SubmitError> {
        process_state::ensure_not_forked().map_err(SubmitError::Process)?;
        if self.tasks.is_closed() { Err(self.submit_error()) } else { Ok(self.submitted()) }
    }

    /// Returns the reason why `tasks` is closed.
    fn submit_error(&self) -> SubmitError {
        lock(&self.fault).clone().map_or(SubmitError::Closed, SubmitError::Faulted)
    }

    /// Rejects all later submissions. Items that were submitted still run.
    pub(crate) fn close(&self) {
        self.tasks.close();
    }

    /// Closes the queue, and adds it to [`Pool::draining`] until its items have completed.
    pub(crate) fn close_and_drain(self: &Arc<Self>) {
        self.close();
        if self.is_finished() {
            return;
        }
        self.pool.draining().add(self);
        // A runner that finished the queue before `add` found nothing to remove. That runner set
        // `Idle` before it tried, so this check observes it.
        if self.is_finished() {
            self.pool.draining().remove(self.id);
        }
    }

    /// Completes item 1 of a queue from [`new_external`](Self::new_external).
    pub(crate) fn complete_external(&self) {
        self.progress.advance(1, |waiter| wake(waiter, None));
    }

    /// Makes a suspended queue ready. The caller has to schedule it.
    fn resume(&self) {
        self.state().set(Phase::Ready);
    }

    /// Returns `true` if all submitted items have completed, or never will because of a fault.
    pub(crate) fn is_finished(&self) -> bool {
        // The state alone does not suffice: an item can be in the queue while its submitter is
        // about to make the queue ready.
        let pending = matches!(self.progress.check(self.submitted()), Ok(false));
        self.state().get() == Phase::Idle && !pending
    }

    /// Returns the progress of the queue if it cannot continue by itself. Returns `None` if it can.
    /// For [`settle`](super::settle).
    pub(crate) fn quiescence(&self) -> Option<Quiescence> {
        let (submitted, done) = (self.submitted(), self.progress.done());
        let blocked_on = match self.state().get() {
            Phase::External => None,
            Phase::Idle if self.is_finished() => None,
            // Its task never ends.
            Phase::Running if self.state().runner().is_lost() => None,
            Phase::Suspended => match self.blocked_on() {
                Some(record) if matches!(record.is_complete(), Ok(false)) => {
                    Some(Arc::clone(record.queue()))
                }
                _ => return None,
            },
            Phase::Idle | Phase::Ready | Phase::Running => return None,
        };
        Some(Quiescence { submitted, done, blocked_on })
    }
}

/// Returns an error if the process state forbids the calling thread to submit.
#[cold]
fn ensure_may_submit() -> Result<(), SubmitError> {
    process_state::ensure_not_forked().map_err(SubmitError::Process)?;
    if process_state::is_ending() && !task::is_running() {
        let backend = gpu_stream_core::BackendKind::Host;
        return Err(SubmitError::Process(ContractError::ProcessEnding { backend }));
    }
    Ok(())
}

/// Wakes a waiter.
///
/// A resumed queue goes to the LIFO slot of `local`. It goes to the pool if the calling thread runs
/// no queues.
pub(crate) fn wake(waiter: Waiter, local: Option<&mut Local<'_>>) {
    match waiter {
        Waiter::Thread(parker) => parker.set(),
        Waiter::Queue(queue) => {
            queue.resume();
            match local {
                Some(local) => local.set_lifo_slot(queue),
                None => queue.pool.push(&queue),
            }
        }
    }
}
