//! Prints what the check costs beside the host backend, and the memory that it uses in a long run.
//!
//! `cargo run --release -p gpu-stream-checked --example cost -- [ROUNDS]`, with 1,000,000 rounds of the long run by default.
//! Figures are nanoseconds of the calling thread. A GPU's driver takes longer for the calls that it makes beside them.

use std::env;
use std::error::Error;
use std::fs;
use std::time::Instant;

use gpu_stream_checked::Checked;
use gpu_stream_core::{Backend, EventOptions, Region, Stream, StreamOptions};
use gpu_stream_host::Host;

const CALLS: usize = 100_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    println!("| calls | host | checked host |");
    println!("|---|---:|---:|");
    for streams in [2, 16, 256] {
        row(
            &format!("record + wait, ring of {streams} streams"),
            ring::<Host>(streams)?,
            ring::<Checked<Host>>(streams)?,
        );
        row(
            &format!("wait_stream, star of {streams} streams"),
            star::<Host>(streams)?,
            star::<Checked<Host>>(streams)?,
        );
    }
    row("writes, one region", writes::<Host>(1)?, writes::<Checked<Host>>(1)?);
    row("writes, 10,000 regions", writes::<Host>(10_000)?, writes::<Checked<Host>>(10_000)?);
    let rounds = env::args().nth(1).map_or(Ok(1_000_000), |rounds| rounds.parse())?;
    long_run(rounds)
}

fn row(calls: &str, host: f64, checked: f64) {
    println!("| {calls} | {host:.0} ns | {checked:.0} ns |");
}

/// Returns the nanoseconds of a call. The time of `between`, which lets work end, is not counted.
fn nanoseconds(
    mut call: impl FnMut(usize) -> Outcome<()>,
    between: impl Fn() -> Outcome<()>,
) -> Outcome<f64> {
    const BATCH: usize = 1000;
    let mut best = f64::INFINITY;
    for batch in 0..CALLS / BATCH {
        let start = Instant::now();
        for round in batch * BATCH..(batch + 1) * BATCH {
            call(round)?;
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / BATCH as f64);
        between()?;
    }
    Ok(best)
}

fn streams<B: Backend<Error: 'static>>(count: usize) -> Outcome<Vec<B::Stream>> {
    let device = B::device(0)?;
    let streams = (0..count).map(|_| B::new_stream(device, StreamOptions::new()));
    Ok(streams.collect::<Result<_, _>>()?)
}

/// Makes each stream wait for the one before it.
fn ring<B: Backend<Error: 'static>>(count: usize) -> Outcome<f64> {
    let streams = streams::<B>(count)?;
    let events = streams.iter().map(|stream| stream.new_event(EventOptions::new()));
    let events = events.collect::<Result<Vec<_>, _>>()?;
    let call = |round: usize| {
        let (from, to) = (round % count, (round + 1) % count);
        streams[from].record(&events[from])?;
        Ok(streams[to].wait_event(&events[from])?)
    };
    nanoseconds(call, || Ok(streams.iter().try_for_each(Stream::synchronize)?))
}

/// Makes all streams wait for the first one, and then the first one for all.
fn star<B: Backend<Error: 'static>>(count: usize) -> Outcome<f64> {
    let streams = streams::<B>(count)?;
    let call = |round: usize| {
        let side = &streams[1 + round % (count - 1)];
        if (round / (count - 1)).is_multiple_of(2) {
            Ok(side.wait_stream(&streams[0])?)
        } else {
            Ok(streams[0].wait_stream(side)?)
        }
    };
    nanoseconds(call, || Ok(streams.iter().try_for_each(Stream::synchronize)?))
}

fn writes<B: Backend<Error: 'static>>(count: usize) -> Outcome<f64> {
    let streams = streams::<B>(1)?;
    let regions: Vec<Region> =
        (0..count).map(|number| Region::new("memory", 0x1_0000 + number * 4096, 4096)).collect();
    let call = |round: usize| {
        streams[0].writes(&regions[round * 7 % count]);
        Ok(())
    };
    let cost = nanoseconds(call, || Ok(()));
    streams[0].synchronize()?; // the next program uses the same addresses
    cost
}

/// Runs a program that creates a stream and allocates memory in each round, and prints the memory of the process.
fn long_run(rounds: usize) -> Outcome<()> {
    let device = Checked::<Host>::device(0)?;
    let main = Checked::<Host>::new_stream(device, StreamOptions::new())?;
    let kept = Region::new("kept", 0x1000, 4096);
    for round in 0..=rounds {
        if round % (rounds / 10).max(1) == 0 {
            println!("round {round:>9}: {:>6} kB", kilobytes());
        }
        let fresh = Region::new("fresh", 0x10_0000 + round % 100_000 * 4096, 4096);
        let side = main.new_stream(StreamOptions::new())?;
        side.wait_stream(&main)?;
        side.writes(&kept);
        side.writes(&fresh);
        main.wait_stream(&side)?;
        main.reads(&fresh);
        main.released(&fresh);
        if round % 100 == 0 {
            main.synchronize()?;
        }
    }
    let report = Checked::<Host>::report();
    if report.is_empty() {
        Ok(())
    } else {
        Err(format!("found in a right program:\n{report}").into())
    }
}

/// Returns the memory that the process uses, or 0 where the system does not tell.
fn kilobytes() -> usize {
    let status = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4
}
