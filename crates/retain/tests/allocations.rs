//! Tests that retained values cost one allocation each in the steady state: their box. Small ones cost none. The test is alone in its
//! file, because it would count the allocations of other tests too.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use gpu_stream_core::{Backend, Event, Stream, StreamOptions};
use gpu_stream_host::{Gate, Host, HostEvent, HostStream};
use gpu_stream_retain::Reclaimer;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

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

/// The number of values in each round, and of rounds.
const VALUES: u64 = 100;
const ROUNDS: u64 = 200;

/// The number of allocations that all rounds may make together, for chunks and wakers of the host's executor. One
/// event or buffer in each round would be more.
const ONCE: u64 = 50;

fn stream() -> HostStream {
    Host::new_stream(Host::device(0).expect("device"), StreamOptions::new()).expect("stream")
}

/// Returns the number of allocations of all rounds.
fn count(mut round: impl FnMut()) -> u64 {
    (0..20).for_each(|_| round());
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (0..ROUNDS).for_each(|_| round());
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

#[test]
fn steady_state_allocates_the_values_boxes_only() {
    let (one, other) = (stream(), stream());
    let reclaimer = Reclaimer::new();
    let retain = |value: u64, streams: &[&HostStream]| {
        reclaimer.retain([value; 4], streams).map_err(|refused| refused.into_error())
    };

    // All values are dropped in each round, without a mark.
    let idle = count(|| {
        (0..VALUES).for_each(|value| retain(value, &[&one]).expect("retain"));
        assert_eq!(reclaimer.collect().expect("collect").pending, 0);
    });
    // Values wait for marks on two streams, and the entry becomes empty in each round.
    let marked = count(|| {
        (0..VALUES).for_each(|value| {
            one.launch(|| ()).expect("launch");
            retain(value, &[&one, &other]).expect("retain");
        });
        reclaimer.collect().expect("collect");
        reclaimer.drain().expect("drain");
        assert_eq!(reclaimer.pending(), 0);
    });
    // A small value needs no box.
    let small = count(|| {
        (0..VALUES as usize).for_each(|value| {
            one.launch(|| ()).expect("launch");
            let retained = reclaimer.retain([value; 3], &[&one, &other]);
            retained.map_err(|refused| refused.into_error()).expect("retain");
        });
        reclaimer.drain().expect("drain");
        assert_eq!(reclaimer.pending(), 0);
    });
    // Some values are always pending.
    let gates: Vec<_> = (0..20 + ROUNDS).map(|_| Gate::new(one.device()).expect("gate")).collect();
    let mut gates = gates.iter();
    // The gate of the round before, and an event behind its values.
    let mut last: Option<(&Gate, HostEvent)> = None;
    let pending = count(|| {
        let gate = gates.next().expect("a gate for each round");
        one.wait_event(gate.event()).expect("wait");
        (0..VALUES).for_each(|value| retain(value, &[&one]).expect("retain"));
        let collected = reclaimer.collect().expect("collect");
        assert!(collected.pending >= VALUES as usize, "the gate is closed: {collected:?}");
        let passed = one.record_event().expect("record");
        if let Some((gate, passed)) = last.replace((gate, passed)) {
            gate.open();
            passed.synchronize().expect("synchronize");
        }
    });
    last.expect("the last gate").0.open();
    reclaimer.drain().expect("drain");
    let [idle, marked, pending] = [idle, marked, pending].map(|count| count - ROUNDS * VALUES);
    assert!(small <= ONCE, "{small} allocations for small values");
    assert!(idle <= ONCE, "{idle} allocations beyond the values while the stream is idle");
    assert!(marked <= ONCE, "{marked} allocations beyond the values with marks on two streams");
    // A stream that waits for a gate costs the host's executor one allocation, without a reclaimer as well.
    let waits = pending.saturating_sub(ROUNDS);
    assert!(waits <= ONCE, "{waits} allocations beyond the values with some always pending");
}
