//! Functions of the driver that panic or stand still: every caller ends, and every claim is released.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use super::{CLAIMED, EMPTY, EventOps, RecordCoalescer, STATE_MASK, WAITING};

const STREAM: usize = 0x7f00_1230;

/// Ends a test that would hang otherwise.
const LIMIT: Duration = Duration::from_secs(60);

/// The function of [`EventOps`] that panics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Take,
    Give,
    MayShare,
    Record,
    Wait,
}

#[derive(Default)]
struct Driver {
    /// Where a call panics, and how many calls before do not.
    panics: Mutex<Vec<(At, usize)>>,
    made: AtomicUsize,
    free: Mutex<Vec<usize>>,
    records: AtomicUsize,
    /// How many records may go on.
    allowed: Mutex<usize>,
    opened: Condvar,
}

impl Driver {
    fn reach(&self, at: At) {
        let mut panics = self.panics.lock().unwrap();
        let panics_now = panics.iter_mut().any(|(place, left)| {
            let is_here = *place == at && *left == 0;
            *left -= usize::from(*place == at && *left > 0);
            is_here
        });
        drop(panics);
        assert!(!panics_now, "meant to: {at:?}");
    }

    fn allow(&self, records: usize) {
        *self.allowed.lock().unwrap() = records;
        self.opened.notify_all();
    }
}

impl EventOps for &Driver {
    type Error = &'static str;

    fn take(&self) -> Result<usize, Self::Error> {
        self.reach(At::Take);
        let free = self.free.lock().unwrap().pop();
        Ok(free.unwrap_or_else(|| self.made.fetch_add(1, SeqCst) + 1))
    }

    fn give(&self, event: usize) {
        self.free.lock().unwrap().push(event);
        self.reach(At::Give);
    }

    fn can_coalesce(&self) -> bool {
        self.reach(At::MayShare);
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

/// A first caller that is inside its record, and three that wait for it.
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

    /// Calls on a new thread, which says whether the call panicked.
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

    fn seats(&self, mark: usize) -> usize {
        let seats = self.coalescer.seats.iter();
        seats.filter(|seat| seat.state.load(SeqCst) & STATE_MASK == mark).count()
    }

    fn three_sit(&self) {
        (0..3).for_each(|_| drop(self.call()));
        let asked =
            |race: &Self| race.coalescer.bucket_of(STREAM).pending.load(SeqCst).count_ones();
        self.until(|race| race.seats(WAITING) == 3 && asked(race) == 3);
    }

    /// Returns how many of the callers panicked, once all have ended.
    fn panicked(&self, callers: usize) -> usize {
        let ends = (0..callers).map(|_| self.ended.recv_timeout(LIMIT).expect("a caller hangs"));
        ends.filter(|panicked| *panicked).count()
    }

    /// Asserts that nothing is claimed, and that a new caller is served.
    fn assert_free(&self) {
        assert_eq!(self.seats(EMPTY), self.coalescer.seats.len());
        assert!(self.coalescer.rounds.iter().all(|round| round.remaining.load(SeqCst) == 0));
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

fn a_leader_panics(panics: &[(At, usize)], expected: std::ops::RangeInclusive<usize>) {
    let race = Race::new(u32::MAX);
    race.three_sit();
    // The first caller is past its `take`, and inside its `record`.
    race.driver.panics.lock().unwrap().extend_from_slice(panics);
    race.driver.allow(usize::MAX);
    let panicked = race.panicked(4);
    assert!(expected.contains(&panicked), "{panics:?}: {panicked} callers panicked");
    race.assert_free();
}

#[test]
fn a_panic_of_a_leader_leaves_no_caller_waiting() {
    // All calls from there on panic: those of the leader, and of the callers that it refused.
    a_leader_panics(&[(At::Take, 0)], 3..=3);
    a_leader_panics(&[(At::Record, 1)], 3..=3);
    // The leaders one after the other. The last one may find that none sits beside it.
    a_leader_panics(&[(At::MayShare, 0)], 2..=3);
}

#[test]
fn a_panic_of_a_served_caller_returns_its_use_of_the_record() {
    a_leader_panics(&[(At::Wait, 1)], 3..=3);
    a_leader_panics(&[(At::Give, 0)], 1..=1);
}

#[test]
fn a_second_panic_during_the_unwind_does_not_abort() {
    a_leader_panics(&[(At::Record, 1), (At::Give, 0)], 3..=3);
    a_leader_panics(&[(At::Wait, 1), (At::Give, 0)], 3..=3);
}

#[test]
fn a_panic_of_a_single_caller_releases_the_source() {
    for at in [At::Take, At::Record, At::Wait] {
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

/// No patience: the second caller makes its own record beside the first, and that one panics.
#[test]
fn a_panic_of_a_caller_without_a_leader_returns_its_event() {
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

/// What a caller does that was claimed by a leader which stands still: it sleeps. A caller that only
/// yields keeps a leader of a lower priority from running.
#[cfg(target_os = "linux")]
#[test]
fn a_claimed_caller_sleeps() {
    let race = Race::new(u32::MAX);
    // The second caller leads when the first is over, and claims the third.
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
    race.until(|race| race.seats(WAITING) == 2);
    let asked = |race: &Race| race.coalescer.bucket_of(STREAM).pending.load(SeqCst).count_ones();
    race.until(|race| asked(race) == 2);
    race.driver.allow(1);
    race.until(|race| race.seats(CLAIMED) == 1);
    let is_asleep = |task: &std::path::PathBuf| {
        let stat = std::fs::read_to_string(std::path::Path::new("/proc").join(task).join("stat"));
        stat.is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S')))
    };
    let tasks = [tasks.recv().unwrap(), tasks.recv().unwrap()];
    // Both: the leader stands in its record.
    race.until(|_| tasks.iter().all(is_asleep));
    race.driver.allow(usize::MAX);
    assert_eq!(race.panicked(3), 0);
}
