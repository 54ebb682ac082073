//! One stream: an ordered queue of items, and the state that says who may run it.
//!
//! Submitting puts an item into the *log*. A queue that was quiet becomes `Ready` by that and lies in
//! the pool, until somebody runs it: a worker, or a thread that synchronizes. Nobody but the runner
//! takes items out while the state is `Running`. At a wait whose record is not complete the queue is
//! `Suspended`: it lies nowhere but among the waiters of the queue it waits for, and no thread is
//! held.
//!
//! What the pool holds may be stale: only the change from `Ready` to `Running` gives the right to
//! run a queue. So a helper can take one that lies in the pool, and so can a runner that comes to a
//! wait for it.

use crossbeam_utils::CachePadded;
use gpu_stream_core::ContractError;

use super::fault::Fault;
use super::item::{Control, Task, Value, is_inline};
use super::parker::Parker;
use super::pool::{Level, Local, Pool};
use super::process_state;
use super::progress::{Progress, Waiter};
use super::ready::Link;
use super::record::{Record, Timestamp};
use super::state::{Run, State};
use super::task::{self, Inside};
use super::task_queue::TaskQueue;
use crate::sync::{Arc, Mutex, lock, spin_loop};

/// How many queues a runner may run inside each other, each since the one before waits for it.
const MAX_NESTING: u32 = 4;

/// How often a thread that synchronizes looks before it sleeps.
#[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
const SPIN_LIMIT: u32 = 256;
#[cfg(any(gpu_stream_loom, gpu_stream_shuttle))]
const SPIN_LIMIT: u32 = 0;

/// Why nothing can be submitted.
pub(crate) enum SubmitError {
    /// The stream was destroyed.
    Closed,
    /// A task of it panicked, or it waited for a stream of which one did.
    Faulted(Fault),
    /// The process has no more use for it.
    Process(ContractError),
}

/// Why a wait cannot end well.
pub(crate) enum NoWait {
    /// What is waited for will never happen.
    Faulted(Fault),
    /// A task that has to end before is inside `exit`, which never returns.
    ProcessEnding,
}

pub(crate) struct Queue {
    id: u64,
    level: Level,
    pool: Arc<Pool>,
    /// Why `log` refuses, if it is not that the stream was destroyed; set before.
    fault: Mutex<Option<Fault>>,
    turn: CachePadded<(State, Link)>,
    log: TaskQueue,
    pub(crate) progress: CachePadded<Progress>,
}

/// How a run ended.
enum RunOutcome {
    /// Nothing left, and the queue is idle. It may have been closed meanwhile.
    Idle { is_closed: bool },
    /// At a wait, which was not taken out, and the one that it is for has the queue.
    Suspended,
    /// The queue has failed.
    Failed(Fault),
    /// Others want the thread, or the number that the runner wanted is reached.
    Over,
}

impl Queue {
    pub(crate) fn new(id: u64, level: Level, pool: &Arc<Pool>) -> Arc<Self> {
        Self::with_state(id, level, pool, Run::Idle)
    }

    /// A queue that is nobody's to run, and comes to the number 1 when [`release`](Self::release)
    /// says so.
    pub(crate) fn held(pool: &Arc<Pool>) -> Arc<Self> {
        Self::with_state(0, Level::Normal, pool, Run::External)
    }

    #[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
    pub(super) fn ready_for_tests(level: Level, pool: &Arc<Pool>) -> Arc<Self> {
        Self::with_state(0, level, pool, Run::Ready)
    }

    fn with_state(id: u64, level: Level, pool: &Arc<Pool>, run: Run) -> Arc<Self> {
        Arc::new(Queue {
            id,
            level,
            pool: Arc::clone(pool),
            fault: Mutex::default(),
            turn: CachePadded::new((State::new(run), Link::new())),
            log: TaskQueue::new(),
            progress: CachePadded::new(Progress::new()),
        })
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn level(&self) -> Level {
        self.level
    }

    pub(super) fn state(&self) -> &State {
        &self.turn.0
    }

    pub(super) fn link(&self) -> &Link {
        &self.turn.1
    }

    /// The number of the last item submitted.
    pub(crate) fn submitted(&self) -> u64 {
        self.log.submitted()
    }

    /// Puts a closure behind all that was submitted.
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

    /// Has all that is submitted from now on wait for `record`.
    pub(crate) fn wait(self: &Arc<Self>, record: Record) -> Result<u64, SubmitError> {
        self.submit(Control::Wait(record))
    }

    /// Has `stamp` set when all that was submitted has ended, and says the number of that.
    pub(crate) fn stamp(self: &Arc<Self>, stamp: Arc<Timestamp>) -> Result<u64, SubmitError> {
        self.submit(Control::Timestamp(stamp))
    }

    fn submit<T: Value>(self: &Arc<Self>, value: T) -> Result<u64, SubmitError> {
        if !process_state::is_running() {
            check_process()?;
        }
        let Some(pushed) = self.log.push(value) else { return Err(self.refused()) };
        if pushed.was_quiet {
            // We are the first since the queue was left, and its state is ours to change.
            self.state().set(Run::Ready);
            self.pool.push(self);
        }
        Ok(pushed.number)
    }

    /// Whether anything can be submitted, and the number of the last item that was.
    pub(crate) fn usable(&self) -> Result<u64, SubmitError> {
        process_state::ensure_not_forked().map_err(SubmitError::Process)?;
        if self.log.is_closed() { Err(self.refused()) } else { Ok(self.submitted()) }
    }

    /// Why the log refuses.
    fn refused(&self) -> SubmitError {
        lock(&self.fault).clone().map_or(SubmitError::Closed, SubmitError::Faulted)
    }

    /// Refuses all that comes from now on. What was submitted still runs.
    pub(crate) fn close(&self) {
        self.log.refuse();
    }

    /// Closes the queue, and has the pool keep it until its work has ended.
    pub(crate) fn leave(self: &Arc<Self>) {
        self.close();
        if self.is_over() {
            return;
        }
        self.pool.draining().add(self);
        // A runner that ended the queue before it was added did not find it. That runner made the
        // queue `Idle` before it looked, so this sees it.
        if self.is_over() {
            self.pool.draining().remove(self.id);
        }
    }

    /// Ends the wait for a queue made by [`held`](Self::held).
    pub(crate) fn release(&self) {
        self.progress.advance(1, |waiter| wake(waiter, None));
    }

    /// Blocks until `number` is reached. With `help`, the calling thread runs the queue itself, or
    /// one that it waits for, if nobody else does.
    pub(crate) fn wait_for(self: &Arc<Self>, number: u64, help: bool) -> Result<(), NoWait> {
        let mut looks = 0;
        while !self.progress.check(number).map_err(NoWait::Faulted)? {
            if help && self.help(number) {
                continue;
            }
            if looks < SPIN_LIMIT {
                looks += 1;
                spin_loop();
                continue;
            }
            let parker = Parker::of_this_thread();
            if self.progress.watch(number, Waiter::Thread(Arc::clone(&parker))) {
                // The waiter stays in the list until it is told, so it is put in once.
                while !parker.wait_a_second() {
                    if self.is_held_by_exit() {
                        return Err(NoWait::ProcessEnding);
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns `true` if a task that blocks this queue is inside `exit`. Also sees to it that a
    /// queue that has been ready for long has a thread to run it.
    fn is_held_by_exit(self: &Arc<Self>) -> bool {
        let mut queue = Arc::clone(self);
        loop {
            queue = match queue.state().get() {
                Run::Running => return queue.state().runner().is_in_exit(),
                Run::Suspended => match queue.blocked_on() {
                    Some(record) => Arc::clone(record.queue()),
                    None => return false,
                },
                Run::Ready => {
                    #[cfg(not(any(gpu_stream_loom, gpu_stream_shuttle)))]
                    super::exit::replace_lost_threads();
                    return false;
                }
                Run::Idle | Run::External => return false,
            };
        }
    }

    /// Runs the queue on this thread up to `number`, if it lies ready; or the one that it waits for.
    fn help(self: &Arc<Self>, number: u64) -> bool {
        let mut local = Local::new(&self.pool);
        let mut helped = self.run(&mut local, Some(number));
        if !helped && let Some(record) = self.blocked_on() {
            helped = record.run(&mut local, MAX_NESTING);
            // That may have resumed this very queue, which is then ours to go on with.
            if let Some(next) = local.take_lifo_if(self) {
                next.run(&mut local, Some(number));
            }
        }
        local.flush();
        helped
    }

    /// What the queue waits for, if it is suspended.
    fn blocked_on(&self) -> Option<Record> {
        if self.state().get() != Run::Suspended {
            return None;
        }
        match self.log.try_read()?.front()?.control()? {
            Control::Wait(record) => Some(record.clone()),
            Control::Timestamp(_) => None,
        }
    }

    /// Runs the queue if it is ready: until it is empty, waits, fails, has had its turn or has come
    /// to `until`.
    pub(crate) fn run(self: &Arc<Self>, local: &mut Local<'_>, until: Option<u64>) -> bool {
        self.run_nested(local, until, MAX_NESTING)
    }

    /// The same. At a wait for a queue that is ready as well, runs that one first, if `nested`
    /// allows: it has to be run in any case before this one can go on.
    pub(super) fn run_nested(
        self: &Arc<Self>,
        local: &mut Local<'_>,
        until: Option<u64>,
        nested: u32,
    ) -> bool {
        if !self.state().take() {
            return false;
        }
        let _inside = Inside::enter();
        match self.run_items(local, until, nested) {
            RunOutcome::Idle { is_closed } => {
                if is_closed {
                    self.pool.draining().remove(self.id);
                }
            }
            RunOutcome::Suspended => {}
            RunOutcome::Failed(fault) => self.fail(fault, local),
            RunOutcome::Over => {
                self.state().set(Run::Ready);
                self.pool.push(self);
            }
        }
        true
    }

    /// Runs items until there is a reason to stop. The reader is let go before the state changes, so
    /// that whoever runs the queue next finds it free; only not at a wait, where that is rare.
    fn run_items(
        self: &Arc<Self>,
        local: &mut Local<'_>,
        until: Option<u64>,
        nested: u32,
    ) -> RunOutcome {
        let mut reader = self.log.read();
        let mut lingered = false;
        loop {
            let next = reader.taken() + 1;
            let Some(item) = reader.front() else {
                if until.is_none() && !lingered {
                    lingered = true;
                    local.spin_before_recheck();
                    continue;
                }
                let mut is_closed = false;
                let idle = |closed| {
                    is_closed = closed;
                    if until.is_none() {
                        local.start_searching_early();
                    }
                    self.state().set(Run::Idle);
                };
                match reader.leave(idle) {
                    Some(again) => reader = again,
                    None => return RunOutcome::Idle { is_closed },
                }
                continue;
            };
            lingered = false;
            // Also if no other queue is ready: a thread that synchronizes has an end of its own.
            let is_past = until.is_some_and(|until| next > until);
            if local.is_turn_over() && (is_past || self.pool.has_ready()) {
                return RunOutcome::Over;
            }
            local.count_item();
            match item.control() {
                None => {
                    if is_past {
                        return RunOutcome::Over;
                    }
                    // What this run has resumed must not wait for a task, which may take long.
                    local.flush();
                    if let Err(message) = task::contain(|| item.run()) {
                        return RunOutcome::Failed(Fault::new(self.id, &message));
                    }
                }
                Some(Control::Wait(record)) => match record.is_complete() {
                    Ok(true) => item.discard(),
                    Ok(false) => {
                        if nested > 0 && !is_past && record.run(local, nested - 1) {
                            continue;
                        }
                        if self.suspend(record) {
                            return RunOutcome::Suspended;
                        }
                        continue;
                    }
                    Err(fault) => return RunOutcome::Failed(fault),
                },
                Some(Control::Timestamp(stamp)) => {
                    stamp.set();
                    item.discard();
                }
            }
            self.progress.advance(next, |waiter| wake(waiter, Some(local)));
        }
    }

    /// Leaves the queue with the one that it waits for; `false` if the record is complete by now.
    fn suspend(self: &Arc<Self>, record: &Record) -> bool {
        self.state().set(Run::Suspended);
        if record.watch(Waiter::Queue(Arc::clone(self))) {
            return true;
        }
        // Nobody was told, so nobody else has changed the state.
        self.state().set(Run::Running);
        false
    }

    /// Drops all that was submitted, then tells everybody who waits.
    fn fail(&self, fault: Fault, local: &mut Local<'_>) {
        *lock(&self.fault) = Some(fault.clone());
        self.log.refuse();
        // A destructor may take long, or wait for what this run has resumed.
        local.flush();
        // Closures are dropped one by one, since each drop may run code of the user, which may
        // panic as well. The first panic is the one that is reported.
        let mut reader = self.log.read();
        while let Some(item) = reader.front() {
            task::discard(|| item.discard());
        }
        drop(reader);
        self.progress.fail(fault, |waiter| wake(waiter, Some(local)));
        self.state().set(Run::Idle);
        // It may be closed as well.
        self.pool.draining().remove(self.id);
    }

    /// Makes a suspended queue ready; the caller sees to it that somebody runs it.
    fn resume(&self) {
        self.state().set(Run::Ready);
    }

    /// Whether all that was submitted has ended.
    pub(crate) fn is_over(&self) -> bool {
        // The state alone does not tell: an item may be in the log, and its submitter just about
        // to make the queue ready.
        let pending = matches!(self.progress.check(self.submitted()), Ok(false));
        self.state().get() == Run::Idle && !pending
    }

    /// For [`settle`](super::settle): how far the queue is, if it can go no further by itself.
    pub(crate) fn quiescence(&self) -> Option<Quiescence> {
        let (submitted, done) = (self.submitted(), self.progress.done());
        let blocked_on = match self.state().get() {
            Run::External => None,
            Run::Idle if self.is_over() => None,
            // Its task never ends.
            Run::Running if self.state().runner().is_lost() => None,
            Run::Suspended => match self.blocked_on() {
                Some(record) if matches!(record.is_complete(), Ok(false)) => {
                    Some(Arc::clone(record.queue()))
                }
                _ => return None,
            },
            Run::Idle | Run::Ready | Run::Running => return None,
        };
        Some(Quiescence { submitted, done, blocked_on })
    }
}

/// Whether anything may be submitted now, by the calling thread.
#[cold]
fn check_process() -> Result<(), SubmitError> {
    process_state::ensure_not_forked().map_err(SubmitError::Process)?;
    if process_state::is_ending() && !task::is_running() {
        let backend = gpu_stream_core::BackendKind::Host;
        return Err(SubmitError::Process(ContractError::ProcessEnding { backend }));
    }
    Ok(())
}

/// Where a queue rests.
pub(crate) struct Quiescence {
    pub(crate) submitted: u64,
    pub(crate) done: u64,
    pub(crate) blocked_on: Option<Arc<Queue>>,
}

/// Wakes a waiter. A queue that was resumed stays with the thread that did it, if that thread runs
/// queues.
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
