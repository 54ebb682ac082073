//! Waits between many streams: time, peak memory, and the signals of the simulated machine.
//!
//! ```sh
//! cargo run -q -p gpu-stream-hsa-sim -- --hip 7.2 cargo run --release -p gpu-stream-hip --example scale
//! cargo run -q -p gpu-stream-hsa-sim -- --hip 7.2 cargo run --release -p gpu-stream-hip --example scale -- 10000 1000000 bare
//! ```
//!
//! Arguments: the number of streams, the number of waits, and a kind. `wait_stream` is this crate's call. `bare` is the
//! runtime's own calls with one event for each stream. `bare-new` has a new event for each wait. Each tenth of the waits
//! is a row.

use std::error::Error;
use std::time::Instant;

use gpu_stream_core::{Backend, Stream, StreamOptions};
use gpu_stream_hip::{Hip, HipStream};
use gpu_stream_test_support::hip::{Ptr, driver};

/// `hipEventDisableTiming`.
const DISABLE_TIMING: u32 = 2;

/// The number of waits between two waits of the host.
const BATCH: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    hsa_sim::preload()?;
    let argument = |index, otherwise: &str| std::env::args().nth(index).unwrap_or(otherwise.into());
    let (count, waits) = (argument(1, "10000").parse()?, argument(2, "1000000").parse()?);
    let by = argument(3, "wait_stream");
    let device = Hip::device(0)?;
    println!("HIP {}, {count} streams, {by}", Hip::probe()?.version);
    let begin = Instant::now();
    let streams = (0..count)
        .map(|_| Hip::new_stream(device, StreamOptions::new()))
        .collect::<Result<Vec<_>, _>>()?;
    println!("| waits | s | us each | peak memory, MiB | signals |\n|---|---|---|---|---|");
    print_row("created", begin, 0)?;
    let events = streams.iter().map(|_| new_event()).collect::<Vec<_>>();
    let begin = Instant::now();
    for index in 0..waits {
        let (from, to) = (index % count, (index * 7 + 1) % count);
        if from != to {
            wait(&by, &streams[from], &streams[to], events[from]);
        }
        if (index + 1) % BATCH == 0 {
            streams[to].synchronize()?;
        }
        if (index + 1) % (waits / 10).max(1) == 0 {
            print_row(&(index + 1).to_string(), begin, index + 1)?;
        }
    }
    for stream in &streams {
        stream.synchronize()?;
    }
    print_row("all done", begin, waits)?;
    Ok(())
}

fn new_event() -> Ptr {
    let mut event = std::ptr::null_mut();
    // SAFETY: `&mut event` is a valid out-pointer.
    ok(unsafe { (driver().event_create)(&mut event, DISABLE_TIMING) });
    event
}

/// Makes `to` wait for the work of `from`.
fn wait(by: &str, from: &HipStream, to: &HipStream, event: Ptr) {
    if by == "wait_stream" {
        return to.wait_stream(from).expect("wait_stream");
    }
    let event = if by == "bare" { event } else { new_event() };
    // SAFETY: both streams and the event are live. A runtime's wait binds to the record, so the event may be destroyed.
    unsafe {
        ok((driver().event_record)(event, from.raw().as_ptr()));
        ok((driver().stream_wait_event)(to.raw().as_ptr(), event, 0));
        if by != "bare" {
            ok((driver().event_destroy)(event));
        }
    }
}

fn print_row(waits: &str, begin: Instant, count: usize) -> Result<(), Box<dyn Error>> {
    let time = begin.elapsed().as_secs_f64();
    let each = if count == 0 { String::new() } else { format!("{:.2}", time * 1e6 / count as f64) };
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    let peak: u64 = peak.split_whitespace().next().unwrap_or("0").parse()?;
    let signals = hsa_sim::live_signals().map_or_else(String::new, |count| count.to_string());
    println!("| {waits} | {time:.1} | {each} | {} | {signals} |", peak / 1024);
    Ok(())
}

fn ok(code: i32) {
    assert_eq!(code, 0, "a code of the runtime");
}
