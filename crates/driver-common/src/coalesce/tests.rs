//! The order of a leader's steps, one by one, and many threads at once. Weak memory is tested by loom.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};

use super::state::{STATE_MASK, WAITING, WaiterSlot};
use super::{Broken, EventOps, RecordCoalescer};

const STREAM: usize = 0x7f00_1230;

/// A driver of one stream. A record covers all work that was counted before it.
#[derive(Default)]
struct Driver {
    submitted: AtomicUsize,
    /// The amount of work that each event's record covers.
    records: Mutex<Vec<usize>>,
    free: Mutex<Vec<usize>>,
    made: AtomicUsize,
    /// The number of records that have begun, and the number that may complete.
    gate: Mutex<(usize, usize)>,
    opened: Condvar,
    fails: bool,
    captured: bool,
}

impl Driver {
    fn new() -> Self {
        Driver { gate: Mutex::new((0, usize::MAX)), ..Driver::default() }
    }

    /// Lets `count` records complete.
    fn allow_records(&self, count: usize) {
        self.gate.lock().unwrap().1 = count;
        self.opened.notify_all();
    }

    /// Blocks until `count` records have begun.
    fn wait_for_records(&self, count: usize) {
        let mut gate = self.gate.lock().unwrap();
        while gate.0 < count {
            gate = self.opened.wait(gate).unwrap();
        }
    }
}

/// A call of a thread whose own work is number `.1`.
struct Call<'a>(&'a Driver, usize);

impl EventOps for Call<'_> {
    type Error = &'static str;

    fn acquire(&self) -> Result<usize, Self::Error> {
        let free = self.0.free.lock().unwrap().pop();
        Ok(free.unwrap_or_else(|| {
            self.0.records.lock().unwrap().push(0);
            self.0.made.fetch_add(1, Ordering::SeqCst) + 1
        }))
    }

    fn release(&self, event: usize) {
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

/// Submits work, then waits for the stream.
fn call(coalescer: &RecordCoalescer, driver: &Driver) -> Result<(), &'static str> {
    let submitted = driver.submitted.fetch_add(1, Ordering::SeqCst) + 1;
    coalescer.wait_for(STREAM, &Call(driver, submitted))
}

/// Returns the number of published slots that wait for the stream.
fn waiting(coalescer: &RecordCoalescer) -> usize {
    let pending = coalescer.bucket_of(STREAM).pending.load(Ordering::SeqCst);
    let is_waiting = |&(index, slot): &(usize, &WaiterSlot)| {
        slot.state.load(Ordering::SeqCst) & STATE_MASK == WAITING && pending & 1 << index != 0
    };
    coalescer.slots.iter().enumerate().filter(is_waiting).count()
}

fn wait_for_waiters(coalescer: &RecordCoalescer, count: usize) {
    while waiting(coalescer) < count {
        std::thread::yield_now();
    }
}

/// Starts three calls while a record is being made, so that the record does not cover their work. Returns
/// the number of records and the results of the three calls.
fn call_three_during_a_record(driver: Driver) -> (usize, Vec<Result<(), &'static str>>) {
    let coalescer = RecordCoalescer { spin_limit: u32::MAX, ..RecordCoalescer::new() };
    driver.allow_records(0);
    let outcomes = std::thread::scope(|scope| {
        let first = scope.spawn(|| call(&coalescer, &driver));
        driver.wait_for_records(1);
        let later: Vec<_> = (0..3).map(|_| scope.spawn(|| call(&coalescer, &driver))).collect();
        wait_for_waiters(&coalescer, 3);
        driver.allow_records(usize::MAX);
        let _ = first.join().unwrap();
        later.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    (driver.gate.into_inner().unwrap().0, outcomes)
}

/// Starts a third call while the second caller, as the leader, makes its record. Returns the result of the
/// third call.
fn call_during_a_leaders_record(broken: Option<Broken>) -> Result<(), &'static str> {
    let coalescer = RecordCoalescer { broken, spin_limit: u32::MAX, ..RecordCoalescer::new() };
    let driver = Driver::new();
    driver.allow_records(0);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| call(&coalescer, &driver));
        driver.wait_for_records(1);
        let second = scope.spawn(|| call(&coalescer, &driver));
        wait_for_waiters(&coalescer, 1);
        driver.allow_records(1);
        driver.wait_for_records(2);
        let third = scope.spawn(|| call(&coalescer, &driver));
        wait_for_waiters(&coalescer, 1);
        driver.allow_records(usize::MAX);
        assert_eq!((first.join().unwrap(), second.join().unwrap()), (Ok(()), Ok(())));
        third.join().unwrap()
    })
}

#[test]
fn record_does_not_serve_callers_that_arrive_during_it() {
    assert_eq!(call_during_a_leaders_record(None), Ok(()));
}

#[test]
fn record_before_the_claim_is_detected() {
    let outcome = call_during_a_leaders_record(Some(Broken::RecordsTooEarly));
    assert_eq!(outcome, Err("too early"));
}

#[test]
fn callers_that_arrive_during_a_record_share_the_next() {
    let (records, outcomes) = call_three_during_a_record(Driver::new());
    assert_eq!(outcomes, [Ok(()); 3]);
    assert_eq!(records, 2, "one for the first, and one for the three");
}

#[test]
fn capturing_stream_is_not_coalesced() {
    let (records, outcomes) =
        call_three_during_a_record(Driver { captured: true, ..Driver::new() });
    assert_eq!((records, outcomes), (4, vec![Ok(()); 3]));
}

#[test]
fn failed_record_is_reported_to_each_caller() {
    let (_, outcomes) = call_three_during_a_record(Driver { fails: true, ..Driver::new() });
    assert_eq!(outcomes, [Err("no record"); 3]);
}

#[test]
fn waiting_for_a_leader_is_bounded() {
    let (coalescer, driver) = (RecordCoalescer::new(), Driver::new());
    driver.allow_records(0);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| call(&coalescer, &driver));
        driver.wait_for_records(1);
        // The second record begins although the first goes on.
        let second = scope.spawn(|| call(&coalescer, &driver));
        driver.wait_for_records(2);
        driver.allow_records(usize::MAX);
        assert_eq!((first.join().unwrap(), second.join().unwrap()), (Ok(()), Ok(())));
    });
    assert_eq!(waiting(&coalescer), 0);
}

#[test]
fn leader_of_another_stream_in_the_bucket_is_not_waited_for() {
    let (coalescer, driver) =
        (RecordCoalescer { spin_limit: u32::MAX, ..RecordCoalescer::new() }, Driver::new());
    let bucket = |stream: usize| std::ptr::from_ref(coalescer.bucket_of(stream));
    let other = (STREAM + 16..).step_by(16).find(|&other| bucket(other) == bucket(STREAM)).unwrap();
    driver.allow_records(0);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| call(&coalescer, &driver));
        driver.wait_for_records(1);
        let second = Driver::new();
        assert_eq!(coalescer.wait_for(other, &Call(&second, 0)), Ok(()));
        driver.allow_records(usize::MAX);
        assert_eq!(first.join().unwrap(), Ok(()));
    });
}

/// Checks in each thread that the record covers the thread's own work.
#[test]
fn eight_threads_share_one_stream() {
    let (coalescer, driver) = (RecordCoalescer::new(), Driver::new());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                (0..2_000).for_each(|_| assert_eq!(call(&coalescer, &driver), Ok(())));
            });
        }
    });
    // At most one free event for each thread, and the event of the bucket.
    assert!(driver.made.into_inner() <= 9);
}
