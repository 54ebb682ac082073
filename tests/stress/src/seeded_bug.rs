//! Defects of the test's own, which a run or a sanitizer has to notice. Never in an ordinary build:
//! some are undefined behaviour on purpose.

use std::cell::UnsafeCell;

use gpu_stream_conformance::{Fixture, Outcome};
use gpu_stream_core::{Event, Stream};

use crate::counters::{Closure, Plain};
use crate::ordering_checks::submit;
use crate::worker::Worker;

/// What is planted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum SeededBug {
    /// Memory that is never freed: the soak, the leak sanitizers and memcheck notice.
    Leak,
    /// Work on one stream that needs work on another and does not wait for it: a proof fails.
    NoWait,
    /// A finding, and a thread that then never goes on: the run ends, and says what was found.
    Hang,
    /// A closure that counts twice that it ran: the tally does not come out.
    RanTwice,
    /// Work of two streams on one number, without an order: a sanitizer for threads notices.
    Race,
    /// Two locks of the system that are taken in one order and in the other: helgrind notices.
    LockOrder,
    /// Work that reads memory freed before it runs: a sanitizer for addresses notices.
    UseAfterFree,
}

/// A number that is shared by all, without an order.
struct Shared(UnsafeCell<u64>);

// SAFETY: none, on purpose: this is the race.
unsafe impl Sync for Shared {}

static SHARED: Shared = Shared(UnsafeCell::new(0));

/// A pointer that a closure takes along.
struct Freed(*const u64);

// SAFETY: as far as threads go, a pointer to a number may be sent; that it dangles is the defect.
unsafe impl Send for Freed {}

impl Freed {
    fn read(&self) -> u64 {
        // SAFETY: none, on purpose: the memory was freed.
        unsafe { self.0.read_volatile() }
    }
}

/// The system's own lock, since Rust's is not made of it.
struct Lock(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: that is what a lock is for.
unsafe impl Sync for Lock {}

static LOCKS: [Lock; 2] = [const { Lock(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER)) }; 2];

fn lock_in_both_orders() {
    // So that it does not happen that two threads wait for each other, which is the defect.
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    for order in [[0, 1], [1, 0]] {
        // SAFETY: the locks are static and initialised, and each is given back by who took it.
        unsafe {
            for one in order {
                libc::pthread_mutex_lock(LOCKS[one].0.get());
            }
            for one in order {
                libc::pthread_mutex_unlock(LOCKS[one].0.get());
            }
        }
    }
}

pub(crate) fn act<F: Fixture>(hand: &mut Worker<'_, F>) -> Outcome {
    let Some(plant) = hand.world.plant else { return Ok(()) };
    let (stream, other) = (hand.own(), hand.own());
    let counters = &hand.world.counters;
    match plant {
        SeededBug::Leak => {
            std::mem::forget(std::hint::black_box(Box::new([1_u8; 128])));
            Ok(())
        }
        SeededBug::NoWait if stream == other => Ok(()),
        SeededBug::NoWait => {
            let gate = hand.world.fixture.gate(&stream)?;
            let written = Plain::new();
            let read = std::sync::Arc::clone(&written);
            submit(counters, &stream, move |_| written.set(1))?;
            submit(counters, &other, move |counters| {
                if read.get() != 1 {
                    counters.found("work that nothing orders ran first, as was planted");
                }
            })?;
            // Only then may the first run, so that this is a wrong order and not a race.
            let done = other.record_event()?;
            while !done.query()? && !counters.is_stopped() {
                std::thread::yield_now();
            }
            hand.world.fixture.open(&gate);
            Ok(())
        }
        SeededBug::Hang => {
            counters.found("a finding, and then a hang, as was planted");
            loop {
                std::thread::park();
            }
        }
        SeededBug::RanTwice => {
            let closure = Closure::new(counters);
            Ok(stream.launch_host_func(Box::new(move || {
                closure.runs();
                closure.runs();
            }))?)
        }
        SeededBug::Race => submit(counters, &stream, |_| {
            // SAFETY: none, on purpose.
            unsafe { *SHARED.0.get() += 1 };
        }),
        SeededBug::LockOrder => {
            lock_in_both_orders();
            Ok(())
        }
        SeededBug::UseAfterFree => {
            let gate = hand.world.fixture.gate(&stream)?;
            let number = Box::new(7_u64);
            let freed = Freed(&raw const *number);
            submit(counters, &stream, move |_| {
                std::hint::black_box(freed.read());
            })?;
            drop(number);
            hand.world.fixture.open(&gate);
            Ok(())
        }
    }
}
