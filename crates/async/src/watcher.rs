//! The thread that asks the events and wakes the futures: [`Watcher`].

use std::cell::Cell;
use std::io;
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

thread_local! {
    // Has no destructor, so it stays usable until the thread has ended.
    static IN_DESTRUCTOR: Cell<bool> = const { Cell::new(false) };
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
pub(crate) struct Watcher {
    process: u32,
    inbox: Mutex<Inbox>,
    /// Signaled when a record comes while the thread sleeps.
    arrived: Condvar,
    /// The number of records whose futures were dropped, and that the thread may still have.
    abandoned: AtomicUsize,
    /// Starts the thread.
    start: fn(&'static Watcher) -> io::Result<()>,
}

#[derive(Default)]
struct Inbox {
    records: Vec<(StreamKey, Arc<dyn Watched>)>,
    is_started: bool,
    is_asleep: bool,
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
fn start(watcher: &'static Watcher) -> io::Result<()> {
    thread::Builder::new().name("gpu-stream-await".into()).spawn(|| watcher.run()).map(drop)
}

/// A record that a watcher has.
#[derive(Clone, Copy)]
pub(crate) struct Registration(&'static Watcher);

impl Registration {
    /// Returns `true` if the watcher's thread exists in this process: it does not in the child of a fork.
    pub(crate) fn is_of_this_process(self) -> bool {
        self.0.process == process::id()
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
    fn new(process: u32, start: fn(&'static Watcher) -> io::Result<()>) -> Self {
        Watcher {
            process,
            inbox: Mutex::default(),
            arrived: Condvar::new(),
            abandoned: AtomicUsize::new(0),
            start,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&'static self, key: StreamKey, watched: Arc<dyn Watched>) -> Result<(), ContractError> {
        let mut inbox = self.lock();
        if !inbox.is_started {
            // The new thread waits for the lock.
            (self.start)(self).map_err(|error| ContractError::NoThread {
                operation: "Done::poll",
                code: error.raw_os_error(),
            })?;
            inbox.is_started = true;
        }
        inbox.records.push((key, watched));
        if std::mem::take(&mut inbox.is_asleep) {
            drop(inbox);
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Asks the events and wakes the futures. The body of the thread.
    fn run(&self) -> ! {
        let (mut waiting, mut arrived) = (Waiting::default(), Vec::new());
        // The last time at which a record came or ended.
        let mut progress = Instant::now();
        loop {
            // Code of users is guarded where it runs. This guard is for what was overlooked: without the thread, no await
            // of the process would end.
            run_quietly(|| self.run_once(&mut waiting, &mut arrived, &mut progress));
        }
    }

    /// Receives the records that have come, asks each stream's events, and pauses if there is nothing new.
    fn run_once(
        &self,
        waiting: &mut Waiting,
        arrived: &mut Vec<(StreamKey, Arc<dyn Watched>)>,
        progress: &mut Instant,
    ) {
        self.receive(arrived, waiting.len() == 0);
        let has_arrived = !arrived.is_empty();
        for (key, watched) in arrived.drain(..) {
            waiting.push(key, watched);
        }
        self.remove_abandoned(waiting);
        if waiting.settle(finish) || has_arrived {
            *progress = Instant::now();
        } else if waiting.len() > 0 {
            self.pause(progress.elapsed());
        }
    }

    /// Moves the records that have come to `arrived`. With `block`, blocks until there is one.
    fn receive(&self, arrived: &mut Vec<(StreamKey, Arc<dyn Watched>)>, block: bool) {
        let mut inbox = self.lock();
        while block && inbox.records.is_empty() {
            inbox.is_asleep = true;
            inbox = self.arrived.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
        inbox.is_asleep = false;
        std::mem::swap(&mut inbox.records, arrived);
    }

    /// Removes the records of dropped futures, if they are more than half of all: so each removal is paid by its drop.
    fn remove_abandoned(&self, waiting: &mut Waiting) {
        let abandoned = self.abandoned.load(Ordering::Relaxed);
        if abandoned * 2 > waiting.len() {
            // Those that come from here on are counted for the next time.
            self.abandoned.fetch_sub(abandoned, Ordering::Relaxed);
            waiting.remove_abandoned().into_iter().for_each(finish);
        }
    }

    /// Yields at first, and then sleeps, for a quarter of the time since the last progress. A record that comes ends the
    /// sleep.
    fn pause(&self, quiet: Duration) {
        if quiet < SPIN {
            thread::yield_now();
            return;
        }
        let mut inbox = self.lock();
        if inbox.records.is_empty() {
            inbox.is_asleep = true;
            let pause = (quiet / 4).clamp(SHORTEST, LONGEST);
            let woken = self.arrived.wait_timeout(inbox, pause);
            woken.unwrap_or_else(PoisonError::into_inner).0.is_asleep = false;
        }
    }
}

/// Drops the watcher's reference to a record whose work has ended, and then wakes its future: a task that was woken has the
/// last reference to its event and its stream's owner. Nothing is held, and a panic of the waker or of a destructor ends here.
fn finish(watched: Arc<dyn Watched>) {
    let waker = run_quietly(|| watched.take_waker()).flatten();
    refuse_awaits(|| run_quietly(move || drop(watched)));
    // Awaits are not refused here: some executors poll inside a waker, and such a poll does not wait.
    if let Some(waker) = waker {
        run_quietly(|| waker.wake());
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
        let start = |watcher| match MAY_START.load(Ordering::SeqCst) {
            true => start(watcher),
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
