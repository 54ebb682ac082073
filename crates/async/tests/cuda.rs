//! The cases on the CUDA backend: on a GPU if there is a driver, else over the simulated driver.
//!
//! A fault destroys the context, so its cases run in processes of their own. So do the cases that count the driver's calls,
//! which need the simulated driver.

mod cases;

use std::process::ExitCode;

use cases::support::{Outcome, Task, Verdict, check, stream};
use cases::{Case, owners, values};
use gpu_stream_async::DoneExt;
use gpu_stream_conformance::Fixture;
use gpu_stream_conformance::fixtures::{CudaFixture, ask_for_cuda_queues};
use gpu_stream_core::Stream;
use gpu_stream_faults::{Controls, Threads};

/// The cases that need a process of their own.
const ALONE: &[Case<CudaFixture>] = &[
    ("value_behind_a_fault", values::value_behind_a_fault),
    ("owner_that_is_deferred", owners::owner_that_is_deferred),
    ("events_are_pooled", events_are_pooled),
    ("process_ends_while_futures_are_pending", values::process_ends),
];

fn main() -> ExitCode {
    // SAFETY: no other thread is running yet.
    let ready = unsafe {
        ask_for_cuda_queues();
        if cuda_sim::no_driver_here() { cuda_sim::install(1) } else { Ok(()) }
    };
    cases::run_child(ALONE, || ready.clone().and_then(|()| CudaFixture::with_faults()));
    cases::main(ready.and_then(|()| CudaFixture::new()), cases::all(), ALONE)
}

/// Returns the controls of the simulated driver.
fn controls() -> Result<Controls, Verdict> {
    if !cuda_sim::is_loaded() {
        return Err(Verdict::inapplicable(
            "the driver is a real one, which does not count its calls",
        ));
    }
    let library = cuda_sim::library().map_err(Verdict::failed)?;
    Controls::of(library).map_err(Verdict::failed)
}

/// Checks that awaits create no event once as many were in flight before, that each makes one record, and that a dropped
/// future leaves no event.
fn events_are_pooled(fx: &CudaFixture) -> Outcome {
    const COUNT: usize = 1_000;
    let controls = controls()?;
    let stream = stream(fx)?;
    let round = || -> Result<Vec<String>, Verdict> {
        let gate = fx.gate(&stream)?;
        controls.watch(Threads::All);
        let mut futures = Vec::new();
        for index in 0..COUNT {
            let (mut future, task) = (stream.done()?, Task::new());
            check(task.poll(&mut future).is_pending(), "the future is ready too early")?;
            if index % 10 != 0 {
                futures.push((future, task));
            }
        }
        let seen = controls.seen();
        fx.open(&gate);
        for (mut future, task) in futures {
            task.finish(&mut future)??;
        }
        stream.synchronize()?;
        // One future more: the watcher is done with the earlier ones before it wakes this one.
        let (last, mut future) = (fx.gate(&stream)?, stream.done()?);
        let task = Task::new();
        check(task.poll(&mut future).is_pending(), "the future is ready too early")?;
        fx.open(&last);
        task.finish(&mut future)??;
        drop(future);
        Ok(seen)
    };
    let count = |seen: &[String], name: &str| seen.iter().filter(|call| *call == name).count();
    let first = round()?;
    check(count(&first, "cuEventCreate") > 0, "no creation of an event is counted")?;
    for _ in 0..3 {
        let seen = round()?;
        let (created, recorded) = (count(&seen, "cuEventCreate"), count(&seen, "cuEventRecord"));
        // Not none: the pool gives up on its lock if another thread is stopped while it holds it.
        check(created <= COUNT / 100, &format!("{created} events were created"))?;
        check(recorded == COUNT, &format!("{recorded} records were made"))?;
        for call in ["cuLaunchHostFunc", "cuStreamAddCallback", "cuStreamWaitEvent"] {
            check(count(&seen, call) == 0, &format!("{call} was called"))?;
        }
    }
    Ok(())
}
