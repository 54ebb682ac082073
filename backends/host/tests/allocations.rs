//! Tests that no operation allocates in the steady state, over all threads of the process.
//!
//! The test is alone in its file, because it would count the allocations of other tests too.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use gpu_stream_core::{Backend, Event, EventOptions, Stream, StreamOptions};
use gpu_stream_host::{Host, HostStream};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static RAN: AtomicU64 = AtomicU64::new(0);

/// Std's allocator, with a count of the allocations.
struct Counting;

// SAFETY: every call forwards to std's allocator, which satisfies the contract. Counting has no
// effect on it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the contract of `System.alloc` is that of this function (caller contract).
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: `memory` comes from `System.alloc` with this layout (caller contract).
        unsafe { System.dealloc(memory, layout) };
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const ROUNDS: u64 = 2_000;
const THREADS: u64 = 8;

/// The number of allocations that all rounds may make together, for what is created once.
///
/// That is a parker for each thread, and a second chunk and a list of waiters for each stream. One
/// allocation in each round would be far more.
const ONCE: u64 = 100;

fn stream() -> HostStream {
    Host::new_stream(Host::device(0).expect("device"), StreamOptions::new()).expect("stream")
}

fn task() -> impl FnOnce() + Send + 'static {
    let captured = [1u64; 4];
    move || {
        RAN.fetch_add(captured[0], Ordering::Relaxed);
    }
}

/// Calls every operation that a program repeats.
fn round(one: &HostStream, other: &HostStream) {
    for _ in 0..3 {
        one.launch(task()).expect("launch");
    }
    let event = one.record_event().expect("record");
    other.wait_event(&event).expect("wait");
    other.launch(task()).expect("launch");
    one.wait_stream(other).expect("wait");
    one.record(&event).expect("record");
    one.query().expect("query");
    event.synchronize().expect("synchronize");
    other.synchronize().expect("synchronize");
    one.synchronize().expect("synchronize");
}

/// Calls `rounds` on each thread with the thread's number. Returns the number of allocations.
fn count(rounds: impl Fn(u64) + Sync) -> u64 {
    let (start, end) = (Barrier::new(THREADS as usize + 1), Barrier::new(THREADS as usize + 1));
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (start, end, rounds) = (&start, &end, &rounds);
            scope.spawn(move || {
                start.wait();
                rounds(thread);
                end.wait();
            });
        }
        // All threads exist by now, and wait at the barrier.
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        start.wait();
        end.wait();
        ALLOCATIONS.load(Ordering::Relaxed) - before
    })
}

#[test]
fn steady_state_allocates_nothing() {
    let own: Vec<_> = (0..THREADS).map(|_| [stream(), stream()]).collect();
    let shared = [stream(), stream()];
    // Created once, and recorded repeatedly.
    let again = Host::new_event(own[0][0].device(), EventOptions::new()).expect("event");

    for [one, other] in own.iter().chain([&shared]) {
        (0..50).for_each(|_| round(one, other));
    }
    let on_own = count(|thread| {
        let [one, other] = &own[thread as usize];
        (0..ROUNDS).for_each(|_| round(one, other));
    });
    let on_shared = count(|_| {
        for _ in 0..ROUNDS {
            shared[0].launch(task()).expect("launch");
            shared[0].record(&again).expect("record");
            shared[1].wait_event(&again).expect("wait");
            shared[1].synchronize().expect("synchronize");
        }
    });
    assert_eq!(RAN.load(Ordering::Relaxed), (THREADS + 1) * 50 * 4 + THREADS * ROUNDS * 5);
    assert!(on_own <= ONCE, "{on_own} allocations in {ROUNDS} rounds of {THREADS} threads");
    assert!(on_shared <= ONCE, "{on_shared} allocations in {ROUNDS} rounds on shared streams");
}
