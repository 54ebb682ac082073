//! Several threads at once: each records a source, and makes its own stream wait for the record.

use std::sync::{Barrier, Mutex};
use std::time::Instant;

use gpu_stream_core::Stream;
use gpu_stream_cuda::CudaStream;

use crate::calls::bare_event;
use crate::measure::Paired;
use crate::support::bare::{Ptr, bare, new_stream, primary_context, set_current};
use crate::support::wrap;
use crate::table::Table;

const PAIRS: usize = 31;
const CALLS: u32 = 1_000;

/// The streams and the event of one thread.
struct Part {
    source: (Ptr, CudaStream),
    waiter: (Ptr, CudaStream),
    event: Ptr,
}

// SAFETY: the driver accepts its handles on any thread.
unsafe impl Sync for Part {}

fn parts(threads: usize, shared: bool) -> Vec<Part> {
    let context = primary_context();
    let stream = || {
        let raw = new_stream(context, 1, 0);
        (raw, wrap(raw))
    };
    let first = stream();
    (0..threads)
        .map(|_| {
            let source = if shared { (first.0, first.1.clone()) } else { stream() };
            Part { source, waiter: stream(), event: bare_event(context) }
        })
        .collect()
}

/// Returns the nanoseconds per call of all threads together. The inverse is the throughput.
fn round(parts: &[Part], call: impl Fn(&Part) + Sync) -> f64 {
    let (barrier, spans) = (Barrier::new(parts.len()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for part in parts {
            let (barrier, spans, call) = (&barrier, &spans, &call);
            scope.spawn(move || {
                set_current(primary_context());
                call(part);
                barrier.wait();
                let since = Instant::now();
                for _ in 0..CALLS {
                    call(part);
                }
                let span = (since, Instant::now());
                spans.lock().expect("no thread panics").push(span);
                part.waiter.1.synchronize().expect("synchronize");
            });
        }
    });
    let spans = spans.into_inner().expect("no thread panics");
    let first = spans.iter().map(|span| span.0).min().expect("a thread");
    let last = spans.iter().map(|span| span.1).max().expect("a thread");
    last.duration_since(first).as_secs_f64() * 1e9 / (f64::from(CALLS) * parts.len() as f64)
}

pub fn measure(table: &mut Table) {
    for (name, shared) in [("its own source stream", false), ("one shared source stream", true)] {
        table.section(&format!("threads, each with {name}: nanoseconds a wait, of all threads"));
        for threads in [1, 2, 4, 8, 16] {
            let parts = parts(threads, shared);
            let theirs = |part: &Part| {
                // SAFETY: the handles are alive until the process ends.
                unsafe {
                    (bare().event_record)(part.event, part.source.0);
                    (bare().stream_wait_event)(part.waiter.0, part.event, 0);
                }
            };
            let ours = |part: &Part| drop(part.waiter.1.wait_stream(&part.source.1));
            let pairs: Vec<_> = (0..PAIRS)
                .map(|index| {
                    if index % 2 == 0 {
                        let first = round(&parts, theirs);
                        (first, round(&parts, ours))
                    } else {
                        let first = round(&parts, ours);
                        (round(&parts, theirs), first)
                    }
                })
                .collect();
            table.row(&format!("{threads} threads"), Paired::of(&pairs));
        }
    }
}
