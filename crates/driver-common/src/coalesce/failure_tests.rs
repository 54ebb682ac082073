//! Driver functions that panic or stall: every caller returns, and every claim is released.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::Duration;

#[cfg(target_os = "linux")]
use super::state::CLAIMED;
use super::state::{EMPTY, STATE_MASK, WAITING};
use super::{EventOps, RecordCoalescer};

const STREAM: usize = 0x7f00_1230;

/// The time after which a caller counts as hanging.
const LIMIT: Duration = Duration::from_secs(60);

/// The function of [`EventOps`] that panics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Acquire,
    Release,
    CanCoalesce,
    Record,
    Wait,
}

#[derive(Default)]
struct Driver {
    /// The functions that panic, each with the number of calls before it that do not.
    panics: Mutex<Vec<(At, usize)>>,
    made: AtomicUsize,
    free: Mutex<Vec<usize>>,
    records: AtomicUsize,
    /// The number of records that may complete.
    allowed: Mutex<usize>,
    opened: Condvar,
}

impl Driver {
    /// Panics if `at` is due.
    fn reach(&self, at: At) {
        let mut panics = self.panics.lock().unwrap();
        let panics_now = panics.iter_mut().any(|(function, left)| {
            let is_now = *function == at && *left == 0;
            *left -= usize::from(*function == at && *left > 0);
            is_now
        });
        drop(panics);
        assert!(!panics_now, "intended panic in {at:?}");
    }

    fn allow(&self, records: usize) {
        *self.allowed.lock().unwrap() = records;
        self.opened.notify_all();
    }
}

impl EventOps for &Driver {
    type Error = &'static str;

    fn acquire(&self) -> Result<usize, Self::Error> {
        self.reach(At::Acquire);
        let free = self.free.lock().unwrap().pop();
        Ok(free.unwrap_or_else(|| self.made.fetch_add(1, SeqCst) + 1))
    }

    fn release(&self, event: usize) {
        self.free.lock().unwrap().push(event);
        self.reach(At::Release);
    }

    fn can_coalesce(&self) -> bool {
        self.reach(At::CanCoalesce);
        true
    }

    fn record(&self, _: usize) -> Result<(), Self::Error> {
        let number = self.records.fetch_add(1, SeqCst) + 1;
        let mut allowed = self.allowed.lock().unwrap();
        while *allowed < number {
            allowed = self.opened.wait(allowed).unwrap();
        }
        drop(allowed);
        self.reach(At::Record);
        Ok(())
    }

    fn wait(&self, _: usize) -> Result<(), Self::Error> {
        self.reach(At::Wait);
        Ok(())
    }
}

/// A caller inside its record, and callers that wait for it.
struct Race {
    coalescer: Arc<RecordCoalescer>,
    driver: Arc<Driver>,
    ended: mpsc::Receiver<bool>,
    send: mpsc::Sender<bool>,
}

impl Race {
    fn new(spin_limit: u32) -> Self {
        let coalescer = Arc::new(RecordCoalescer { spin_limit, ..RecordCoalescer::new() });
        let (send, ended) = mpsc::channel();
        let race = Race { coalescer, driver: Arc::default(), ended, send };
        race.call();
        race.until(|race| race.driver.records.load(SeqCst) == 1);
        race
    }

    /// Calls on a new thread, which sends whether the call panicked.
    fn call(&self) -> thread::JoinHandle<()> {
        let (coalescer, driver) = (Arc::clone(&self.coalescer), Arc::clone(&self.driver));
        let send = self.send.clone();
        thread::spawn(move || {
            let call = AssertUnwindSafe(|| coalescer.wait_for(STREAM, &&*driver));
            let _ = send.send(catch_unwind(call).is_err());
        })
    }

    fn until(&self, ready: impl Fn(&Self) -> bool) {
        while !ready(self) {
            thread::yield_now();
        }
    }

    fn slots_in(&self, state: usize) -> usize {
        let slots = self.coalescer.slots.iter();
        slots.filter(|slot| slot.state.load(SeqCst) & STATE_MASK == state).count()
    }

    fn start_three_waiters(&self) {
        (0..3).for_each(|_| drop(self.call()));
        let pending =
            |race: &Self| race.coalescer.bucket_of(STREAM).pending.load(SeqCst).count_ones();
        self.until(|race| race.slots_in(WAITING) == 3 && pending(race) == 3);
    }

    /// Waits for `callers` calls to return, and returns how many of them panicked.
    fn panicked(&self, callers: usize) -> usize {
        let ends = (0..callers).map(|_| self.ended.recv_timeout(LIMIT).expect("a caller hangs"));
        ends.filter(|panicked| *panicked).count()
    }

    /// Asserts that nothing is claimed and that a new call succeeds.
    fn assert_free(&self) {
        assert_eq!(self.slots_in(EMPTY), self.coalescer.slots.len());
        assert!(self.coalescer.shared.iter().all(|record| record.remaining.load(SeqCst) == 0));
        assert_eq!(self.coalescer.bucket_of(STREAM).held.load(SeqCst), 0);
        self.driver.panics.lock().unwrap().clear();
        self.call();
        assert_eq!(self.panicked(1), 0);
        let kept = usize::from(self.coalescer.bucket_of(STREAM).event.load(SeqCst) != 0);
        let mut free = self.driver.free.lock().unwrap().clone();
        free.sort_unstable();
        free.dedup();
        assert_eq!(free.len() + kept, self.driver.made.load(SeqCst), "an event was lost");
    }
}

fn check_leader_panic(panics: &[(At, usize)], expected: std::ops::RangeInclusive<usize>) {
    let race = Race::new(u32::MAX);
    race.start_three_waiters();
    // The first caller has acquired its event, and is inside its record.
    race.driver.panics.lock().unwrap().extend_from_slice(panics);
    race.driver.allow(usize::MAX);
    let panicked = race.panicked(4);
    assert!(expected.contains(&panicked), "{panics:?}: {panicked} callers panicked");
    race.assert_free();
}

#[test]
fn leader_panic_leaves_no_caller_waiting() {
    // All later calls panic: those of the leader, and those of the callers that it declined.
    check_leader_panic(&[(At::Acquire, 0)], 3..=3);
    check_leader_panic(&[(At::Record, 1)], 3..=3);
    // The leaders panic one after the other. The last one may find no waiting slot.
    check_leader_panic(&[(At::CanCoalesce, 0)], 2..=3);
}

#[test]
fn waiter_panic_returns_its_use_of_the_record() {
    check_leader_panic(&[(At::Wait, 1)], 3..=3);
    check_leader_panic(&[(At::Release, 0)], 1..=1);
}

#[test]
fn second_panic_during_an_unwind_does_not_abort() {
    check_leader_panic(&[(At::Record, 1), (At::Release, 0)], 3..=3);
    check_leader_panic(&[(At::Wait, 1), (At::Release, 0)], 3..=3);
}

#[test]
fn uncontended_caller_panic_releases_the_bucket() {
    for at in [At::Acquire, At::Record, At::Wait] {
        let race = Race::new(u32::MAX);
        race.driver.allow(usize::MAX);
        assert_eq!(race.panicked(1), 0);
        race.coalescer.bucket_of(STREAM).event.store(0, SeqCst);
        race.driver.made.store(0, SeqCst);
        race.driver.panics.lock().unwrap().push((at, 0));
        race.call();
        assert_eq!(race.panicked(1), 1, "{at:?}");
        race.assert_free();
    }
}

/// Without a spin limit the second caller makes its own record beside the first one, and that record
/// panics.
#[test]
fn private_record_panic_returns_its_event() {
    for at in [At::Record, At::Wait] {
        let race = Race::new(0);
        race.driver.panics.lock().unwrap().push((at, 0));
        race.call();
        race.until(|race| race.driver.records.load(SeqCst) == 2);
        race.driver.allow(usize::MAX);
        assert_eq!(race.panicked(2), 2, "{at:?}");
        race.assert_free();
    }
}

/// A waiter sleeps while the leader that claimed it stalls. A waiter that only yields would keep a leader
/// of lower priority from running.
#[cfg(target_os = "linux")]
#[test]
fn claimed_waiter_sleeps() {
    let race = Race::new(u32::MAX);
    // The second caller leads after the first one, and claims the third.
    let (send, tasks) = mpsc::channel();
    for _ in 0..2 {
        let (coalescer, driver) = (Arc::clone(&race.coalescer), Arc::clone(&race.driver));
        let (send, ended) = (send.clone(), race.send.clone());
        thread::spawn(move || {
            let _ = send.send(std::fs::read_link("/proc/thread-self").expect("/proc"));
            let _ = coalescer.wait_for(STREAM, &&*driver);
            let _ = ended.send(false);
        });
    }
    race.until(|race| race.slots_in(WAITING) == 2);
    let pending = |race: &Race| race.coalescer.bucket_of(STREAM).pending.load(SeqCst).count_ones();
    race.until(|race| pending(race) == 2);
    race.driver.allow(1);
    race.until(|race| race.slots_in(CLAIMED) == 1);
    let is_asleep = |task: &std::path::PathBuf| {
        let stat = std::fs::read_to_string(std::path::Path::new("/proc").join(task).join("stat"));
        stat.is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S')))
    };
    let tasks = [tasks.recv().unwrap(), tasks.recv().unwrap()];
    // Both sleep: the leader is blocked in its record.
    race.until(|_| tasks.iter().all(is_asleep));
    race.driver.allow(usize::MAX);
    assert_eq!(race.panicked(3), 0);
}
