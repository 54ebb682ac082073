//! Defects of the test's own, which a run or a sanitizer has to notice. Never in an ordinary build:
//! some are undefined behaviour on purpose.

use std::cell::UnsafeCell;

use gpu_stream_conformance::{Fixture, Outcome};
use gpu_stream_core::{Event, Stream};

use crate::hand::Hand;
use crate::proof::submit;
use crate::tally::{Closure, Plain};

/// What is planted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Plant {
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

pub(crate) fn act<F: Fixture>(hand: &mut Hand<'_, F>) -> Outcome {
    let Some(plant) = hand.world.plant else { return Ok(()) };
    let (stream, other) = (hand.own(), hand.own());
    let tally = &hand.world.tally;
    match plant {
        Plant::Leak => {
            std::mem::forget(std::hint::black_box(Box::new([1_u8; 128])));
            Ok(())
        }
        Plant::NoWait if stream == other => Ok(()),
        Plant::NoWait => {
            let gate = hand.world.fixture.gate(&stream)?;
            let written = Plain::new();
            let read = std::sync::Arc::clone(&written);
            submit(tally, &stream, move |_| written.set(1))?;
            submit(tally, &other, move |tally| {
                if read.get() != 1 {
                    tally.found("work that nothing orders ran first, as was planted");
                }
            })?;
            // Only then may the first run, so that this is a wrong order and not a race.
            let done = other.record_event()?;
            while !done.query()? && !tally.is_stopped() {
                std::thread::yield_now();
            }
            hand.world.fixture.open(&gate);
            Ok(())
        }
        Plant::Hang => {
            tally.found("a finding, and then a hang, as was planted");
            loop {
                std::thread::park();
            }
        }
        Plant::RanTwice => {
            let closure = Closure::new(tally);
            Ok(stream.launch_host_func(Box::new(move || {
                closure.runs();
                closure.runs();
            }))?)
        }
        Plant::Race => submit(tally, &stream, |_| {
            // SAFETY: none, on purpose.
            unsafe { *SHARED.0.get() += 1 };
        }),
        Plant::LockOrder => {
            lock_in_both_orders();
            Ok(())
        }
        Plant::UseAfterFree => {
            let gate = hand.world.fixture.gate(&stream)?;
            let number = Box::new(7_u64);
            let freed = Freed(&raw const *number);
            submit(tally, &stream, move |_| {
                std::hint::black_box(freed.read());
            })?;
            drop(number);
            hand.world.fixture.open(&gate);
            Ok(())
        }
    }
}
