//! What a call costs beside the driver's own, on idle streams: nanoseconds a call, the median of 31
//! batches of 2,000. Compare inside one run only.

#[path = "../tests/support/mod.rs"]
mod support;

use std::ffi::c_int;
use std::time::Instant;

use gpu_stream_core::{Backend, Event, EventOptions, RawStream, Stream, StreamOptions};
use gpu_stream_cuda::Cuda;
use support::bare::{Space, bare};
use support::{device, wrap};

fn cost(name: &str, mut call: impl FnMut()) {
    const CALLS: u32 = 2_000;
    let mut batches: Vec<f64> = (0..31)
        .map(|_| {
            let since = Instant::now();
            for _ in 0..CALLS {
                call();
            }
            since.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    println!("{name:<44} {:>8.1}   ({:.1} to {:.1})", batches[15], batches[0], batches[30]);
}

fn main() {
    if let Err(error) = Cuda::probe() {
        println!("skipped: {error}");
        return;
    }
    println!("{:?}", Cuda::probe());
    let space = Space::primary();
    let (raw, raw_other) = (space.stream(1, 0), space.stream(1, 0));
    let (stream, other) = (wrap(raw), wrap(raw_other));
    let driver = bare();
    let mut theirs = std::ptr::null_mut();
    {
        let _current = support::bare::enter(space.context);
        // SAFETY: a place for one event.
        support::bare::ok("event_create", unsafe { (driver.event_create)(&mut theirs, 2) });
    }
    let event = Cuda::new_event(device(), EventOptions::new()).expect("an event");
    stream.record(&event).expect("record");
    let handle = RawStream::from_ptr(raw);
    let mut status: c_int = 0;
    let mut mode: c_int = 2;
    for round in 0..2 {
        println!("-- {}", ["no context current", "the primary context current"][round]);
        support::bare::set_current([std::ptr::null_mut(), space.context][round]);
        // SAFETY: the handles are alive, and the places are for what is written.
        cost("driver: cuStreamIsCapturing", || unsafe {
            (driver.capture_status)(raw, &mut status);
        });
        // SAFETY: the handles are alive, and the places are for what is written.
        cost("driver: exchange capture mode, twice", || unsafe {
            (driver.exchange_capture_mode)(&mut mode);
            (driver.exchange_capture_mode)(&mut mode);
        });
        // SAFETY: the handles are alive, and the places are for what is written.
        cost("driver: cuStreamQuery", || unsafe {
            (driver.stream_query)(raw);
        });
        cost("query", || drop(stream.query()));
        // SAFETY: the handles are alive, and the places are for what is written.
        cost("driver: cuStreamSynchronize", || unsafe {
            (driver.stream_synchronize)(raw);
        });
        cost("synchronize", || drop(stream.synchronize()));
        // SAFETY: the handles are alive, and the places are for what is written.
        cost("driver: cuEventQuery", || unsafe {
            (driver.event_query)(theirs);
        });
        cost("event query", || drop(event.query()));
        // SAFETY: the handles are alive, and the places are for what is written.
        cost("driver: cuEventRecord", || unsafe {
            (driver.event_record)(theirs, raw);
        });
        cost("record", || drop(stream.record(&event)));
        // SAFETY: the handles are alive, and the places are for what is written.
        cost("driver: cuStreamWaitEvent", || unsafe {
            (driver.stream_wait_event)(raw_other, theirs, 0);
        });
        cost("wait_event", || drop(other.wait_event(&event)));
        // SAFETY: the handles are alive, and the places are for what is written.
        cost("driver: record and wait, one event", || unsafe {
            (driver.event_record)(theirs, raw);
            (driver.stream_wait_event)(raw_other, theirs, 0);
        });
        cost("wait_stream", || drop(other.wait_stream(&stream)));
        cost("record_event", || drop(stream.record_event()));
        let first = device();
        cost("new_event", || drop(Cuda::new_event(first, EventOptions::new())));
        // SAFETY: the handles are alive, and the places are for what is written.
        cost("wrap, checked", || drop(unsafe { Cuda::stream_from_raw(handle, Some(device())) }));
        // SAFETY: the handles are alive, and the places are for what is written.
        cost("wrap, unchecked", || drop(unsafe { Cuda::stream_from_raw_unchecked(handle, first) }));
        cost("id", || drop(stream.id()));
        cost("default stream: query", {
            let default = Cuda::default_stream(first).expect("default_stream");
            move || drop(default.query())
        });
    }
    let own = Cuda::new_stream(device(), StreamOptions::new()).expect("new_stream");
    own.synchronize().expect("synchronize");
}
