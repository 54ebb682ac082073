//! In the steady state no operation allocates. Counted, over all threads of the process.
//!
//! Alone in its file: other tests would be counted with it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use gpu_stream_core::{Backend, Event, EventOptions, Stream, StreamOptions};
use gpu_stream_host::{Host, HostStream};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static RAN: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: everything is std's; counting changes nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is the one that std asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) };
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const ROUNDS: u64 = 2_000;
const THREADS: u64 = 8;

/// What all of the rounds may allocate together, since it is made at first need: a signal for each
/// thread, a second chunk and a list of waiters for each stream. One allocation in each round would
/// be far more.
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

/// Every operation that a program repeats.
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

/// How many allocations `rounds` makes on each of the threads, which it gets by number.
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
        // All threads are there, and wait for us.
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        start.wait();
        end.wait();
        ALLOCATIONS.load(Ordering::Relaxed) - before
    })
}

#[test]
fn the_steady_state_allocates_nothing() {
    let own: Vec<_> = (0..THREADS).map(|_| [stream(), stream()]).collect();
    let shared = [stream(), stream()];
    // Made once, and then recorded again and again.
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
