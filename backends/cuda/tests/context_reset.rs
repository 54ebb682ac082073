//! Another library resets the primary context. Old objects return an error, no old handle is used, and new
//! objects work. Each case runs in a process of its own, over the simulated driver: once with a new handle
//! for the context, and once with the old one, as the real driver does.

mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::channel;

use gpu_stream_core::{Backend, ErrorKind, Event, EventOptions, RawStream, Stream, StreamOptions};
use gpu_stream_cuda::{Cuda, CudaError, CudaEvent, CudaStream};
use gpu_stream_faults::{At, InjectedFault, Threads};
#[cfg(feature = "cudarc")]
use gpu_stream_test_support::skip;
use gpu_stream_test_support::{Vendor, main_over_faults};
use support::bare::{self, ok};
use support::{OnCuda, device, expect_kind, own_stream as stream};

const CASES: &[support::Case] = &[
    ("reset_after_everything_was_dropped", reset_after_everything_was_dropped),
    ("old_objects_return_the_reset", old_objects_return_the_reset),
    ("first_call_is_elapsed_since", first_call_is_elapsed_since),
    ("first_call_is_a_wait", first_call_is_a_wait),
    ("first_call_is_a_record", first_call_is_a_record),
    ("failed_check_is_no_reset", failed_check_is_no_reset),
    ("threads_of_one_wrapper_all_return_the_reset", threads_of_one_wrapper_all_return_the_reset),
    #[cfg(feature = "cudarc")]
    ("old_stream_is_not_passed_to_cudarc", old_stream_is_not_passed_to_cudarc),
    ("old_handles_are_not_used", old_handles_are_not_used),
    ("default_stream_becomes_that_of_the_next_lifetime", default_stream_continues),
    ("closures_run_before_the_reset", closures_run_before_the_reset),
];

fn main() -> ExitCode {
    main_over_faults::<OnCuda>(
        CASES,
        &[("a new handle", &[("CUDA_SIM_SAME_CONTEXT", "0")]), ("the same handle", &[])],
    )
}

/// Resets the context as `cudaDeviceReset` of another library does. The library uses the device again if
/// `again`.
fn reset(again: bool) {
    // SAFETY: this is the function's type.
    let reset: unsafe extern "C" fn(i32) -> i32 =
        unsafe { support::simulated_function("cuDevicePrimaryCtxReset_v2") };
    // SAFETY: the function accepts any number.
    let code = unsafe { reset(0) };
    ok("cuDevicePrimaryCtxReset_v2", code);
    if again {
        bare::primary_context();
    }
}

/// Makes every call that takes an event from a pool, or that uses a known context.
fn use_all(new_stream: impl Fn() -> CudaStream) {
    let (one, other) = (new_stream(), new_stream());
    for _ in 0..3 {
        one.wait_stream(&other).unwrap();
        one.fork([&other, &new_stream()]).unwrap();
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

fn reset_after_everything_was_dropped() {
    for again in [false, true, true, false] {
        use_all(stream);
        reset(again);
        use_all(stream);
        // Foreign streams, wrapped in both ways.
        reset(true);
        let raw = || RawStream::from_ptr(bare::new_stream(bare::primary_context(), 1, 0));
        // SAFETY: only a reset destroys the streams.
        use_all(|| unsafe { Cuda::stream_from_raw(raw(), None) }.unwrap());
        reset(true);
        // SAFETY: only a reset destroys the streams, and they belong to this device.
        use_all(|| unsafe { Cuda::stream_from_raw_unchecked(raw(), device()) }.unwrap());
        use_all(|| Cuda::default_stream(device()).unwrap());
    }
}

fn old_objects_return_the_reset() {
    for again in [false, true] {
        let (one, other) = (stream(), stream());
        one.wait_stream(&other).unwrap();
        let timed = || one.new_event(EventOptions::timed()).unwrap();
        let events = [timed(), timed()];
        one.record(&events[0]).unwrap();
        one.synchronize().unwrap();
        let sent = EventOptions::builder().interprocess(true).build().unwrap();
        let sent = one.new_event(sent).unwrap();
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
        expect_kind("ipc_handle", sent.ipc_handle(), gone);
        for _ in 0..2 {
            every_call_says_so(&one, &other, &events);
            // The other calls return the reset, too, and the next lifetime works.
            use_all(stream);
        }
        let new = stream();
        let own = new.record_event().unwrap();
        expect_kind("record of an old event", new.record(&events[0]), gone);
        expect_kind("wait for an old event", new.wait_event(&events[0]), gone);
        expect_kind("wait for an old stream", new.wait_stream(&one), gone);
        expect_kind("an old stream waits", one.wait_stream(&new), gone);
        expect_kind("an old stream records", one.record(&own), gone);
        expect_kind("an old stream waits for an event", one.wait_event(&own), gone);
        use_all(stream);
        expect_kind("query", one.query(), gone);
    }
}

/// Checks every call on old streams and old timed events.
fn every_call_says_so(one: &CudaStream, other: &CudaStream, events: &[CudaEvent; 2]) {
    let gone = ErrorKind::ContextDestroyed;
    for event in events {
        expect_kind("record", one.record(event), gone);
        expect_kind("wait_event", other.wait_event(event), gone);
        expect_kind("wait_event by itself", one.wait_event(event), gone);
        expect_kind("elapsed_since itself", event.elapsed_since(event), gone);
    }
    expect_kind("elapsed_since", events[1].elapsed_since(&events[0]), gone);
    expect_kind("record_event", one.record_event(), gone);
    expect_kind("wait_stream", one.wait_stream(other), gone);
    expect_kind("fork", one.fork([other]), gone);
    expect_kind("join", one.join([other]), gone);
    expect_kind("priority", one.priority(), gone);
    expect_kind("is_blocking", one.is_blocking(), gone);
    expect_kind("capture_status", one.capture_status(), gone);
}

/// Checks the first call after a reset that another library has recovered from. If the call asks the driver
/// for the context, it returns the reset, too.
fn first(call: fn(&CudaStream, &[CudaEvent; 2]) -> Result<(), CudaError>) {
    let default = Cuda::default_stream(device()).unwrap();
    let (one, other) = (stream(), stream());
    let new = || one.new_event(EventOptions::timed()).unwrap();
    let events = [new(), new()];
    for event in &events {
        one.record(event).unwrap();
    }
    one.synchronize().unwrap();
    reset(true);
    expect_kind("the first call", call(&default, &events), ErrorKind::ContextDestroyed);
    every_call_says_so(&one, &other, &events);
    use_all(stream);
}

fn first_call_is_elapsed_since() {
    first(|_, [start, end]| end.elapsed_since(start).map(drop));
}

fn first_call_is_a_wait() {
    first(|default, [event, _]| default.wait_event(event));
}

fn first_call_is_a_record() {
    first(|default, [event, _]| default.record(event));
}

/// Threads that share a wrapper check it at the same time. A thread that used the old handle would abort the process.
fn threads_of_one_wrapper_all_return_the_reset() {
    let (one, gone) = (stream(), ErrorKind::ContextDestroyed);
    drop(one.record_event().unwrap());
    reset(true);
    expect_kind("query", one.query(), gone);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    expect_kind("record_event", one.record_event(), gone);
                }
            });
        }
    });
    use_all(stream);
}

/// The driver once reports a live context as destroyed.
fn failed_check_is_no_reset() {
    let controls = OnCuda::controls();
    let (one, space) = (stream(), bare::Space::primary());
    let event = one.record_event().unwrap();
    let gate = space.gate(one.raw().as_ptr());
    let (sender, receiver) = channel();
    one.launch_host_func(Box::new(move || sender.send(()).unwrap())).unwrap();
    type Call<'a> = &'a dyn Fn() -> Result<(), CudaError>;
    let calls: [(Call, bool); 3] = [
        (&|| Cuda::new_stream(device(), StreamOptions::new()).map(drop), true),
        (&|| Cuda::new_event(device(), EventOptions::new()).map(drop), true),
        (&|| one.query().map(drop), false),
    ];
    for (call, goes_on) in calls {
        controls.set("cuCtxGetId", At::Occurrence(1), Threads::This, InjectedFault::Answer(709));
        let answer = call();
        controls.clear();
        if goes_on {
            answer.unwrap();
        } else {
            expect_kind("a question that failed", answer, ErrorKind::ContextDestroyed);
        }
        stream().wait_event(&event).unwrap();
        stream().wait_stream(&one).unwrap();
        drop(one.record_event().unwrap());
    }
    gate.open();
    one.synchronize().unwrap();
    assert_eq!(receiver.recv(), Ok(()), "the closure of a live stream was dropped");
}

#[cfg(feature = "cudarc")]
fn old_stream_is_not_passed_to_cudarc() {
    let one = stream();
    one.synchronize().unwrap();
    reset(true);
    let context = cudarc::driver::CudaContext::new(0).unwrap();
    if context.cu_ctx().cast() != bare::primary_context() {
        skip("cudarc loaded the driver of this machine, and not the simulated one");
    }
    // SAFETY: the result is dropped at once, before the stream.
    let given = unsafe { one.to_cudarc(&context) };
    expect_kind("to_cudarc", given, ErrorKind::ContextDestroyed);
    // SAFETY: the result is dropped at once, before the stream.
    drop(unsafe { stream().to_cudarc(&context) }.unwrap());
}

/// The real driver uses a handle of a reset context, and crashes.
fn old_handles_are_not_used() {
    let controls = OnCuda::controls();
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

fn default_stream_continues() {
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

/// The driver waits for all work of the context before it resets it, so every closure runs.
fn closures_run_before_the_reset() {
    let (held, one) = (Arc::new(()), stream());
    let share = Arc::clone(&held);
    let (sender, receiver) = channel();
    one.launch_host_func(Box::new(move || drop((share, sender.send(()))))).unwrap();
    reset(true);
    assert!(receiver.recv().is_ok(), "a closure before the reset did not run");
    assert_eq!(Arc::strong_count(&held), 1);
    expect_kind("query", one.query(), ErrorKind::ContextDestroyed);
}
