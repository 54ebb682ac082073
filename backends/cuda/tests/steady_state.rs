//! Calls that were made before do not create events, allocate, or wait for another thread. Counted over the
//! driver of `tests/fake`, whose own memory does not count.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use gpu_stream_core::{Backend, Event, EventOptions, Stream, StreamOptions};
use gpu_stream_cuda::{Cuda, CudaStream};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use support::{device, fake};

/// Counts the allocations of this program.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all calls are forwarded to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: `layout` is valid (caller contract).
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` and `layout` are valid (caller contract).
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type Case = (&'static str, fn(&fake::Fake));

const CASES: [Case; 6] = [
    ("allocations_and_events_are_counted", allocations_and_events_are_counted),
    ("one_thread", |fake| nothing_new(fake, 1)),
    ("eight_threads_on_their_own_streams", |fake| nothing_new(fake, 8)),
    ("eight_threads_on_one_stream", eight_threads_on_one_stream),
    ("no_thread_waits_for_another", no_thread_waits_for_another),
    ("ended_threads_leave_their_events", ended_threads_leave_their_events),
];

fn main() -> ExitCode {
    if let Ok(child) = std::env::var("GPU_STREAM_CUDA_CHILD") {
        let case = CASES.iter().find(|(name, _)| *name == child).expect("a case");
        (case.1)(&fake::Fake::open());
        return ExitCode::SUCCESS;
    }
    let library = fake::compile(false);
    let trials = CASES.iter().map(|&(name, _)| {
        let library = library.clone();
        Trial::ignorable_test(name, move || run(name, library))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn run(name: &str, library: Result<std::path::PathBuf, String>) -> Result<Completion, Failed> {
    let library = match library {
        Ok(library) => library,
        Err(reason) => return Ok(Completion::ignored_with(reason)),
    };
    let library = library.to_str().ok_or("the path is no text")?;
    let output = fake::rerun(name, &[("GPU_STREAM_CUDA_LIBRARY", library)]);
    if output.status.success() {
        return Ok(Completion::Completed);
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
}

fn stream() -> CudaStream {
    Cuda::new_stream(device(), StreamOptions::new()).unwrap()
}

/// A thread's streams.
struct Part {
    source: CudaStream,
    waiter: CudaStream,
    branches: [CudaStream; 4],
}

impl Part {
    fn of(source: &CudaStream) -> Self {
        let branches = std::array::from_fn(|_| stream());
        Part { source: source.clone(), waiter: stream(), branches }
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

    /// Makes every call that a program repeats.
    fn every_call(&self, event: &gpu_stream_cuda::CudaEvent) {
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
        // SAFETY: the stream is alive.
        let [checked, unchecked] = unsafe {
            [Cuda::stream_from_raw(raw, None), Cuda::stream_from_raw_unchecked(raw, first)]
        };
        waiter.wait_stream(&checked.unwrap()).unwrap();
        waiter.wait_stream(&unchecked.unwrap()).unwrap();
    }
}

fn allocations_and_events_are_counted(fake: &fake::Fake) {
    let before = ALLOCATIONS.load(Ordering::SeqCst);
    drop(Box::new(fake.live_events()));
    assert_eq!(ALLOCATIONS.load(Ordering::SeqCst), before + 1);
    stream();
    fake.calls("");
    drop(Cuda::new_event(device(), EventOptions::timed()).unwrap());
    assert_eq!(fake.calls("cuEventCreate"), 1);
}

/// Runs `call` on each of `threads` threads, first once to warm up, then `times` times. Returns the numbers
/// of created events and of allocations of the second phase.
fn count(
    fake: &fake::Fake,
    parts: &[Part],
    times: usize,
    call: impl Fn(&Part, &gpu_stream_cuda::CudaEvent) + Sync,
) -> (usize, usize) {
    let (barrier, threads) = (Barrier::new(parts.len() + 1), Barrier::new(parts.len()));
    std::thread::scope(|scope| {
        for part in parts {
            scope.spawn(|| {
                let event = Cuda::new_event(device(), EventOptions::new()).unwrap();
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
        let before = ALLOCATIONS.load(Ordering::SeqCst);
        barrier.wait();
        barrier.wait();
        let allocations = ALLOCATIONS.load(Ordering::SeqCst) - before;
        let events = fake.calls("cuEventCreate");
        barrier.wait();
        (events, allocations)
    })
}

fn nothing_new(fake: &fake::Fake, threads: usize) {
    let parts: Vec<_> = (0..threads).map(|_| Part::of(&stream())).collect();
    let (events, allocations) = count(fake, &parts, 200, Part::every_call);
    assert_eq!(events, 0, "events were made");
    assert_eq!(allocations, 0, "something was allocated");
}

fn eight_threads_on_one_stream(fake: &fake::Fake) {
    let source = stream();
    let parts: Vec<_> = (0..8).map(|_| Part::of(&source)).collect();
    let ordered = |part: &Part, event: &gpu_stream_cuda::CudaEvent| {
        let (waiter, source) = (part.waiter.raw().as_ptr(), part.source.raw().as_ptr());
        let submitted = fake.submit(source);
        part.waiter.wait_stream(&part.source).unwrap();
        let waited = fake.waited(waiter, source);
        assert!(waited >= submitted, "work {submitted} is not waited for, only {waited}");
        part.every_call(event);
    };
    let (events, allocations) = count(fake, &parts, 500, ordered);
    assert_eq!(events, 0, "events were made");
    assert_eq!(allocations, 0, "something was allocated");
}

/// One thread is blocked inside the driver. All others continue, on the same stream and on many more, some
/// of which share its entry in every table.
fn no_thread_waits_for_another(fake: &fake::Fake) {
    let part = Part::of(&stream());
    let others: Vec<_> = (0..600).map(|_| stream()).collect();
    let event = Cuda::new_event(device(), EventOptions::new()).unwrap();
    for function in ["cuEventRecord", "cuStreamWaitEvent", "cuEventCreate"] {
        // So that an event must be created.
        let held: Vec<_> = (0..600).map(|_| part.source.record_event().unwrap()).collect();
        fake.block_next(function);
        std::thread::scope(|scope| {
            let (source, branch) = (&part.source, &part.branches[0]);
            let stuck = scope.spawn(move || {
                branch.wait_stream(source).unwrap();
                drop(source.record_event().unwrap());
            });
            fake.wait_until_held();
            part.every_call(&event);
            for other in &others {
                part.waiter.wait_stream(other).unwrap();
            }
            fake.release();
            stuck.join().unwrap();
        });
        drop(held);
    }
}

fn ended_threads_leave_their_events(fake: &fake::Fake) {
    let part = Part::of(&stream());
    let event = Cuda::new_event(device(), EventOptions::new()).unwrap();
    part.every_call(&event);
    let live = fake.live_events();
    for _ in 0..100 {
        std::thread::scope(|scope| {
            scope.spawn(|| part.every_call(&event)).join().unwrap();
        });
    }
    assert_eq!(fake.live_events(), live);
}
