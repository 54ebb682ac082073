//! A run: the threads, and the moments at which all of them stand still and are measured.

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
use crate::report::{Report, Sample};
use crate::shared_handles::SharedHandles;
use crate::worker::{Seen, Worker, name_of};

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many threads; 8 is what the figures in the documents are made with.
    pub threads: usize,
    /// Calls of the contract that all threads make together, a little more or less.
    pub operations: u64,
    /// In how many parts: after each, memory is measured.
    pub parts: u32,
    /// What the threads do follows from this number and the number of the thread; how they meet does
    /// not.
    pub seed: u64,
    /// The deeds to do, by parts of their names; all, if there are none. To see which one does it.
    pub only: Vec<String>,
    /// For how long nothing may move before the process is ended with a message.
    pub limit: Duration,
    /// The defect to plant.
    #[cfg(feature = "plant")]
    pub plant: Option<crate::seeded_bug::SeededBug>,
}

impl Plan {
    /// So many calls on eight threads, in ten parts.
    pub fn new(operations: u64) -> Self {
        Plan {
            threads: 8,
            operations,
            parts: 10,
            seed: 1,
            only: Vec::new(),
            limit: Duration::from_secs(180),
            #[cfg(feature = "plant")]
            plant: None,
        }
    }
}

/// Runs the plan. Blocks until all is done; `progress` is told of each part.
///
/// What was found wrong is in the report. If nothing moves any more for the plan's limit, the
/// process ends with code 3: blocked threads cannot be ended otherwise.
pub fn run<F: Fixture>(fixture: F, plan: &Plan, progress: impl Fn(&Sample)) -> Report {
    let started = Instant::now();
    let calls = Calls::of_backend(fixture.device_backend());
    let mut report = Report::new(fixture.device_backend().name(), plan);
    if let Ok(info) = BackendOf::<F>::probe() {
        report.driver = Some(info.version.to_string());
        report.library = info.library.as_ref().map(ToString::to_string);
        report.device = info.devices.first().map(|device| device.name.to_string());
    }
    let world = match SharedHandles::new(fixture, plan) {
        Ok(world) => world,
        Err(verdict) => {
            report.findings.push(verdict.reason().to_string());
            return report;
        }
    };
    let seen: Vec<Seen> = (0..plan.threads).map(|_| Seen::default()).collect();
    let meet = Barrier::new(plan.threads + 1);
    let over = AtomicBool::new(false);
    let measure = |part: u32| {
        let (heap, process) = (memory::heap(), memory::process());
        let counters = &world.counters;
        Sample {
            part,
            operations: seen.iter().map(|seen| seen.calls.load(Ordering::Relaxed)).sum(),
            seconds: started.elapsed().as_secs_f64(),
            heap_bytes: heap.bytes,
            heap_blocks: heap.blocks,
            allocations: heap.made,
            resident_bytes: process.map(|process| process.resident),
            threads: process.map(|process| process.threads),
            events_asked_for: counters.events.load(Ordering::Relaxed),
            events_created: calls.map(|calls| calls.events_created()),
            events_destroyed: calls.map(|calls| calls.events_destroyed()),
            closures: counters.ran.load(Ordering::Relaxed),
            owners: counters.owners.load(Ordering::Relaxed),
        }
    };
    thread::scope(|scope| {
        for (index, seen) in seen.iter().enumerate() {
            let (world, meet) = (&world, &meet);
            scope.spawn(move || live(world, plan, index, seen, meet));
        }
        let watch = scope.spawn(|| watch::<F>(&seen, &world.counters, plan.limit, &over));
        for part in 0..=plan.parts {
            meet.wait();
            let settled = guarded(|| settle(&world));
            world.counters.note(plan.threads, settled);
            world.counters.check_closures(plan.limit);
            let sample = measure(part);
            progress(&sample);
            report.samples.push(sample);
            meet.wait();
        }
        over.store(true, Ordering::Relaxed);
        watch.thread().unpark();
    });
    let counters = std::sync::Arc::clone(&world.counters);
    drop(world);
    counters.check_owners();
    report.findings.extend(counters.findings());
    report.after = Some(memory::heap().bytes);
    report
}

/// What a thread does from its start to its end.
fn live<F: Fixture>(
    world: &SharedHandles<F>,
    plan: &Plan,
    index: usize,
    seen: &Seen,
    meet: &Barrier,
) {
    let seed = plan.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(index as u64);
    let mut hand = None;
    let made = guarded(|| {
        hand = Some(Worker::new(world, seen, seed, &plan.only)?);
        Ok(())
    });
    world.counters.note(index, made);
    let all = plan.operations / plan.threads as u64;
    for part in 0..=u64::from(plan.parts) {
        if let Some(hand) = &mut hand {
            let due = all * part / u64::from(plan.parts);
            let outcome = guarded(|| {
                hand.work(due.saturating_sub(hand.calls()))?;
                hand.settle()
            });
            world.counters.note(index, outcome);
        }
        meet.wait(); // all stand still
        meet.wait(); // all is measured
    }
}

fn settle<F: Fixture>(world: &SharedHandles<F>) -> Outcome {
    for stream in world.streams.iter().chain([&world.default]) {
        stream.synchronize()?;
    }
    Ok(())
}

/// A panic as a finding: a thread that is gone would let the others wait for ever.
fn guarded(code: impl FnOnce() -> Outcome) -> Outcome {
    let text = |panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        let text = text.unwrap_or_default();
        Err(gpu_stream_conformance::Verdict::failed(format_args!("a panic: {text}")))
    };
    catch_unwind(AssertUnwindSafe(code)).unwrap_or_else(text)
}

/// Ends the process if nothing moves, with what was found until then.
fn watch<F: Fixture>(seen: &[Seen], counters: &Counters, limit: Duration, over: &AtomicBool) {
    let sum = || seen.iter().map(|seen| seen.calls.load(Ordering::Relaxed)).sum::<u64>();
    let (mut last, mut since) = (sum(), Instant::now());
    while !over.load(Ordering::Relaxed) {
        thread::park_timeout(Duration::from_millis(500));
        let now = sum();
        if now != last {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() > limit && !over.load(Ordering::Relaxed) {
            eprintln!("after {now} calls nothing has moved for {limit:?}; the threads are in:");
            for (index, seen) in seen.iter().enumerate() {
                eprintln!("  {index}: {}", name_of::<F>(seen.doing.load(Ordering::Relaxed)));
            }
            // What was found before must not be lost with the process.
            for finding in counters.findings() {
                eprintln!("FOUND: {finding}");
            }
            end_process(3);
        }
    }
}
