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
/// The time after which a waker counts as blocked: the next record, or poll that has to wait, starts another thread.
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
/// The thread wakes tasks, and a waker can block. Another thread then takes its place, with all records: at once if the waker
/// itself waits for a future, and otherwise with the next record or poll that has to wait, after [`BLOCKED`]. The first thread ends once the waker has
/// returned.
pub(crate) struct Watcher {
    process: u32,
    shared: Mutex<Shared>,
    /// Signaled when a record comes while the thread sleeps.
    arrived: Condvar,
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
    /// The number of the thread that has the records, or 0 before the first one. Threads with other numbers end.
    thread: u64,
    /// The records that are not done yet, while the thread wakes tasks.
    waiting: Waiting,
    /// The records whose tasks are to be woken.
    ended: VecDeque<Arc<dyn Watched>>,
    /// The time since which the thread wakes a task.
    waking: Option<Instant>,
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
    ///
    /// # Errors
    /// [`NoThread`](ContractError::NoThread) if the wait would be for the own thread, and the system refuses another one.
    pub(crate) fn waits(self) -> Result<(), ContractError> {
        self.0.leave_blocked(&mut self.0.lock())
    }

    /// Tells the watcher that the record was abandoned.
    pub(crate) fn abandoned(self) {
        self.0.abandoned.fetch_add(1, Ordering::Relaxed);
    }
}

/// Gives the watcher of this process a record, which it asks until the work has ended. Does not block.
///
/// # Errors
/// [`NoThread`](ContractError::NoThread) if the system refuses to start the thread. The next call tries again.
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
            abandoned: AtomicUsize::new(0),
            start,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&'static self, key: StreamKey, watched: Arc<dyn Watched>) -> Result<(), ContractError> {
        let mut shared = self.lock();
        self.leave_blocked(&mut shared)?;
        shared.records.push((key, watched));
        if take(&mut shared.is_asleep) {
            drop(shared);
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Starts a thread for a wait if there is none, or if that one is in a waker: at once if the waker itself waits, and otherwise
    /// after [`BLOCKED`].
    fn leave_blocked(&'static self, shared: &mut Shared) -> Result<(), ContractError> {
        let is_own_waker = WAKING.get() == Some(shared.thread);
        if shared.thread == 0 || is_own_waker {
            // The new thread waits for the lock.
            self.replace(shared).map_err(|error| ContractError::NoThread {
                operation: "Done::poll",
                code: error.raw_os_error(),
            })?;
        } else if shared.waking.is_some_and(|since| since.elapsed() > BLOCKED) {
            // If there is no other thread, the record waits for the waker.
            let _ = self.replace(shared);
        }
        Ok(())
    }

    /// Starts a thread that has the records from then on.
    fn replace(&'static self, shared: &mut Shared) -> io::Result<()> {
        (self.start)(self, shared.thread + 1)?;
        shared.thread += 1;
        shared.waking = None;
        Ok(())
    }

    /// Asks the events and wakes the futures, until another thread has the records. The body of thread `me`.
    fn run(&self, me: u64) {
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
            shared.waking = Some(Instant::now());
            drop(shared);
            finish(me, next);
            shared = self.lock();
            if shared.thread != me {
                return false;
            }
        }
        shared.waking = None;
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
    // Awaits are not refused here, since some executors poll inside a waker. One that has to wait starts another thread.
    if let Some(waker) = waker {
        WAKING.set(Some(me));
        run_quietly(|| waker.wake());
        WAKING.set(None);
    }
}

#[cfg(test)]
mod tests {
    use std::any::TypeId;
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc::{Sender, channel};
    use std::task::Waker;

    use gpu_stream_core::{BackendKind, Device, Error as _, ErrorKind};

    use super::*;

    /// A record that is done, and tells when it is dropped.
    struct Record(Mutex<Sender<()>>);

    impl Watched for Record {
        fn settle(&self) -> bool {
            true
        }

        fn take_waker(&self) -> Option<Waker> {
            None
        }

        fn is_abandoned(&self) -> bool {
            false
        }
    }

    impl Drop for Record {
        fn drop(&mut self) {
            let _ = self.0.lock().unwrap().send(());
        }
    }

    #[test]
    fn refused_thread_is_an_error_and_the_next_call_tries_again() {
        static MAY_START: AtomicBool = AtomicBool::new(false);
        let start = |watcher, thread| match MAY_START.load(Ordering::SeqCst) {
            true => start(watcher, thread),
            false => Err(io::Error::from_raw_os_error(11)),
        };
        let watcher: &Watcher = Box::leak(Box::new(Watcher::new(process::id(), start)));
        let key = StreamKey::new(TypeId::of::<()>(), Device::new(BackendKind::Host, 0), 16);
        let (send, dropped) = channel();
        let record = || Arc::new(Record(Mutex::new(send.clone())));
        for _ in 0..2 {
            let error = watcher.push(key, record()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::OutOfMemory);
            assert!(error.to_string().contains("error 11"), "{error}");
            dropped.try_recv().expect("the record is not kept");
        }
        MAY_START.store(true, Ordering::SeqCst);
        for _ in 0..3 {
            watcher.push(key, record()).unwrap();
            dropped.recv().expect("the thread runs");
        }
    }
}
