//! Fault seeding: deliberate bugs that a run or a sanitizer must detect.
//!
//! Compiled only with the feature `seeded-bugs`, because some are undefined behaviour on purpose.

use std::cell::UnsafeCell;

use gpu_stream_conformance::fixture::StreamOf;
use gpu_stream_conformance::{Fixture, Outcome};
use gpu_stream_core::{Event, Stream};

use crate::counters::{Closure, UnsyncCell};
use crate::ordering_checks::submit;
use crate::worker::Worker;

/// A deliberate bug, and what must detect it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum SeededBug {
    /// Memory that is never freed. Detected by the soak, the leak sanitizers and memcheck.
    Leak,
    /// Work that depends on another stream and does not wait for it. Detected by an ordering check.
    NoWait,
    /// A finding, then a thread that blocks forever. The run exits and reports the finding.
    Hang,
    /// A closure that counts two runs. Detected by the counters.
    RanTwice,
    /// Work of two unordered streams on one number. Detected by ThreadSanitizer.
    Race,
    /// Two system locks that are taken in both orders. Detected by helgrind.
    LockOrder,
    /// Work that reads memory freed before it runs. Detected by AddressSanitizer and memcheck.
    UseAfterFree,
}

/// Number that all threads access without any order.
struct Shared(UnsafeCell<u64>);

// SAFETY: none, on purpose: this is the seeded race.
unsafe impl Sync for Shared {}

static SHARED: Shared = Shared(UnsafeCell::new(0));

/// Pointer that a closure captures and that dangles when the closure runs.
struct DanglingPtr(*const u64);

// SAFETY: a pointer to a `u64` may be sent to another thread. That it dangles is the seeded bug.
unsafe impl Send for DanglingPtr {}

impl DanglingPtr {
    fn read(&self) -> u64 {
        // SAFETY: none, on purpose: the memory was freed.
        unsafe { self.0.read_volatile() }
    }
}

/// A lock of the system. helgrind does not know Rust's futex-based `Mutex`.
#[cfg(unix)]
struct SystemMutex(UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: a `pthread_mutex_t` may be used by several threads.
#[cfg(unix)]
unsafe impl Sync for SystemMutex {}

#[cfg(unix)]
static LOCKS: [SystemMutex; 2] =
    [const { SystemMutex(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER)) }; 2];

/// Takes both locks in one order, then in the other.
#[cfg(unix)]
fn lock_in_both_orders() {
    // Prevents the deadlock itself: only the lock order is the seeded bug.
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    for order in [[0, 1], [1, 0]] {
        // SAFETY: the locks are static and initialized, and this thread unlocks what it locked.
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

/// Takes two of std's locks in both orders: helgrind, which must detect that, is for Unix only.
#[cfg(not(unix))]
fn lock_in_both_orders() {
    static LOCKS: [std::sync::Mutex<()>; 2] = [const { std::sync::Mutex::new(()) }; 2];
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    for order in [[0, 1], [1, 0]] {
        let _both = order.map(|one| LOCKS[one].lock());
    }
}

/// Triggers the seeded bug of the plan, if there is one.
pub(crate) fn trigger<F: Fixture>(worker: &mut Worker<'_, F>) -> Outcome {
    let Some(bug) = worker.handles.seeded_bug else { return Ok(()) };
    let (stream, other) = (worker.own_stream(), worker.own_stream());
    let counters = &worker.handles.counters;
    match bug {
        SeededBug::Leak => {
            std::mem::forget(std::hint::black_box(Box::new([1_u8; 128])));
            Ok(())
        }
        SeededBug::NoWait if stream == other => Ok(()),
        SeededBug::NoWait => skip_a_wait(worker, &stream, &other),
        SeededBug::Hang => {
            counters.found("seeded bug: a finding before a hang");
            loop {
                std::thread::park();
            }
        }
        SeededBug::RanTwice => {
            let closure = Closure::new(counters);
            Ok(stream.launch_host_func(Box::new(move || {
                closure.count_run();
                closure.count_run();
            }))?)
        }
        SeededBug::Race => submit(counters, &stream, |_| {
            // SAFETY: none, on purpose: other threads access `SHARED` at the same time.
            unsafe { *SHARED.0.get() += 1 };
        }),
        SeededBug::LockOrder => {
            lock_in_both_orders();
            Ok(())
        }
        SeededBug::UseAfterFree => {
            let gate = worker.handles.fixture.gate(&stream)?;
            let number = Box::new(7_u64);
            let freed = DanglingPtr(&raw const *number);
            submit(counters, &stream, move |_| {
                std::hint::black_box(freed.read());
            })?;
            drop(number);
            worker.handles.fixture.open(&gate);
            Ok(())
        }
    }
}

/// Submits work to `other` that depends on `stream` and does not wait for it.
fn skip_a_wait<F: Fixture>(
    worker: &Worker<'_, F>,
    stream: &StreamOf<F>,
    other: &StreamOf<F>,
) -> Outcome {
    let counters = &worker.handles.counters;
    let gate = worker.handles.fixture.gate(stream)?;
    let written = UnsyncCell::new();
    let read = std::sync::Arc::clone(&written);
    submit(counters, stream, move |_| written.set(1))?;
    submit(counters, other, move |counters| {
        if read.get() != 1 {
            counters.found("seeded bug: unordered work ran first");
        }
    })?;
    // The gate opens only after the read, so this is a wrong order and not a data race.
    let done = other.record_event()?;
    while !done.query()? && !counters.is_stopped() {
        std::thread::yield_now();
    }
    worker.handles.fixture.open(&gate);
    Ok(())
}
