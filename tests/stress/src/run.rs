//! Runs a [`Plan`]: starts the threads, and takes a sample after each part while all threads are paused.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gpu_stream_conformance::fixture::BackendOf;
use gpu_stream_conformance::runner::end_process;
use gpu_stream_conformance::{Fixture, Outcome};
use gpu_stream_core::{Backend, Stream};

use crate::calls::Calls;
use crate::counters::Counters;
use crate::memory;
use crate::ops::name_of;
use crate::report::{Report, Sample};
use crate::shared_handles::SharedHandles;
use crate::worker::{Progress, Worker};

/// Parameters of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Number of threads. The figures in the documents were measured with 8.
    pub threads: usize,
    /// Approximate number of calls of all threads together.
    pub operations: u64,
    /// Number of parts. Memory is measured after each part.
    pub parts: u32,
    /// Seed of the random choices. Together with the thread's number it determines the operations of that
    /// thread, but not how the threads interleave.
    pub seed: u64,
    /// Filter: only operations whose name contains one of these texts. Empty means all operations.
    pub only: Vec<String>,
    /// Time without progress after which the process exits with a message.
    pub limit: Duration,
    /// The bug to seed.
    #[cfg(feature = "seeded-bugs")]
    pub seeded_bug: Option<crate::seeded_bug::SeededBug>,
}

impl Plan {
    /// Creates a plan of `operations` calls on eight threads, in ten parts.
    pub fn new(operations: u64) -> Self {
        Plan {
            threads: 8,
            operations,
            parts: 10,
            seed: 1,
            only: Vec::new(),
            limit: Duration::from_secs(180),
            #[cfg(feature = "seeded-bugs")]
            seeded_bug: None,
        }
    }
}

/// Runs the plan, and returns the report with its findings. Blocks until all threads are done.
///
/// Calls `on_sample` after each part. If no thread makes progress for the plan's limit, the process
/// exits with status 3, because blocked threads cannot be stopped in another way.
pub fn run<F: Fixture>(fixture: F, plan: &Plan, on_sample: impl Fn(&Sample)) -> Report {
    let started = Instant::now();
    let calls = Calls::of_backend(fixture.device_backend());
    let mut report = describe_backend(&fixture, plan);
    let handles = match SharedHandles::new(fixture, plan) {
        Ok(handles) => handles,
        Err(verdict) => {
            report.findings.push(verdict.reason().to_string());
            return report;
        }
    };
    let all_progress: Vec<Progress> = (0..plan.threads).map(|_| Progress::default()).collect();
    let barrier = Barrier::new(plan.threads + 1);
    let is_done = AtomicBool::new(false);
    let measure = |part: u32| {
        let (heap, process) = (memory::heap(), memory::process());
        let counters = &handles.counters;
        Sample {
            part,
            operations: total_calls(&all_progress),
            seconds: started.elapsed().as_secs_f64(),
            heap_bytes: heap.bytes,
            heap_blocks: heap.blocks,
            allocations: heap.allocations,
            resident_bytes: process.map(|process| process.resident),
            threads: process.map(|process| process.threads),
            events_requested: counters.events.load(Ordering::Relaxed),
            events_created: calls.map(|calls| calls.events_created()),
            events_destroyed: calls.map(|calls| calls.events_destroyed()),
            closures: counters.ran.load(Ordering::Relaxed),
            owners: counters.owners.load(Ordering::Relaxed),
        }
    };
    thread::scope(|scope| {
        for (index, progress) in all_progress.iter().enumerate() {
            let (handles, barrier) = (&handles, &barrier);
            scope.spawn(move || run_worker(handles, plan, index, progress, barrier));
        }
        let watch =
            scope.spawn(|| watch::<F>(&all_progress, &handles.counters, plan.limit, &is_done));
        for part in 0..=plan.parts {
            barrier.wait();
            let settled = catch_panic(|| settle(&handles));
            handles.counters.note(plan.threads, settled);
            handles.counters.check_closures(plan.limit);
            let sample = measure(part);
            on_sample(&sample);
            report.samples.push(sample);
            barrier.wait();
        }
        is_done.store(true, Ordering::Relaxed);
        watch.thread().unpark();
    });
    let counters = std::sync::Arc::clone(&handles.counters);
    drop(handles);
    counters.check_owners();
    report.findings.extend(counters.findings());
    report.heap_after_drop = Some(memory::heap().bytes);
    report
}

/// Creates the report, and fills in what the backend says of itself.
fn describe_backend<F: Fixture>(fixture: &F, plan: &Plan) -> Report {
    let mut report = Report::new(fixture.device_backend().name(), plan);
    if let Ok(info) = BackendOf::<F>::probe() {
        report.driver = Some(info.version.to_string());
        report.library = info.library.as_ref().map(ToString::to_string);
        report.device = info.devices.first().map(|device| device.name.to_string());
    }
    report
}

/// Runs one worker thread: all parts, with a pause after each for the measurement.
fn run_worker<F: Fixture>(
    handles: &SharedHandles<F>,
    plan: &Plan,
    index: usize,
    progress: &Progress,
    barrier: &Barrier,
) {
    let seed = plan.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(index as u64);
    let mut worker = None;
    let created = catch_panic(|| {
        worker = Some(Worker::new(handles, progress, seed, &plan.only)?);
        Ok(())
    });
    handles.counters.note(index, created);
    let share = plan.operations / plan.threads as u64;
    for part in 0..=u64::from(plan.parts) {
        if let Some(worker) = &mut worker {
            let due = share * part / u64::from(plan.parts);
            let outcome = catch_panic(|| {
                worker.work(due.saturating_sub(worker.calls()))?;
                worker.settle()
            });
            handles.counters.note(index, outcome);
        }
        barrier.wait(); // all threads are paused
        barrier.wait(); // the sample is taken
    }
}

/// Waits for the shared streams and the default stream.
fn settle<F: Fixture>(handles: &SharedHandles<F>) -> Outcome {
    for stream in handles.streams.iter().chain([&handles.default]) {
        stream.synchronize()?;
    }
    Ok(())
}

/// Runs `code`, and turns a panic into a failure. A worker that unwinds would leave the others blocked
/// at the barrier.
fn catch_panic(code: impl FnOnce() -> Outcome) -> Outcome {
    let failure = |panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        let text = text.unwrap_or_default();
        Err(gpu_stream_conformance::Verdict::failed(format_args!("a panic: {text}")))
    };
    catch_unwind(AssertUnwindSafe(code)).unwrap_or_else(failure)
}

/// Returns the number of calls of all threads so far.
fn total_calls(progress: &[Progress]) -> u64 {
    progress.iter().map(|progress| progress.calls.load(Ordering::Relaxed)).sum()
}

/// Watches the threads. Exits the process if none makes progress, and prints the findings until then.
fn watch<F: Fixture>(
    progress: &[Progress],
    counters: &Counters,
    limit: Duration,
    is_done: &AtomicBool,
) {
    let (mut last, mut since) = (total_calls(progress), Instant::now());
    while !is_done.load(Ordering::Relaxed) {
        thread::park_timeout(Duration::from_millis(500));
        let now = total_calls(progress);
        if now != last {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() > limit && !is_done.load(Ordering::Relaxed) {
            eprintln!("no progress for {limit:?} after {now} calls; the threads are in:");
            for (index, progress) in progress.iter().enumerate() {
                eprintln!("  {index}: {}", name_of::<F>(progress.doing.load(Ordering::Relaxed)));
            }
            // The exit must not lose earlier findings.
            for finding in counters.findings() {
                eprintln!("FOUND: {finding}");
            }
            end_process(3);
        }
    }
}
