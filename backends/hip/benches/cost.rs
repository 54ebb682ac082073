//! What a call costs beside the runtime's own, on idle streams: nanoseconds a call, the median of 31
//! batches of 2,000. Compare inside one run only. Over a simulated GPU it says what the backend adds
//! to AMD's own code, and nothing about a GPU.

#[path = "../tests/support/mod.rs"]
mod support;

use std::ffi::c_int;
use std::time::Instant;

use gpu_stream_core::{Backend, Event, EventOptions, RawStream, Stream, StreamOptions};
use gpu_stream_hip::Hip;
use support::bare::{bare, new_stream, ok, synchronize};
use support::{device, wrap};

fn cost(name: &str, mut call: impl FnMut(), mut rest: impl FnMut()) {
    const CALLS: u32 = 2_000;
    let mut batches: Vec<f64> = (0..31)
        .map(|_| {
            let since = Instant::now();
            for _ in 0..CALLS {
                call();
            }
            let taken = since.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS);
            rest();
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
    let mut theirs = std::ptr::null_mut();
    // SAFETY: a place for one event.
    ok("event_create", unsafe { (runtime.event_create)(&mut theirs, 2) });
    let event = Hip::new_event(device(), EventOptions::new()).expect("an event");
    stream.record(&event).expect("record");
    // SAFETY: both are alive.
    ok("event_record", unsafe { (runtime.event_record)(theirs, raw) });
    let handle = RawStream::from_ptr(raw);
    let mut status: c_int = 0;
    let mut mode: c_int = 2;
    // Between the batches, so that no batch has the work of the last one.
    let rest = || {
        synchronize(raw);
        synchronize(raw_other);
    };
    // SAFETY: the handles are alive, and the places are for what is written.
    cost("runtime: hipPeekAtLastError", || _ = unsafe { (runtime.peek_error)() }, rest);
    let look = || {
        // SAFETY: as above.
        unsafe { (runtime.capture_status)(raw, &mut status) };
    };
    cost("runtime: hipStreamIsCapturing", look, rest);
    let exchange = || {
        // SAFETY: as above.
        unsafe {
            (runtime.exchange_capture_mode)(&mut mode);
            (runtime.exchange_capture_mode)(&mut mode);
        }
    };
    cost("runtime: exchange capture mode, twice", exchange, rest);
    // SAFETY: as above.
    cost("runtime: hipStreamQuery", || _ = unsafe { (runtime.stream_query)(raw) }, rest);
    cost("query", || drop(stream.query()), rest);
    let theirs_wait = || {
        // SAFETY: as above.
        unsafe { (runtime.stream_synchronize)(raw) };
    };
    cost("runtime: hipStreamSynchronize", theirs_wait, rest);
    cost("synchronize", || drop(stream.synchronize()), rest);
    // SAFETY: as above.
    cost("runtime: hipEventQuery", || _ = unsafe { (runtime.event_query)(theirs) }, rest);
    cost("event query", || drop(event.query()), rest);
    let record = || {
        // SAFETY: as above.
        unsafe { (runtime.event_record)(theirs, raw) };
    };
    cost("runtime: hipEventRecord", record, rest);
    cost("record", || drop(stream.record(&event)), rest);
    let wait = || {
        // SAFETY: as above.
        unsafe { (runtime.stream_wait_event)(raw_other, theirs, 0) };
    };
    cost("runtime: hipStreamWaitEvent", wait, rest);
    cost("wait_event", || drop(other.wait_event(&event)), rest);
    let both = || {
        // SAFETY: as above.
        unsafe {
            (runtime.event_record)(theirs, raw);
            (runtime.stream_wait_event)(raw_other, theirs, 0);
        }
    };
    cost("runtime: record and wait, one event", both, rest);
    cost("wait_stream", || drop(other.wait_stream(&stream)), rest);
    cost("record_event", || drop(stream.record_event()), rest);
    let first = device();
    cost("new_event", || drop(Hip::new_event(first, EventOptions::new())), rest);
    // SAFETY: the stream is never destroyed.
    let checked = || drop(unsafe { Hip::stream_from_raw(handle, Some(device())) });
    cost("wrap, checked", checked, rest);
    // SAFETY: as above.
    let unchecked = || drop(unsafe { Hip::stream_from_raw_unchecked(handle, first) });
    cost("wrap, unchecked", unchecked, rest);
    cost("id", || drop(stream.id()), rest);
    let default = Hip::default_stream(first).expect("default_stream");
    cost("default stream: query", || drop(default.query()), rest);
    let own = Hip::new_stream(device(), StreamOptions::new()).expect("new_stream");
    own.synchronize().expect("synchronize");
}
