//! The runtime's signals: events, waits and `synchronize` create none that stay. Counted by the simulated machine.

mod support;

use std::process::ExitCode;

use gpu_stream_core::{Event, EventOptions, Stream};
use gpu_stream_hip::HipStream;
use support::{own_event, own_stream, skip};

/// The number of waits between two counts. `GPU_STREAM_WAITS` sets another one.
const WAITS: usize = 2_000;

/// The number of waits that are pending at once. The runtime keeps the signals of its busiest moment.
const BATCH: usize = 100;

/// The number of counts.
const ROUNDS: usize = 6;

const STREAMS: usize = 16;

fn main() -> ExitCode {
    support::main(&[
        ("wait_stream_leaks_no_signals", || flat(|from, to| to.wait_stream(from).unwrap())),
        ("record_event_and_wait_event_leak_no_signals", || {
            flat(|from, to| to.wait_event(&from.record_event().unwrap()).unwrap());
        }),
        ("new_event_leaks_no_signals", || {
            flat(|from, to| {
                let event = own_event(EventOptions::timed());
                from.record(&event).unwrap();
                to.wait_event(&event).unwrap();
            });
        }),
        ("event_synchronize_leaks_no_signals", || {
            let options = EventOptions::builder().blocking(true).build().unwrap();
            let event = own_event(options);
            flat(move |from, to| {
                to.launch_host_func(Box::new(|| ())).unwrap();
                from.wait_stream(to).unwrap();
                from.record(&event).unwrap();
                event.synchronize().unwrap();
            });
        }),
    ])
}

/// Asserts that so many waits add no signals, but for a tenth of the waits. The runtime's pools grow in steps where a
/// queue is slow, so the growth is the median of several rounds.
#[track_caller]
fn flat(wait: impl Fn(&HipStream, &HipStream)) {
    let streams: Vec<_> = (0..STREAMS).map(|_| own_stream()).collect();
    let waits = std::env::var("GPU_STREAM_WAITS").map_or(WAITS, |text| text.parse().unwrap());
    let run = || {
        for index in 0..waits {
            let (from, to) = (index % STREAMS, (index * 7 + 1) % STREAMS);
            if from != to {
                wait(&streams[from], &streams[to]);
            }
            if index % BATCH == 0 {
                streams.iter().for_each(|stream| stream.synchronize().unwrap());
            }
        }
        // HIP 6.4 and 7.2 keep the commands of a stream, with their signals, until a host function has run.
        for stream in &streams {
            stream.launch_host_func(Box::new(|| ())).unwrap();
            stream.synchronize().unwrap();
        }
        hsa_sim::live_signals().unwrap_or_else(|| skip("there is no simulated machine"))
    };
    let counts: Vec<u64> = (0..ROUNDS).map(|_| run()).collect();
    let mut growth: Vec<i64> =
        counts.windows(2).map(|pair| pair[1].cast_signed() - pair[0].cast_signed()).collect();
    growth.sort_unstable();
    println!("{counts:?} signals, each after {waits} waits more");
    assert!(growth[growth.len() / 2] <= waits as i64 / 10, "{counts:?}");
}
