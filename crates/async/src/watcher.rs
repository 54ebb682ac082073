//! The thread that asks the events and wakes the futures: [`Watcher`].

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::mem::{swap, take};
use std::process;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use gpu_stream_core::ContractError;

use crate::pending::Watched;
use crate::unwind::run_quietly;
use crate::waiting::{StreamKey, Waiting};

/// The watcher of this process, or of the one that it was forked from. Null before the first await.
static CURRENT: AtomicPtr<Watcher> = AtomicPtr::new(std::ptr::null_mut());

/// The time for which the watcher asks without a pause, after a record has come or has ended.
const SPIN: Duration = Duration::from_micros(50);
/// The shortest pause.
const SHORTEST: Duration = Duration::from_micros(20);
/// The longest pause.
const LONGEST: Duration = Duration::from_millis(1);
/// The time after which a waker counts as blocked. If it waits for a future itself, the spare thread then takes over. Otherwise
/// another thread does with the next record, or poll that has to wait.
const BLOCKED: Duration = Duration::from_millis(10);

thread_local! {
    // Has no destructor, so it stays usable until the thread has ended.
    static IN_DESTRUCTOR: Cell<bool> = const { Cell::new(false) };
    /// The number of the thread, while it wakes a task.
    static WAKING: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Returns `true` inside a destructor that the watcher runs. A wait there would be one for the own thread.
pub(crate) fn is_in_destructor() -> bool {
    IN_DESTRUCTOR.get()
}

/// Calls `work`, which must not unwind, and in which an await that has to wait is refused. For code of users on the
/// watcher's thread.
pub(crate) fn refuse_awaits<T>(work: impl FnOnce() -> T) -> T {
    let before = IN_DESTRUCTOR.replace(true);
    let result = work();
    IN_DESTRUCTOR.set(before);
    result
}

/// One thread, and the records that it is given.
///
/// The thread starts with the first record and never ends: without records it sleeps, at no cost. The child of a fork
/// has no such thread, and starts a watcher of its own. It leaves that of its parent alone, whose lock may be held.
///
/// The thread wakes tasks, and a waker can block. After [`BLOCKED`] another thread takes its place, with all records. The first
/// thread then becomes the spare thread once the waker has returned, and ends if there is one. So there are at most two
/// threads, and one more for each waker that is blocked.
///
/// A poll inside a waker may be a wait, as in a destructor of a task, or only a look, as in an executor that polls inside its
/// wakers. So it starts the spare thread if there is none, and that thread takes over only if the waker does not return.
pub(crate) struct Watcher {
    process: u32,
    shared: Mutex<Shared>,
    /// Signaled when a record comes while the thread sleeps.
    arrived: Condvar,
    /// Signaled when the spare thread is to guard a waker, or has the records.
    called: Condvar,
    /// The number of records whose futures were dropped, and that the thread may still have.
    abandoned: AtomicUsize,
    /// Starts the thread with this number.
    start: fn(&'static Watcher, u64) -> io::Result<()>,
}

#[derive(Default)]
struct Shared {
    /// The records that have come.
    records: Vec<(StreamKey, Arc<dyn Watched>)>,
    is_asleep: bool,
    /// The number of the thread that has the records, or 0 before the first one.
    thread: u64,
    /// The number of the spare thread, which takes the place of a blocked one.
    spare: Option<u64>,
    /// `true` while the spare thread wakes up by itself after some time.
    is_guarding: bool,
    /// The number of threads that were started.
    started: u64,
    /// The records that are not done yet, while the thread wakes tasks.
    waiting: Waiting,
    /// The records whose tasks are to be woken.
    ended: VecDeque<Arc<dyn Watched>>,
    /// The time since which the thread wakes a task.
    waking: Option<Instant>,
    /// `true` if the waker of that task has polled a future that has to wait.
    is_waiting: bool,
}

impl Shared {
    /// Notes that the thread calls a waker from now on, or that it calls none.
    fn set_waking(&mut self, since: Option<Instant>) {
        self.waking = since;
        self.is_waiting = false;
    }

    /// Gives the records to the thread with this number.
    fn hand_over(&mut self, to: u64) {
        self.thread = to;
        self.spare = None;
        self.is_guarding = false;
        self.set_waking(None);
    }
}

/// Returns the watcher of this process. Does not start its thread.
fn current() -> &'static Watcher {
    let me = process::id();
    let mut found = CURRENT.load(Ordering::Acquire);
    loop {
        // SAFETY: the pointer is null, or is from a box that is never freed.
        if let Some(watcher) = unsafe { found.as_ref() }
            && watcher.process == me
        {
            return watcher;
        }
        let new = Box::into_raw(Box::new(Watcher::new(me, start)));
        let (set, fetch) = (Ordering::AcqRel, Ordering::Acquire);
        match CURRENT.compare_exchange(found, new, set, fetch) {
            Ok(_) => found = new,
            Err(other) => {
                // SAFETY: `new` is from `Box::into_raw`, and no other thread has it.
                drop(unsafe { Box::from_raw(new) });
                found = other;
            }
        }
    }
}

/// Starts the thread of a watcher.
fn start(watcher: &'static Watcher, thread: u64) -> io::Result<()> {
    let name = "gpu-stream-await".into();
    thread::Builder::new().name(name).spawn(move || watcher.run(thread)).map(drop)
}

/// A record that a watcher has.
#[derive(Clone, Copy)]
pub(crate) struct Registration(&'static Watcher);

impl Registration {
    /// Returns `true` if the watcher's thread exists in this process: it does not in the child of a fork.
    pub(crate) fn is_of_this_process(self) -> bool {
        self.0.process == process::id()
    }

    /// Tells the watcher that a poll of the record's future has to wait. Does not block.
    pub(crate) fn waits(self) {
        self.0.leave_blocked(&mut self.0.lock());
    }

    /// Tells the watcher that the record was abandoned.
    pub(crate) fn abandoned(self) {
        self.0.abandoned.fetch_add(1, Ordering::Relaxed);
    }
}

/// Gives the watcher of this process a record, which it asks until the work has ended. Does not block.
///
/// # Errors
/// [`NoThread`](ContractError::NoThread) if there is no thread, and the system refuses to start one. The next call tries again.
pub(crate) fn watch(
    key: StreamKey,
    watched: Arc<dyn Watched>,
) -> Result<Registration, ContractError> {
    let watcher = current();
    watcher.push(key, watched)?;
    Ok(Registration(watcher))
}

impl Watcher {
    fn new(process: u32, start: fn(&'static Watcher, u64) -> io::Result<()>) -> Self {
        Watcher {
            process,
            shared: Mutex::default(),
            arrived: Condvar::new(),
            called: Condvar::new(),
            abandoned: AtomicUsize::new(0),
            start,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&'static self, key: StreamKey, watched: Arc<dyn Watched>) -> Result<(), ContractError> {
        let mut shared = self.lock();
        if shared.thread == 0 {
            self.replace(&mut shared).map_err(|error| ContractError::NoThread {
                operation: "Done::poll",
                code: error.raw_os_error(),
            })?;
        } else {
            self.leave_blocked(&mut shared);
        }
        shared.records.push((key, watched));
        if take(&mut shared.is_asleep) {
            drop(shared);
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Notes that a poll has to wait. If the thread is in a blocked waker, gives the records to another one. If the poll is in
    /// that waker, lets the spare thread guard it.
    ///
    /// If the system refuses a thread, the records wait for the waker, and the next call tries again.
    fn leave_blocked(&'static self, shared: &mut Shared) {
        if shared.waking.is_some_and(|since| since.elapsed() > BLOCKED) {
            let _ = self.replace(shared);
        } else if WAKING.get() == Some(shared.thread) && !shared.is_waiting {
            shared.is_waiting = self.spare(shared).is_ok();
            if shared.is_waiting && !shared.is_guarding {
                self.called.notify_all();
            }
        }
    }

    /// Returns the number of the spare thread. Starts it if there is none.
    fn spare(&'static self, shared: &mut Shared) -> io::Result<u64> {
        if let Some(spare) = shared.spare {
            return Ok(spare);
        }
        let new = shared.started + 1;
        // The new thread waits for the lock.
        (self.start)(self, new)?;
        shared.started = new;
        shared.spare = Some(new);
        Ok(new)
    }

    /// Gives the records to the spare thread.
    fn replace(&'static self, shared: &mut Shared) -> io::Result<()> {
        let spare = self.spare(shared)?;
        shared.hand_over(spare);
        self.called.notify_all();
        Ok(())
    }

    /// Asks the events and wakes the futures while this thread has the records. Ends if another thread has them, and a third
    /// one is the spare thread. The body of thread `me`.
    fn run(&self, me: u64) {
        while self.stand_by(me) {
            // A thread before this one may have left records.
            let mut waiting = take(&mut self.lock().waiting);
            let (mut arrived, mut ended) = (Vec::new(), Vec::new());
            // The last time at which a record came or ended.
            let mut progress = Instant::now();
            while self.wake(me, &mut waiting, &mut ended) {
                // Code of users is guarded where it runs. This guard is for what was overlooked: without the thread, no await
                // of the process would end.
                run_quietly(|| self.ask(&mut waiting, &mut arrived, &mut ended, &mut progress));
            }
        }
    }

    /// Blocks as the spare thread until this thread has the records. Takes them from a thread whose waker waits for a future and
    /// has not returned in time. Returns `false` if there is another spare thread.
    fn stand_by(&self, me: u64) -> bool {
        let mut shared = self.lock();
        while shared.thread != me {
            if *shared.spare.get_or_insert(me) != me {
                return false;
            }
            let since = shared.waking.filter(|_| shared.is_waiting);
            let left = since.map(|since| BLOCKED.saturating_sub(since.elapsed()));
            shared.is_guarding = left.is_some();
            shared = match left {
                Some(Duration::ZERO) => {
                    shared.hand_over(me);
                    return true;
                }
                Some(left) => {
                    let woken = self.called.wait_timeout(shared, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.called.wait(shared).unwrap_or_else(PoisonError::into_inner),
            };
        }
        true
    }

    /// Wakes the tasks of all records in `ended`, and of those that another thread has left. Returns `false` if another thread
    /// has the records now.
    fn wake(&self, me: u64, waiting: &mut Waiting, ended: &mut Vec<Arc<dyn Watched>>) -> bool {
        let mut shared = self.lock();
        if ended.is_empty() && shared.ended.is_empty() {
            return true;
        }
        shared.ended.extend(ended.drain(..));
        swap(&mut shared.waiting, waiting);
        while let Some(next) = shared.ended.pop_front() {
            shared.set_waking(Some(Instant::now()));
            drop(shared);
            finish(me, next);
            shared = self.lock();
            if shared.thread != me {
                return false;
            }
        }
        shared.set_waking(None);
        swap(&mut shared.waiting, waiting);
        true
    }

    /// Receives the records that have come, asks each stream's events, and pauses if there is nothing new. Moves the records
    /// that have ended to `ended`.
    fn ask(
        &self,
        waiting: &mut Waiting,
        arrived: &mut Vec<(StreamKey, Arc<dyn Watched>)>,
        ended: &mut Vec<Arc<dyn Watched>>,
        progress: &mut Instant,
    ) {
        self.receive(arrived, waiting.len() == 0);
        let has_arrived = !arrived.is_empty();
        for (key, watched) in arrived.drain(..) {
            waiting.push(key, watched);
        }
        self.remove_abandoned(waiting, ended);
        if waiting.settle(|watched| ended.push(watched)) || has_arrived {
            *progress = Instant::now();
        } else if waiting.len() > 0 && ended.is_empty() {
            self.pause(progress.elapsed());
        }
    }

    /// Moves the records that have come to `arrived`. With `block`, blocks until there is one.
    fn receive(&self, arrived: &mut Vec<(StreamKey, Arc<dyn Watched>)>, block: bool) {
        let mut shared = self.lock();
        while block && shared.records.is_empty() {
            shared.is_asleep = true;
            shared = self.arrived.wait(shared).unwrap_or_else(PoisonError::into_inner);
        }
        shared.is_asleep = false;
        swap(&mut shared.records, arrived);
    }

    /// Moves the records of dropped futures to `ended`, if they are more than half of all: so each removal is paid by its drop.
    fn remove_abandoned(&self, waiting: &mut Waiting, ended: &mut Vec<Arc<dyn Watched>>) {
        let abandoned = self.abandoned.load(Ordering::Relaxed);
        if abandoned * 2 > waiting.len() {
            // Those that come from here on are counted for the next time.
            self.abandoned.fetch_sub(abandoned, Ordering::Relaxed);
            ended.extend(waiting.remove_abandoned());
        }
    }

    /// Yields at first, and then sleeps, for a quarter of the time since the last progress. A record that comes ends the
    /// sleep.
    fn pause(&self, quiet: Duration) {
        if quiet < SPIN {
            thread::yield_now();
            return;
        }
        let mut shared = self.lock();
        if shared.records.is_empty() {
            shared.is_asleep = true;
            let pause = (quiet / 4).clamp(SHORTEST, LONGEST);
            let woken = self.arrived.wait_timeout(shared, pause);
            woken.unwrap_or_else(PoisonError::into_inner).0.is_asleep = false;
        }
    }
}

/// Drops the watcher's reference to a record whose work has ended, and then wakes its future: a task that was woken has the
/// last reference to its event and its stream's owner. Nothing is held, and a panic of the waker or of a destructor ends here.
fn finish(me: u64, watched: Arc<dyn Watched>) {
    let waker = run_quietly(|| watched.take_waker()).flatten();
    refuse_awaits(|| run_quietly(move || drop(watched)));
    // Awaits are not refused here, since some executors poll inside a waker.
    if let Some(waker) = waker {
        WAKING.set(Some(me));
        run_quietly(|| waker.wake());
        WAKING.set(None);
    }
}

#[cfg(test)]
mod tests;
