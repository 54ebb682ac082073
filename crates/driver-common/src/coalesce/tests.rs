//! The order in which a leader does things, step by step, and many threads at once. What the
//! memory model allows beyond that is loom's part.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};

use super::{Broken, EventOps, RecordCoalescer, WAITING};

const STREAM: usize = 0x7f00_1230;

/// A driver of one stream, whose records stand for all work that was counted before.
#[derive(Default)]
struct Driver {
    submitted: AtomicUsize,
    /// What the record of each event stands for.
    records: Mutex<Vec<usize>>,
    free: Mutex<Vec<usize>>,
    made: AtomicUsize,
    /// How many records were made, and how many are to be before the next one goes on.
    gate: Mutex<(usize, usize)>,
    opened: Condvar,
    fails: bool,
    captured: bool,
}

impl Driver {
    fn new() -> Self {
        Driver { gate: Mutex::new((0, usize::MAX)), ..Driver::default() }
    }

    fn open(&self, count: usize) {
        self.gate.lock().unwrap().1 = count;
        self.opened.notify_all();
    }

    /// Waits until so many records have begun.
    fn begun(&self, count: usize) {
        let mut gate = self.gate.lock().unwrap();
        while gate.0 < count {
            gate = self.opened.wait(gate).unwrap();
        }
    }
}

/// A call, of somebody who submitted this much.
struct Call<'a>(&'a Driver, usize);

impl EventOps for Call<'_> {
    type Error = &'static str;

    fn take(&self) -> Result<usize, Self::Error> {
        let free = self.0.free.lock().unwrap().pop();
        Ok(free.unwrap_or_else(|| {
            self.0.records.lock().unwrap().push(0);
            self.0.made.fetch_add(1, Ordering::SeqCst) + 1
        }))
    }

    fn give(&self, event: usize) {
        self.0.free.lock().unwrap().push(event);
    }

    fn can_coalesce(&self) -> bool {
        !self.0.captured
    }

    fn record(&self, event: usize) -> Result<(), Self::Error> {
        let submitted = self.0.submitted.load(Ordering::SeqCst);
        self.0.records.lock().unwrap()[event - 1] = submitted;
        let mut gate = self.0.gate.lock().unwrap();
        gate.0 += 1;
        self.0.opened.notify_all();
        let mine = gate.0;
        while mine > gate.1 {
            gate = self.0.opened.wait(gate).unwrap();
        }
        if self.0.fails { Err("no record") } else { Ok(()) }
    }

    fn wait(&self, event: usize) -> Result<(), Self::Error> {
        let record = self.0.records.lock().unwrap()[event - 1];
        if record >= self.1 { Ok(()) } else { Err("too early") }
    }
}

/// Submits work and waits for it.
fn call(coalescer: &RecordCoalescer, driver: &Driver) -> Result<(), &'static str> {
    let submitted = driver.submitted.fetch_add(1, Ordering::SeqCst) + 1;
    coalescer.wait_for(STREAM, &Call(driver, submitted))
}

/// How many sit and have asked for the stream.
fn asking(coalescer: &RecordCoalescer) -> usize {
    let asked = coalescer.bucket_of(STREAM).pending.load(Ordering::SeqCst);
    let sits = |&(index, seat): &(usize, &super::WaiterSlot)| {
        seat.state.load(Ordering::SeqCst) & super::STATE_MASK == WAITING && asked & 1 << index != 0
    };
    coalescer.seats.iter().enumerate().filter(sits).count()
}

fn wait_for_asking(coalescer: &RecordCoalescer, count: usize) {
    while asking(coalescer) < count {
        std::thread::yield_now();
    }
}

/// A record is being made; meanwhile three submit work and call, so that the record does not stand
/// for it. Returns how many records were made, and what the three were told.
fn three_come_later(driver: Driver) -> (usize, Vec<Result<(), &'static str>>) {
    let coalescer = RecordCoalescer { spin_limit: u32::MAX, ..RecordCoalescer::new() };
    driver.open(0);
    let outcomes = std::thread::scope(|scope| {
        let first = scope.spawn(|| call(&coalescer, &driver));
        driver.begun(1);
        let later: Vec<_> = (0..3).map(|_| scope.spawn(|| call(&coalescer, &driver))).collect();
        wait_for_asking(&coalescer, 3);
        driver.open(usize::MAX);
        let _ = first.join().unwrap();
        later.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    (driver.gate.into_inner().unwrap().0, outcomes)
}

/// The second caller has sat and leads; while its record is made, a third submits work and calls.
/// Returns what the third is told.
fn one_comes_during_a_leaders_record(broken: Option<Broken>) -> Result<(), &'static str> {
    let coalescer = RecordCoalescer { broken, spin_limit: u32::MAX, ..RecordCoalescer::new() };
    let driver = Driver::new();
    driver.open(0);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| call(&coalescer, &driver));
        driver.begun(1);
        let second = scope.spawn(|| call(&coalescer, &driver));
        wait_for_asking(&coalescer, 1);
        driver.open(1);
        driver.begun(2);
        let third = scope.spawn(|| call(&coalescer, &driver));
        wait_for_asking(&coalescer, 1);
        driver.open(usize::MAX);
        assert_eq!((first.join().unwrap(), second.join().unwrap()), (Ok(()), Ok(())));
        third.join().unwrap()
    })
}

#[test]
fn who_comes_during_a_record_is_not_served_by_it() {
    assert_eq!(one_comes_during_a_leaders_record(None), Ok(()));
}

#[test]
fn a_record_made_too_early_is_noticed() {
    let outcome = one_comes_during_a_leaders_record(Some(Broken::RecordsTooEarly));
    assert_eq!(outcome, Err("too early"));
}

#[test]
fn those_who_come_during_a_record_share_the_next() {
    let (records, outcomes) = three_come_later(Driver::new());
    assert_eq!(outcomes, [Ok(()); 3]);
    assert_eq!(records, 2, "one for the first, and one for the three");
}

#[test]
fn a_captured_stream_is_not_shared() {
    let (records, outcomes) = three_come_later(Driver { captured: true, ..Driver::new() });
    assert_eq!((records, outcomes), (4, vec![Ok(()); 3]));
}

#[test]
fn each_is_told_that_the_record_failed() {
    let (_, outcomes) = three_come_later(Driver { fails: true, ..Driver::new() });
    assert_eq!(outcomes, [Err("no record"); 3]);
}

#[test]
fn nobody_waits_for_a_leader_without_end() {
    let (coalescer, driver) = (RecordCoalescer::new(), Driver::new());
    driver.open(0);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| call(&coalescer, &driver));
        driver.begun(1);
        // The second record begins although the first goes on.
        let second = scope.spawn(|| call(&coalescer, &driver));
        driver.begun(2);
        driver.open(usize::MAX);
        assert_eq!((first.join().unwrap(), second.join().unwrap()), (Ok(()), Ok(())));
    });
    assert_eq!(asking(&coalescer), 0);
}

#[test]
fn another_stream_in_the_same_place_is_not_waited_for() {
    let (coalescer, driver) =
        (RecordCoalescer { spin_limit: u32::MAX, ..RecordCoalescer::new() }, Driver::new());
    let place = |stream: usize| std::ptr::from_ref(coalescer.bucket_of(stream));
    let other = (STREAM + 16..).step_by(16).find(|&other| place(other) == place(STREAM)).unwrap();
    driver.open(0);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| call(&coalescer, &driver));
        driver.begun(1);
        let second = Driver::new();
        assert_eq!(coalescer.wait_for(other, &Call(&second, 0)), Ok(()));
        driver.open(usize::MAX);
        assert_eq!(first.join().unwrap(), Ok(()));
    });
}

/// Each sees that a record stands for what it submitted.
#[test]
fn eight_threads_on_one_stream() {
    let (coalescer, driver) = (RecordCoalescer::new(), Driver::new());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                (0..2_000).for_each(|_| assert_eq!(call(&coalescer, &driver), Ok(())));
            });
        }
    });
    // A free event for each at the most, and the one that the source keeps.
    assert!(driver.made.into_inner() <= 9);
}
