//! Calls that were made before do not create events, allocate, or wait for another thread. Counted over
//! the runtime of `tests/fake`, whose own memory does not count. It plays three versions, which keep
//! faults, captures and errors apart in different ways.

mod support;

use std::process::ExitCode;
use std::sync::Barrier;

use gpu_stream_core::{Backend, Event, EventOptions, Stream};
use gpu_stream_hip::{Hip, HipEvent, HipStream};
use gpu_stream_test_support::CountingAllocator;
use libtest_mimic::Arguments;
use support::{device, fake, own_event, own_stream};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

const CASES: [fake::Case; 6] = [
    ("allocations_and_events_are_counted", allocations_and_events_are_counted),
    ("one_thread", |fake| nothing_new(fake, 1)),
    ("eight_threads_on_their_own_streams", |fake| nothing_new(fake, 8)),
    ("eight_threads_on_one_stream", eight_threads_on_one_stream),
    ("no_thread_waits_for_another", no_thread_waits_for_another),
    ("ended_threads_leave_their_events", ended_threads_leave_their_events),
];

/// The first omits the functions that are newer than HIP 5.2.
const VERSIONS: [fake::Version; 3] = [
    fake::Version { title: "5", number: "50221153" },
    fake::Version { title: "6", number: "60443484" },
    fake::Version { title: "7", number: "70253211" },
];

fn main() -> ExitCode {
    if fake::run_as_child(&CASES) {
        return ExitCode::SUCCESS;
    }
    let (library, old) = (fake::compile(false), fake::compile(true));
    let trials = VERSIONS.into_iter().flat_map(|version| {
        fake::trials(&CASES, version, if version.title == "5" { &old } else { &library })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// A thread's streams.
struct Part {
    source: HipStream,
    waiter: HipStream,
    branches: [HipStream; 4],
}

impl Part {
    fn of(source: &HipStream) -> Self {
        let branches = std::array::from_fn(|_| own_stream());
        Part { source: source.clone(), waiter: own_stream(), branches }
    }

    /// Has the maximum number of events out, at the same time as all other threads. A thread that
    /// searches while others return their events may miss those, and must find another.
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

    /// Makes every call that a program repeats.
    fn every_call(&self, event: &HipEvent) {
        let Part { source, waiter, branches } = self;
        waiter.wait_stream(source).unwrap();
        source.fork(branches).unwrap();
        source.join(branches).unwrap();
        let held = [(); 4].map(|()| source.record_event().unwrap());
        held.iter().for_each(|event| waiter.wait_event(event).unwrap());
        source.record(event).unwrap();
        event.query().unwrap();
        event.synchronize().unwrap();
        source.query().unwrap();
        source.synchronize().unwrap();
        source.capture_status().unwrap();
        let (raw, first) = (source.raw(), device());
        // SAFETY: the stream is alive, and belongs to this device.
        let [checked, unchecked] = unsafe {
            [Hip::stream_from_raw(raw, None), Hip::stream_from_raw_unchecked(raw, first)]
        };
        waiter.wait_stream(&checked.unwrap()).unwrap();
        waiter.wait_stream(&unchecked.unwrap()).unwrap();
    }
}

fn allocations_and_events_are_counted(fake: &fake::Fake) {
    let before = ALLOCATOR.allocations();
    drop(Box::new(fake.live_events()));
    assert_eq!(ALLOCATOR.allocations(), before + 1);
    own_stream();
    fake.calls("");
    drop(own_event(EventOptions::timed()));
    assert_eq!(fake.calls("hipEventCreateWithFlags"), 1);
}

/// Runs `call` on one thread for each of `parts`, twice to warm up, and then `times` times. Returns the
/// numbers of created events and of allocations of the second phase.
fn count(
    fake: &fake::Fake,
    parts: &[Part],
    times: usize,
    call: impl Fn(&Part, &HipEvent) + Sync,
) -> (usize, usize) {
    let (barrier, threads) = (Barrier::new(parts.len() + 1), Barrier::new(parts.len()));
    std::thread::scope(|scope| {
        for part in parts {
            scope.spawn(|| {
                let event = own_event(EventOptions::new());
                // An event that is recorded again has a second handle from then on.
                call(part, &event);
                call(part, &event);
                part.most_at_once(&threads);
                barrier.wait();
                barrier.wait();
                for _ in 0..times {
                    call(part, &event);
                }
                barrier.wait();
                barrier.wait();
            });
        }
        barrier.wait();
        fake.calls("");
        let before = ALLOCATOR.allocations();
        barrier.wait();
        barrier.wait();
        let allocations = ALLOCATOR.allocations() - before;
        let events = fake.calls("hipEventCreateWithFlags");
        barrier.wait();
        (events, allocations)
    })
}

fn nothing_new(fake: &fake::Fake, threads: usize) {
    let parts: Vec<_> = (0..threads).map(|_| Part::of(&own_stream())).collect();
    let (events, allocations) = count(fake, &parts, 200, Part::every_call);
    assert_eq!(events, 0, "created events");
    assert_eq!(allocations, 0, "allocations");
}

fn eight_threads_on_one_stream(fake: &fake::Fake) {
    let source = own_stream();
    let parts: Vec<_> = (0..8).map(|_| Part::of(&source)).collect();
    let ordered = |part: &Part, event: &HipEvent| {
        let (waiter, source) = (part.waiter.raw().as_ptr(), part.source.raw().as_ptr());
        let submitted = fake.submit(source);
        part.waiter.wait_stream(&part.source).unwrap();
        let waited = fake.waited(waiter, source);
        assert!(waited >= submitted, "the wait covers work {waited} and not {submitted}");
        part.every_call(event);
    };
    let (events, allocations) = count(fake, &parts, 500, ordered);
    assert_eq!(events, 0, "created events");
    assert_eq!(allocations, 0, "allocations");
}

/// One thread is blocked inside the runtime. All others continue, on the same stream and on many more,
/// some of which share its entry in every table.
fn no_thread_waits_for_another(fake: &fake::Fake) {
    let part = Part::of(&own_stream());
    let others: Vec<_> = (0..600).map(|_| own_stream()).collect();
    let event = own_event(EventOptions::new());
    for function in ["hipEventRecord", "hipStreamWaitEvent", "hipEventCreateWithFlags"] {
        // So that an event must be created.
        let held: Vec<_> = (0..600).map(|_| part.source.record_event().unwrap()).collect();
        fake.hold_next(function);
        std::thread::scope(|scope| {
            let (source, branch) = (&part.source, &part.branches[0]);
            let blocked = scope.spawn(move || {
                branch.wait_stream(source).unwrap();
                drop(source.record_event().unwrap());
            });
            fake.wait_until_held();
            part.every_call(&event);
            for other in &others {
                part.waiter.wait_stream(other).unwrap();
            }
            fake.release();
            blocked.join().unwrap();
        });
        drop(held);
    }
}

fn ended_threads_leave_their_events(fake: &fake::Fake) {
    let part = Part::of(&own_stream());
    let event = own_event(EventOptions::new());
    part.every_call(&event);
    part.every_call(&event);
    let live = fake.live_events();
    for _ in 0..100 {
        std::thread::scope(|scope| {
            scope.spawn(|| part.every_call(&event)).join().unwrap();
        });
    }
    assert_eq!(fake.live_events(), live);
}
