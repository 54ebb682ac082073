//! Another library resets the primary context. What was made before says so, no handle of it is
//! followed, and what is made after works. Each case runs in a process of its own, over the simulated
//! driver: once with a new handle for the context, and once with the old one, as the real driver has it.

mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::channel;

use gpu_stream_core::{Backend, ErrorKind, Event, EventOptions, RawStream, Stream, StreamOptions};
use gpu_stream_cuda::{Cuda, CudaStream};
use gpu_stream_faults::{Controls, Threads};
use support::bare::{self, ok};
use support::{child, device, expect_kind};

const CASES: &[support::Case] = &[
    ("everything_was_dropped_before", everything_was_dropped_before),
    ("what_was_made_before_says_so", what_was_made_before_says_so),
    ("no_handle_of_before_is_followed", no_handle_of_before_is_followed),
    ("the_default_stream_is_that_of_the_next_life", the_default_stream_goes_on),
    ("closures_run_before_the_reset", closures_run_before_the_reset),
];

fn main() -> ExitCode {
    child::main(
        CASES,
        &[("a new handle", &[("DRIVER_SIM_SAME_CONTEXT", "0")]), ("the same handle", &[])],
    )
}

fn stream() -> CudaStream {
    Cuda::new_stream(device(), StreamOptions::new()).unwrap()
}

/// As `cudaDeviceReset` of another library, which goes on to use the device if `again`.
fn reset(again: bool) {
    let library = driver_sim::library().unwrap();
    // SAFETY: the library is loaded and never closed, and the function has this type.
    let code = unsafe {
        let library = std::mem::ManuallyDrop::new(libloading::Library::new(library).unwrap());
        let reset =
            *library.get::<unsafe extern "C" fn(i32) -> i32>("cuDevicePrimaryCtxReset_v2").unwrap();
        reset(0)
    };
    ok("cuDevicePrimaryCtxReset_v2", code);
    if again {
        bare::primary_context();
    }
}

/// Every call that takes an event from a pool, or a context that is known.
fn use_all(made: impl Fn() -> CudaStream) {
    let (one, other) = (made(), made());
    for _ in 0..3 {
        one.wait_stream(&other).unwrap();
        one.fork([&other, &made()]).unwrap();
        one.join([&other]).unwrap();
        other.wait_event(&one.record_event().unwrap()).unwrap();
        let held: Vec<_> = (0..4).map(|_| one.record_event().unwrap()).collect();
        drop(held);
    }
    let event = one.new_event(EventOptions::timed()).unwrap();
    one.record(&event).unwrap();
    let device_event = Cuda::new_event(device(), EventOptions::new()).unwrap();
    one.record(&device_event).unwrap();
    let (sender, receiver) = channel();
    other.launch_host_func(Box::new(move || sender.send(()).unwrap())).unwrap();
    receiver.recv().unwrap();
    one.synchronize().unwrap();
    assert!(event.query().unwrap() && device_event.query().unwrap());
    drop(one.new_stream(StreamOptions::new()).unwrap());
}

fn everything_was_dropped_before() {
    for again in [false, true, true, false] {
        use_all(stream);
        reset(again);
        use_all(stream);
        // Streams of others, wrapped in both ways.
        reset(true);
        let raw = || RawStream::from_ptr(bare::new_stream(bare::primary_context(), 1, 0));
        // SAFETY: the streams are never destroyed but by a reset.
        use_all(|| unsafe { Cuda::stream_from_raw(raw(), None) }.unwrap());
        reset(true);
        // SAFETY: as above, and they are of this device.
        use_all(|| unsafe { Cuda::stream_from_raw_unchecked(raw(), device()) }.unwrap());
        use_all(|| Cuda::default_stream(device()).unwrap());
    }
}

fn what_was_made_before_says_so() {
    for again in [false, true] {
        let (one, other) = (stream(), stream());
        one.wait_stream(&other).unwrap();
        let events = [one.record_event().unwrap(), one.new_event(EventOptions::timed()).unwrap()];
        one.synchronize().unwrap();
        reset(again);
        let gone = ErrorKind::ContextDestroyed;
        let text = expect_kind("query", one.query(), gone);
        assert!(text.contains("reset") && text.contains("make new streams"), "{text}");
        expect_kind("synchronize", one.synchronize(), gone);
        expect_kind("id", one.id(), gone);
        expect_kind("new_event", one.new_event(EventOptions::new()), gone);
        expect_kind("new_stream", one.new_stream(StreamOptions::new()), gone);
        expect_kind("host function", one.launch_host_func(Box::new(|| ())), gone);
        for event in &events {
            expect_kind("status", event.status(), gone);
            expect_kind("event synchronize", event.synchronize(), gone);
        }
        if !again {
            // Once the context is retained again, the driver follows such handles and crashes, as it does
            // for bare calls.
            expect_kind("record", one.record(&events[0]), gone);
            expect_kind("wait_event", other.wait_event(&events[0]), gone);
            expect_kind("wait_stream", one.wait_stream(&other), gone);
        }
        use_all(stream);
        expect_kind("query", one.query(), gone);
    }
}

/// The real driver follows a handle of a context that was reset, and crashes.
fn no_handle_of_before_is_followed() {
    let controls = Controls::of(driver_sim::library().unwrap()).unwrap();
    for again in [false, true] {
        let (one, other) = (stream(), stream());
        one.wait_stream(&other).unwrap();
        let events = [one.record_event().unwrap(), one.new_event(EventOptions::timed()).unwrap()];
        reset(again);
        controls.watch(Threads::This);
        let _ = (one.query(), one.synchronize(), events[0].status(), events[1].query());
        drop((one, other, events));
        let seen = controls.seen();
        controls.clear();
        let about = ["cuStream", "cuEvent"];
        let followed: Vec<_> =
            seen.iter().filter(|call| about.iter().any(|of| call.starts_with(of))).collect();
        assert!(followed.is_empty(), "{followed:?}");
    }
}

fn the_default_stream_goes_on() {
    let default = Cuda::default_stream(device()).unwrap();
    for again in [true, false, true] {
        drop(default.record_event().unwrap());
        reset(again);
        default.query().unwrap();
        let event = default.record_event().unwrap();
        default.wait_event(&event).unwrap();
        stream().wait_stream(&default).unwrap();
        default.synchronize().unwrap();
    }
}

/// The driver waits for all work of the context before it resets it: no closure is left behind.
fn closures_run_before_the_reset() {
    let (held, one) = (Arc::new(()), stream());
    let share = Arc::clone(&held);
    let (sender, receiver) = channel();
    one.launch_host_func(Box::new(move || drop((share, sender.send(()))))).unwrap();
    reset(true);
    assert!(receiver.recv().is_ok(), "a closure in front of the reset did not run");
    assert_eq!(Arc::strong_count(&held), 1);
    expect_kind("query", one.query(), ErrorKind::ContextDestroyed);
}
