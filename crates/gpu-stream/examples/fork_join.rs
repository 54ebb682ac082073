//! One stream to many and back: the caller's stream, four branches that work in parallel, and the
//! caller's stream again.
//!
//! Everything here is for any backend, since it submits work by `launch_host_func`. In a program
//! with kernels, only the three closures of `run` change.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gpu_stream::DefaultBackend;
use gpu_stream::prelude::*;

/// Runs `launch` for each of `branches`, after all current work of `caller` and before all its
/// later work.
fn fork_join<S: Stream>(
    caller: &S,
    branches: &[StreamOf<S>],
    launch: impl Fn(&StreamOf<S>, usize) -> Result<(), ErrorOf<S>>,
) -> Result<(), ErrorOf<S>> {
    caller.fork(branches)?; // one record, which every branch waits for
    let mut indexed = branches.iter().enumerate();
    let launched = indexed.try_for_each(|(index, branch)| launch(branch, index));
    // Also if a launch failed: the caller's stream still waits for the branches that run. Returns at
    // once: the stream waits, not the thread.
    let joined = caller.join(branches);
    launched.and(joined)
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}"); // for example no driver: the text names what was tried
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), <DefaultBackend as Backend>::Error> {
    const BRANCHES: u64 = 4;
    const ITEMS: u64 = 1_000_000;
    let device = DefaultBackend::device(0)?;
    let caller = DefaultBackend::new_stream(device, StreamOptions::new())?;
    // Created once and kept: creating a stream costs many times more than ordering it.
    let new_stream = |_| caller.new_stream(StreamOptions::new());
    let branches = (0..BRANCHES).map(new_stream).collect::<Result<Vec<_>, _>>()?;

    // The caller's stream makes the first number before the branches start, and the total after all
    // branches are done.
    let first = Arc::new(AtomicU64::new(0));
    let sums: Arc<Vec<AtomicU64>> = Arc::new((0..BRANCHES).map(|_| AtomicU64::new(0)).collect());
    let total = Arc::new(AtomicU64::new(0));

    let out = first.clone();
    caller.launch_host_func(Box::new(move || out.store(1, Ordering::Relaxed)))?;

    fork_join(&caller, &branches, |branch, index| {
        let (first, sums) = (first.clone(), sums.clone());
        branch.launch_host_func(Box::new(move || {
            let from = first.load(Ordering::Relaxed) + index as u64;
            let sum = (from..=ITEMS).step_by(BRANCHES as usize).sum();
            sums[index].store(sum, Ordering::Relaxed);
        }))
    })?;

    let (sums, out) = (sums.clone(), total.clone());
    caller.launch_host_func(Box::new(move || {
        let sum = sums.iter().map(|sum| sum.load(Ordering::Relaxed)).sum();
        out.store(sum, Ordering::Relaxed);
    }))?;
    caller.synchronize()?;

    let total = total.load(Ordering::Relaxed);
    println!("the sum of 1 to {ITEMS}, on {BRANCHES} streams of {device}: {total}");
    assert_eq!(total, ITEMS * (ITEMS + 1) / 2);
    Ok(())
}
