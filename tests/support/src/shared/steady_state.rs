//! Calls that were made before do not create events, allocate, or wait for another thread.
//!
//! The driver is [`Vendor::faulty_library`], which counts calls and blocks them. Its own memory does not
//! count. The test program's allocator is [`CountingAllocator`](crate::CountingAllocator).

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gpu_stream_core::{Backend, Event, EventOptions, Stream};
use gpu_stream_faults::{At, Controls, InjectedFault, Threads};

use crate::vendor::{EventOf, StreamOf, Vendor, device, own_event, own_stream, ptr};
use crate::{Case, allocations};

/// Returns all cases.
pub fn cases<V: Vendor>() -> Vec<Case> {
    crate::shared_cases![V, steady_state:
        allocations_and_events_are_counted,
        one_thread,
        eight_threads_on_their_own_streams,
        eight_threads_on_one_stream,
        no_thread_waits_for_another,
        ended_threads_leave_their_events
    ]
    .into()
}

/// How often [`Part::every_call`] calls `record_event`.
const HELD: usize = 4;

/// A thread's streams.
struct Part<V: Vendor> {
    source: StreamOf<V>,
    waiter: StreamOf<V>,
    branches: [StreamOf<V>; 4],
}

impl<V: Vendor> Part<V> {
    fn of(source: &StreamOf<V>) -> Self {
        let branches = std::array::from_fn(|_| own_stream::<V>());
        Part { source: source.clone(), waiter: own_stream::<V>(), branches }
    }

    /// Has the maximum number of events out, at the same time as all other threads. A thread that searches
    /// while others return their events may miss those, and must find another.
    fn most_at_once(&self, all: &Barrier) {
        let held = [(); 4].map(|()| self.source.record_event().unwrap());
        all.wait();
        // A fork holds its event from the first branch to the last.
        let branches = self.branches.iter().enumerate().map(|(index, branch)| {
            if index == 1 {
                all.wait();
            }
            branch
        });
        self.source.fork(branches).unwrap();
        drop(held);
    }

    /// Waits without the backend, so that the next calls find nothing pending.
    fn become_idle(&self) {
        let streams = self.branches.iter().chain([&self.source, &self.waiter]);
        streams.for_each(|stream| V::synchronize(ptr::<V>(stream)));
    }

    /// Makes every call that a program repeats.
    fn every_call(&self, event: &EventOf<V>) {
        let Part { source, waiter, branches } = self;
        waiter.wait_stream(source).unwrap();
        source.fork(branches).unwrap();
        source.join(branches).unwrap();
        self.become_idle();
        let held = [(); HELD].map(|()| source.record_event().unwrap());
        held.iter().for_each(|event| waiter.wait_event(event).unwrap());
        source.record(event).unwrap();
        self.become_idle();
        event.query().unwrap();
        event.synchronize().unwrap();
        source.query().unwrap();
        source.synchronize().unwrap();
        source.capture_status().unwrap();
        let (raw, first) = (source.raw(), device::<V>());
        // SAFETY: the stream is alive, and belongs to this device.
        let [checked, unchecked] = unsafe {
            [
                V::Backend::stream_from_raw(raw, None),
                V::Backend::stream_from_raw_unchecked(raw, first),
            ]
        };
        waiter.wait_stream(&checked.unwrap()).unwrap();
        waiter.wait_stream(&unchecked.unwrap()).unwrap();
        self.become_idle();
    }
}

/// Returns the number of calls of `name` since the calls are watched, and watches anew.
fn calls(controls: &Controls, name: &str) -> usize {
    let count = controls.seen().iter().filter(|call| *call == name).count();
    controls.watch(Threads::All);
    count
}

/// Checks that the counters of the other cases count.
pub fn allocations_and_events_are_counted<V: Vendor>() {
    own_stream::<V>();
    let controls = V::controls();
    let before = allocations();
    drop(Box::new(before));
    assert_eq!(allocations(), before + 1);
    controls.watch(Threads::All);
    drop(own_event::<V>(EventOptions::timed()));
    assert_eq!(calls(controls, V::CREATES_EVENT), 1);
}

/// How often [`expect_nothing_new`] counts before it fails.
const PHASES: usize = 40;

/// Runs `every_call` on one thread for each of `parts`, to warm up, and then in phases of `times` each. Checks
/// that a phase creates no event, and allocates no more often than `record_event` does and `allowed` says.
///
/// A phase in which more work is pending at once than ever before creates what that needs. What each call
/// created would show in all phases.
fn expect_nothing_new<V: Vendor>(parts: &[Part<V>], times: usize, allowed: usize) {
    let controls = V::controls();
    let allowed = allowed + V::RECORD_EVENT_ALLOCATES * HELD * times * parts.len();
    let (barrier, threads) = (Barrier::new(parts.len() + 1), Barrier::new(parts.len()));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for part in parts {
            scope.spawn(|| {
                let event = own_event::<V>(EventOptions::new());
                // An event of HIP that is recorded again has a second handle from then on.
                part.every_call(&event);
                part.every_call(&event);
                part.most_at_once(&threads);
                while !is_over.load(Ordering::SeqCst) {
                    barrier.wait();
                    barrier.wait();
                    (0..times).for_each(|_| part.every_call(&event));
                    barrier.wait();
                    barrier.wait();
                }
            });
        }
        let mut created = (0, 0);
        for phase in 1..=PHASES {
            barrier.wait();
            controls.watch(Threads::All);
            let before = allocations();
            barrier.wait();
            barrier.wait();
            let allocated = allocations() - before;
            created = (calls(controls, V::CREATES_EVENT), allocated);
            let is_right = created.0 == 0 && created.1 <= allowed;
            is_over.store(is_right || phase == PHASES, Ordering::SeqCst);
            barrier.wait();
            if is_over.load(Ordering::SeqCst) {
                break;
            }
        }
        let (events, allocated) = created;
        assert_eq!(events, 0, "events that the last phase created");
        assert!(allocated <= allowed, "{allocated} allocations in the last phase, of {allowed}");
    });
    controls.clear();
}

/// How often each of several threads makes every call in a phase.
const TIMES: usize = 10;

/// Returns how many allocations a phase of eight threads may make: none, or one for each ten calls of a driver
/// on which calls that find pending work allocate.
fn allowed_while_pending<V: Vendor>() -> usize {
    const CALLS: usize = 20;
    if V::PENDING_ALLOCATES { 8 * TIMES * CALLS / 10 } else { 0 }
}

/// Checks that one thread creates nothing when it repeats every call.
pub fn one_thread<V: Vendor>() {
    expect_nothing_new::<V>(&[Part::of(&own_stream::<V>())], 50, 0);
}

/// Checks that threads create nothing when they repeat every call, each on streams of its own.
pub fn eight_threads_on_their_own_streams<V: Vendor>() {
    let parts: Vec<_> = (0..8).map(|_| Part::of(&own_stream::<V>())).collect();
    expect_nothing_new::<V>(&parts, TIMES, allowed_while_pending::<V>());
}

/// Checks that threads create nothing when they repeat every call on one source. Their order is the subject
/// of [`data_order`](super::data_order::threads_with_a_shared_source_keep_order).
pub fn eight_threads_on_one_stream<V: Vendor>() {
    let source = own_stream::<V>();
    let parts: Vec<_> = (0..8).map(|_| Part::of(&source)).collect();
    expect_nothing_new::<V>(&parts, TIMES, allowed_while_pending::<V>());
}

/// Checks that one thread that is blocked inside the driver blocks no other. The others use the same stream
/// and many more, some of which share its entry in every table.
pub fn no_thread_waits_for_another<V: Vendor>() {
    let part: Part<V> = Part::of(&own_stream::<V>());
    let controls = V::controls();
    let others: Vec<_> = (0..600).map(|_| own_stream::<V>()).collect();
    let event = own_event::<V>(EventOptions::new());
    for function in [V::RECORDS, V::WAITS, V::CREATES_EVENT] {
        // More than the pool keeps, so that an event must be created.
        let held: Vec<_> = (0..4_200).map(|_| part.source.record_event().unwrap()).collect();
        controls.set(function, At::Occurrence(1), Threads::All, InjectedFault::Hold);
        std::thread::scope(|scope| {
            let (source, branch) = (&part.source, &part.branches[0]);
            let blocked = scope.spawn(move || {
                branch.wait_stream(source).unwrap();
                drop(source.record_event().unwrap());
            });
            assert!(controls.await_held(1, Duration::from_secs(60)), "{function} is not called");
            part.every_call(&event);
            for other in &others {
                part.waiter.wait_stream(other).unwrap();
            }
            controls.clear();
            blocked.join().unwrap();
        });
        drop(held);
    }
}

/// Checks that a thread that ends returns its events.
pub fn ended_threads_leave_their_events<V: Vendor>() {
    let part: Part<V> = Part::of(&own_stream::<V>());
    let event = own_event::<V>(EventOptions::new());
    part.every_call(&event);
    part.every_call(&event);
    let live = V::controls().live("event");
    for _ in 0..100 {
        std::thread::scope(|scope| {
            scope.spawn(|| part.every_call(&event)).join().unwrap();
        });
    }
    assert_eq!(V::controls().live("event"), live);
}
