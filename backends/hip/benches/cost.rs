//! Measures the cost of each call beside the runtime's own, on idle streams: nanoseconds a call, as the
//! median of 31 batches of 2,000.
//!
//! Compare figures of one run only. Over a simulated GPU they say what the backend adds to AMD's own
//! code, and nothing about a GPU.

#[path = "../tests/support/mod.rs"]
mod support;

use std::ffi::c_int;
use std::time::Instant;

use gpu_stream_core::{Backend, Event, EventOptions, RawStream, Stream};
use gpu_stream_hip::{Hip, HipStream};
use support::bare::{self, Ptr, bare, new_stream, synchronize};
use support::{device, own_event, own_stream, wrap};

/// Prints the cost of one `call`: the median of all batches, the minimum and the maximum. Runs `between`
/// after each batch.
fn cost(name: &str, mut call: impl FnMut(), mut between: impl FnMut()) {
    const CALLS: u32 = 2_000;
    let mut batches: Vec<f64> = (0..31)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..CALLS {
                call();
            }
            let taken = start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS);
            between();
            taken
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    println!("{name:<44} {:>8.1}   ({:.1} to {:.1})", batches[15], batches[0], batches[30]);
}

fn main() {
    support::prepare();
    if let Err(error) = Hip::probe() {
        println!("skipped: {error}");
        return;
    }
    println!("{:?}", Hip::probe());
    let (raw, raw_other) = (new_stream(0, 1, 0), new_stream(0, 1, 0));
    let (stream, other) = (wrap(raw), wrap(raw_other));
    let runtime = bare();
    let handle = RawStream::from_ptr(raw);
    let mut status: c_int = 0;
    let mut mode: c_int = 2;
    // Synchronizes between the batches, so that no batch has the work of the previous one.
    let between = || {
        synchronize(raw);
        synchronize(raw_other);
    };
    // SAFETY: the function takes no arguments.
    cost("runtime: hipPeekAtLastError", || _ = unsafe { (runtime.peek_error)() }, between);
    let is_capturing = || {
        // SAFETY: the stream is alive, and `&mut status` is a valid out-pointer.
        unsafe { (runtime.capture_status)(raw, &mut status) };
    };
    cost("runtime: hipStreamIsCapturing", is_capturing, between);
    let exchange = || {
        // SAFETY: `&mut mode` points to a valid mode. The second call restores the thread's mode.
        unsafe {
            (runtime.exchange_capture_mode)(&mut mode);
            (runtime.exchange_capture_mode)(&mut mode);
        }
    };
    cost("runtime: exchange capture mode, twice", exchange, between);
    // SAFETY: the stream is alive.
    cost("runtime: hipStreamQuery", || _ = unsafe { (runtime.stream_query)(raw) }, between);
    cost("query", || drop(stream.query()), between);
    let bare_synchronize = || {
        // SAFETY: the stream is alive.
        unsafe { (runtime.stream_synchronize)(raw) };
    };
    cost("runtime: hipStreamSynchronize", bare_synchronize, between);
    cost("synchronize", || drop(stream.synchronize()), between);
    costs_of_events((raw, raw_other), (&stream, &other));
    let first = device();
    cost("new_event", || drop(Hip::new_event(first, EventOptions::new())), between);
    // SAFETY: the stream is never destroyed.
    let checked = || drop(unsafe { Hip::stream_from_raw(handle, Some(device())) });
    cost("wrap, checked", checked, between);
    // SAFETY: the stream is never destroyed, and belongs to this device.
    let unchecked = || drop(unsafe { Hip::stream_from_raw_unchecked(handle, first) });
    cost("wrap, unchecked", unchecked, between);
    cost("id", || drop(stream.id()), between);
    let default = Hip::default_stream(first).expect("default_stream");
    cost("default stream: query", || drop(default.query()), between);
    let own = own_stream();
    own.synchronize().expect("synchronize");
}

/// Prints the costs of records, waits and queries of events: of the runtime's functions and the crate's.
fn costs_of_events((raw, raw_other): (Ptr, Ptr), (stream, other): (&HipStream, &HipStream)) {
    let (runtime, bare_event) = (bare(), bare::new_event(2));
    let event = own_event(EventOptions::new());
    stream.record(&event).expect("record");
    bare::record(bare_event, raw);
    let between = || {
        synchronize(raw);
        synchronize(raw_other);
    };
    // SAFETY: the event is alive.
    cost("runtime: hipEventQuery", || _ = unsafe { (runtime.event_query)(bare_event) }, between);
    cost("event query", || drop(event.query()), between);
    let record = || {
        // SAFETY: the event and the stream are alive.
        unsafe { (runtime.event_record)(bare_event, raw) };
    };
    cost("runtime: hipEventRecord", record, between);
    cost("record", || drop(stream.record(&event)), between);
    let wait = || {
        // SAFETY: the event and the stream are alive.
        unsafe { (runtime.stream_wait_event)(raw_other, bare_event, 0) };
    };
    cost("runtime: hipStreamWaitEvent", wait, between);
    cost("wait_event", || drop(other.wait_event(&event)), between);
    let both = || {
        // SAFETY: the event and both streams are alive.
        unsafe {
            (runtime.event_record)(bare_event, raw);
            (runtime.stream_wait_event)(raw_other, bare_event, 0);
        }
    };
    cost("runtime: record and wait, one event", both, between);
    cost("wait_stream", || drop(other.wait_stream(stream)), between);
    cost("record_event", || drop(stream.record_event()), between);
}
