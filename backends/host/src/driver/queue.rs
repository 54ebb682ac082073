//! One stream: an ordered queue of items, and the state that says who may run it.
//!
//! Submitting puts an item into the *inbox*. A queue with something in its inbox is `Ready` and
//! lies in the pool, until somebody runs it: a worker, or a thread that synchronizes. The runner
//! moves the inbox into `work`, and nobody else touches `work` while the state is `Running`. At a
//! wait whose record is not complete the queue is `Suspended`: it lies nowhere but among the
//! waiters of the queue it waits for, and no thread is held.
//!
//! What the pool holds may be stale: only the change from `Ready` to `Running` gives the right to
//! run a queue. So a helper can take one that lies in the pool.

use std::collections::VecDeque;

use gpu_stream_core::HostFunc;

use super::fault::Fault;
use super::pool::{Level, Local, Pool};
use super::progress::{Progress, Waiter};
use super::record::{Record, Stamp};
use super::signal::Signal;
use super::state::{Run, State};
use super::task;
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering, lock};

/// How many items a runner may run before it lets others have the thread.
const TURN: u32 = 256;

/// One thing that a stream does when it comes to it.
pub(crate) enum Item {
    Task(HostFunc),
    Wait(Record),
    Stamp(Arc<Stamp>),
}

/// Why nothing can be submitted.
pub(crate) enum Refused {
    /// The stream was destroyed.
    Closed,
    /// A task of it panicked, or it waited for a stream of which one did.
    Faulted(Fault),
}

pub(crate) struct Queue {
    id: u64,
    level: Level,
    pool: Arc<Pool>,
    state: State,
    /// Whether the pool holds the queue: once is enough, however often it becomes ready.
    in_pool: AtomicBool,
    /// The number of the last item that was submitted; written under the lock of `inbox`.
    submitted: AtomicU64,
    /// Whether `inbox` takes nothing any more, and knows why; written under its lock.
    refusing: AtomicBool,
    inbox: Mutex<Inbox>,
    /// Locked for the length of a run, by whoever made the state `Running`; so nobody ever waits
    /// for it for long.
    work: Mutex<VecDeque<Item>>,
    pub(crate) progress: Progress,
}

struct Inbox {
    items: VecDeque<Item>,
    closed: bool,
    fault: Option<Fault>,
}

/// How a run ended.
enum Turn {
    /// Nothing left, and the queue is idle.
    Idle,
    /// At a wait, and the item was put back.
    Held(Record),
    /// The queue has failed.
    Failed(Fault),
    /// Others want the thread, or the number that the runner wanted is reached.
    Over,
}

impl Queue {
    pub(crate) fn new(id: u64, level: Level, pool: &Arc<Pool>) -> Arc<Self> {
        Self::with_state(id, level, pool, Run::Idle, 0)
    }

    /// A queue with one item that is nobody's to run, and ends when [`release`](Self::release) says
    /// so.
    pub(crate) fn held(pool: &Arc<Pool>) -> Arc<Self> {
        Self::with_state(0, Level::Normal, pool, Run::Held, 1)
    }

    fn with_state(id: u64, level: Level, pool: &Arc<Pool>, run: Run, submitted: u64) -> Arc<Self> {
        Arc::new(Queue {
            id,
            level,
            pool: Arc::clone(pool),
            state: State::new(run),
            in_pool: AtomicBool::new(false),
            submitted: AtomicU64::new(submitted),
            refusing: AtomicBool::new(false),
            inbox: Mutex::new(Inbox { items: VecDeque::new(), closed: false, fault: None }),
            work: Mutex::new(VecDeque::new()),
            progress: Progress::new(),
        })
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Says that the pool holds the queue or does not, and whether it did.
    pub(crate) fn set_in_pool(&self, held: bool) -> bool {
        self.in_pool.swap(held, Ordering::AcqRel)
    }

    pub(crate) fn level(&self) -> Level {
        self.level
    }

    /// The number of the last item submitted.
    pub(crate) fn submitted(&self) -> u64 {
        self.submitted.load(Ordering::Acquire)
    }

    /// Puts `item` behind all others, and says its number.
    pub(crate) fn submit(self: &Arc<Self>, item: Item) -> Result<u64, Refused> {
        let mut inbox = lock(&self.inbox);
        inbox.check()?;
        inbox.items.push_back(item);
        let number = self.submitted.load(Ordering::Relaxed) + 1;
        self.submitted.store(number, Ordering::Release);
        drop(inbox);
        if self.state.make_ready() {
            self.pool.push(Arc::clone(self));
        }
        Ok(number)
    }

    /// Whether anything can be submitted, and the number of the last item that was.
    pub(crate) fn usable(&self) -> Result<u64, Refused> {
        if self.refusing.load(Ordering::Acquire) {
            lock(&self.inbox).check()?;
        }
        Ok(self.submitted())
    }

    /// Refuses all that comes from now on. What was submitted still runs.
    pub(crate) fn close(&self) {
        let mut inbox = lock(&self.inbox);
        inbox.closed = true;
        self.refusing.store(true, Ordering::Release);
    }

    /// Ends the one item of a queue made by [`held`](Self::held).
    pub(crate) fn release(&self) {
        for waiter in self.progress.advance(1) {
            wake(waiter, None);
        }
    }

    /// Blocks until `number` is reached. With `help`, the calling thread runs the queue itself if
    /// nobody else does.
    pub(crate) fn wait_for(self: &Arc<Self>, number: u64, help: bool) -> Result<(), Fault> {
        while !self.progress.check(number)? {
            if help && self.help(number) {
                continue;
            }
            let signal = Signal::new();
            if self.progress.watch(number, Waiter::Thread(Arc::clone(&signal))) {
                signal.wait();
            }
        }
        Ok(())
    }

    /// Runs the queue on this thread up to `number`, if it lies ready.
    fn help(self: &Arc<Self>, number: u64) -> bool {
        let mut local = Local::new(&self.pool);
        let helped = self.run(&mut local, Some(number));
        local.flush();
        helped
    }

    /// Runs the queue if it is ready: until it is empty, waits, fails, has had its turn or has come
    /// to `until`.
    pub(crate) fn run(self: &Arc<Self>, local: &mut Local<'_>, until: Option<u64>) -> bool {
        if !self.state.take() {
            return false;
        }
        let mut left = TURN;
        loop {
            match self.run_items(local, &mut left, until) {
                Turn::Idle => return true,
                Turn::Held(record) => {
                    if self.suspend(record) {
                        return true;
                    }
                }
                Turn::Failed(fault) => {
                    self.fail(fault, local);
                    return true;
                }
                Turn::Over => {
                    self.state.set(Run::Ready);
                    self.pool.push(Arc::clone(self));
                    return true;
                }
            }
        }
    }

    /// Runs items until there is a reason to stop. The lock of `work` is let go before the state
    /// changes: whoever runs the queue next finds it free.
    fn run_items(&self, local: &mut Local<'_>, left: &mut u32, until: Option<u64>) -> Turn {
        let mut work = lock(&self.work);
        loop {
            while let Some(item) = work.pop_front() {
                let next = self.progress.done() + 1;
                let reached = until.is_some_and(|until| next > until);
                if reached || (*left == 0 && self.pool.has_ready()) {
                    work.push_front(item);
                    return Turn::Over;
                }
                *left = left.checked_sub(1).unwrap_or(TURN);
                match item {
                    Item::Task(task) => {
                        // What this run has resumed must not wait for a task, which may take long.
                        local.flush();
                        if let Err(message) = task::run(task) {
                            return Turn::Failed(Fault::new(self.id, &message));
                        }
                    }
                    Item::Stamp(stamp) => stamp.set(),
                    Item::Wait(record) => match record.is_complete() {
                        Ok(true) => {}
                        Ok(false) => {
                            work.push_front(Item::Wait(record.clone()));
                            return Turn::Held(record);
                        }
                        Err(fault) => return Turn::Failed(fault),
                    },
                }
                for waiter in self.progress.advance(next) {
                    wake(waiter, Some(local));
                }
            }
            if until.is_none() {
                local.linger();
            }
            let mut inbox = lock(&self.inbox);
            if inbox.items.is_empty() {
                drop(work);
                if until.is_none() {
                    local.look_soon();
                }
                // Under the lock of the inbox: who submits next finds the queue idle.
                self.state.set(Run::Idle);
                return Turn::Idle;
            }
            // Swapping keeps both buffers: no allocation once they have grown.
            std::mem::swap(&mut inbox.items, &mut work);
        }
    }

    /// Leaves the queue with the one that it waits for; `false` if the record is complete by now.
    fn suspend(self: &Arc<Self>, record: Record) -> bool {
        self.state.set(Run::Suspended);
        if record.watch(Waiter::Queue(Arc::clone(self))) {
            return true;
        }
        // Nobody was told, so nobody else has changed the state.
        self.state.set(Run::Running);
        false
    }

    /// Drops all that was submitted, then tells everybody who waits.
    fn fail(&self, fault: Fault, local: &mut Local<'_>) {
        let mut inbox = lock(&self.inbox);
        inbox.fault = Some(fault.clone());
        self.refusing.store(true, Ordering::Release);
        let rest = std::mem::take(&mut inbox.items);
        drop(inbox);
        let work = std::mem::take(&mut *lock(&self.work));
        // Closures are dropped one by one, since each drop may run code of the user, which may
        // panic as well. The first panic is the one that is reported.
        work.into_iter().chain(rest).for_each(task::discard);
        for waiter in self.progress.fail(fault) {
            wake(waiter, Some(local));
        }
        self.state.set(Run::Idle);
    }

    /// Makes a suspended queue ready; the caller sees to it that somebody runs it.
    fn resume(&self) {
        debug_assert_eq!(self.state.get(), Run::Suspended);
        self.state.set(Run::Ready);
    }

    /// Whether all that was submitted has ended.
    pub(crate) fn is_over(&self) -> bool {
        // The state alone does not tell: an item may be in the inbox, and its submitter just about
        // to make the queue ready.
        let pending = matches!(self.progress.check(self.submitted()), Ok(false));
        self.state.get() == Run::Idle && !pending
    }

    /// For [`settle`](super::settle): how far the queue is, if it can go no further by itself.
    pub(crate) fn at_rest(&self) -> Option<Rest> {
        let (submitted, done) = (self.submitted(), self.progress.done());
        let held_by = match self.state.get() {
            Run::Held => None,
            Run::Idle if self.is_over() => None,
            Run::Suspended => match lock(&self.work).front() {
                Some(Item::Wait(record)) if matches!(record.is_complete(), Ok(false)) => {
                    Some(Arc::clone(record.queue()))
                }
                _ => return None,
            },
            Run::Idle | Run::Ready | Run::Running => return None,
        };
        Some(Rest { submitted, done, held_by })
    }
}

/// Where a queue rests.
pub(crate) struct Rest {
    pub(crate) submitted: u64,
    pub(crate) done: u64,
    pub(crate) held_by: Option<Arc<Queue>>,
}

impl Inbox {
    fn check(&self) -> Result<(), Refused> {
        if let Some(fault) = &self.fault {
            return Err(Refused::Faulted(fault.clone()));
        }
        if self.closed { Err(Refused::Closed) } else { Ok(()) }
    }
}

/// Wakes a waiter. A queue that was resumed stays with the thread that did it, if that thread runs
/// queues.
pub(crate) fn wake(waiter: Waiter, local: Option<&mut Local<'_>>) {
    match waiter {
        Waiter::Thread(signal) => signal.set(),
        Waiter::Queue(queue) => {
            queue.resume();
            match local {
                Some(local) => local.keep(queue),
                None => Arc::clone(&queue.pool).push(queue),
            }
        }
    }
}
