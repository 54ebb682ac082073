//! Measures what a retained value costs beside a record, and what 10,000,000 of them leave in memory. Run it with
//! `cargo run --release -p gpu-stream-retain --example cost -- host`, or `cuda`.

use std::error::Error;
use std::sync::mpsc::channel;
use std::time::Instant;

use gpu_stream_core::{Backend, Device, Stream, StreamOptions};
use gpu_stream_cuda::Cuda;
use gpu_stream_host::Host;
use gpu_stream_retain::Reclaimer;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A small value, as a guard or a reference to a buffer.
type Value = [usize; 2];

fn retain<B: Backend>(
    reclaimer: &Reclaimer<B>,
    count: usize,
    streams: &[&B::Stream],
) -> std::result::Result<(), B::Error> {
    (0..count).try_for_each(|number| {
        let value: Value = [number; 2];
        reclaimer.retain(value, streams).map_err(|refused| refused.into_error())
    })
}

/// Returns the resident memory of the process in KiB. Returns 0 where the system does not say.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Calls `round` for one second. Prints the median and the least of the nanoseconds for each of `count`.
fn measure(name: &str, count: usize, mut round: impl FnMut() -> Result<()>) -> Result<()> {
    const ROUNDS: usize = 20;
    let (begun, mut samples) = (Instant::now(), Vec::new());
    while begun.elapsed().as_secs() < 1 {
        let start = Instant::now();
        (0..ROUNDS).try_for_each(|_| round())?;
        samples.push(start.elapsed().as_nanos() as f64 / (ROUNDS * count) as f64);
    }
    samples.sort_by(f64::total_cmp);
    println!("| {name} | {:.1} | {:.1} |", samples[samples.len() / 2], samples[0]);
    Ok(())
}

/// Measures on one stream that is held back. Every value then needs a mark.
fn measure_held<B: Backend>(reclaimer: &Reclaimer<B>, stream: &B::Stream) -> Result<()> {
    let hold = || -> Result<_> {
        let (sender, receiver) = channel::<()>();
        stream.launch_host_func(Box::new(move || _ = receiver.recv()))?;
        Ok(sender)
    };
    let held = hold()?;
    retain(reclaimer, 10_000, &[stream])?;
    reclaimer.collect()?;
    measure("a collect with 10,000 values pending", 1, || Ok(reclaimer.collect().map(drop)?))?;
    drop(held);
    reclaimer.drain()?;
    for batch in [1, 8, 64] {
        let (mut samples, begun) = (Vec::new(), Instant::now());
        while begun.elapsed().as_secs() < 1 {
            let held = hold()?;
            let start = Instant::now();
            for _ in 0..16 {
                retain(reclaimer, batch, &[stream])?;
                reclaimer.collect()?;
            }
            samples.push(start.elapsed().as_nanos() as f64 / (16 * batch) as f64);
            drop(held);
            reclaimer.drain()?;
        }
        samples.sort_by(f64::total_cmp);
        let (median, least) = (samples[samples.len() / 2], samples[0]);
        println!("| held stream, a collect for each {batch} | {median:.1} | {least:.1} |");
    }
    Ok(())
}

/// Measures with 10,011 sets of streams: the pairs of 142.
fn measure_many_sets<B: Backend>(device: Device) -> Result<()> {
    let (reclaimer, mut streams) = (Reclaimer::<B>::new(), Vec::new());
    for _ in 0..142 {
        streams.push(B::new_stream(device, StreamOptions::new())?);
    }
    let pairs: Vec<_> = (1..streams.len())
        .flat_map(|last| (0..last).map(move |first| (first, last)))
        .map(|(first, last)| [&streams[first], &streams[last]])
        .collect();
    let name = format!("{} pairs of streams in turn, no collect", pairs.len());
    let mut rounds = pairs.iter().cycle();
    measure(&name, 1_000, || {
        rounds.by_ref().take(1_000).try_for_each(|pair| Ok(retain(&reclaimer, 1, pair)?))
    })?;
    reclaimer.drain()?;
    let name = format!("{} pairs with a value each, and a collect", pairs.len());
    measure(&name, pairs.len(), || {
        pairs.iter().try_for_each(|pair| retain(&reclaimer, 1, pair))?;
        Ok(reclaimer.collect().map(drop)?)
    })?;
    Ok(reclaimer.drain()?)
}

fn run<B: Backend>() -> Result<()> {
    let device = B::device(0)?;
    let stream = |_| B::new_stream(device, StreamOptions::new());
    let streams = (0..8).map(stream).collect::<std::result::Result<Vec<_>, _>>()?;
    let (reclaimer, one, other) = (Reclaimer::<B>::new(), &streams[0], &streams[1]);

    println!("| operation | median, ns | least, ns |\n|---|---:|---:|");
    measure("a box", 64, || {
        (0..64).for_each(|number| drop(std::hint::black_box(Box::new([number, number]))));
        Ok(())
    })?;
    let event = one.record_event()?;
    measure("a record into an event", 1, || Ok(one.record(&event)?))?;
    one.synchronize()?;
    measure("a query of the stream", 1, || Ok(one.query().map(drop)?))?;
    for batch in [1, 8, 64] {
        measure(&format!("idle stream, a collect for each {batch}"), batch, || {
            retain(&reclaimer, batch, &[one])?;
            Ok(reclaimer.collect().map(drop)?)
        })?;
    }
    measure("idle stream, no collect", 64, || Ok(retain(&reclaimer, 64, &[one])?))?;
    measure("two idle streams, no collect", 64, || Ok(retain(&reclaimer, 64, &[one, other])?))?;
    measure("two idle streams in turn, no collect", 128, || {
        (0..64).try_for_each(|_| {
            retain(&reclaimer, 1, &[one])?;
            Ok(retain(&reclaimer, 1, &[other])?)
        })
    })?;
    reclaimer.drain()?;
    measure_held(&reclaimer, one)?;
    measure_many_sets::<B>(device)?;

    println!("\n| values | pending | resident, KiB |\n|---:|---:|---:|");
    for million in 1..=10 {
        for round in 0..1_000_000 / 64 {
            let stream = &streams[round % 8];
            stream.launch_host_func(Box::new(|| ()))?;
            retain(&reclaimer, 64, &[stream])?;
        }
        println!("| {million},000,000 | {} | {} |", reclaimer.pending(), resident());
    }
    Ok(reclaimer.drain()?)
}

fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        None | Some("host") => run::<Host>(),
        Some("cuda") => run::<Cuda>(),
        Some(other) => Err(format!("there is no backend {other}; name host or cuda").into()),
    }
}
