//! Every call over a driver that fails on demand. Whichever driver function fails, the thread's state is
//! restored and nothing leaks. Every check before a query is made.
//!
//! It shows nothing about a GPU and needs none: the driver is the one of `tests/fake`.

mod support;

use std::cell::Cell;
use std::process::ExitCode;

use gpu_stream_core::{
    Backend, Error, ErrorKind, Event, EventOptions, EventStatus, RawStream, Stream, StreamOptions,
};
use gpu_stream_cuda::{Cuda, CudaStream};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use support::bare::{enter, new_context, new_stream, primary_context, set_current};
use support::capture::Capture;
use support::{device, expect_kind, fake, operations, wrap};

type Case = (&'static str, fn(&fake::Fake));

const CASES: [Case; 7] = [
    ("every_call_succeeds", every_call_succeeds),
    ("every_function_fails", every_function_fails),
    ("captures_survive", captures_survive),
    ("events_are_pooled", events_are_pooled),
    ("unchecked_streams_of_any_context", unchecked_streams_of_any_context),
    ("number_of_driver_calls", number_of_driver_calls),
    ("unknown_codes_are_driver_errors", unknown_codes_are_driver_errors),
];

fn main() -> ExitCode {
    if let Ok(child) = std::env::var("GPU_STREAM_CUDA_CHILD") {
        let case = CASES.iter().find(|(name, _)| *name == child).expect("a case");
        (case.1)(&fake::Fake::open());
        return ExitCode::SUCCESS;
    }
    let library = fake::compile(false);
    let trials = CASES.iter().flat_map(|&(name, _)| {
        ["0", "1"].map(|strict| {
            let library = library.clone();
            let title = if strict == "1" { format!("{name}_strict") } else { name.to_string() };
            Trial::ignorable_test(title, move || run(name, strict, library))
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn run(
    name: &str,
    strict: &str,
    library: Result<std::path::PathBuf, String>,
) -> Result<Completion, Failed> {
    let library = match library {
        Ok(library) => library,
        Err(reason) => return Ok(Completion::ignored_with(reason)),
    };
    let library = library.to_str().ok_or("the path is no text")?;
    let output =
        fake::rerun(name, &[("GPU_STREAM_CUDA_LIBRARY", library), ("FAKE_CUDA_STRICT", strict)]);
    if output.status.success() {
        return Ok(Completion::Completed);
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
}

fn every_call_succeeds(fake: &fake::Fake) {
    let world = operations::World::new();
    let depth = Cell::new(0);
    let before = |_: &str| depth.set(fake.depth());
    let after =
        |name: &str| assert_eq!(fake.depth(), depth.get(), "{name} left a context on the stack");
    operations::run_all(&world, &before, &after);
    // Fills the pool first.
    for _ in 0..10 {
        operations::run_all(&world, &before, &after);
    }
    let live = (fake.live_streams(), fake.live_events());
    operations::run_all(&world, &before, &after);
    assert_eq!((fake.live_streams(), fake.live_events()), live, "streams, events that leaked");
}

/// The driver functions that the backend calls, except those that restore state, whose failure has no
/// remedy.
const FUNCTIONS: [&str; 27] = [
    "cuDeviceGetName",
    "cuDevicePrimaryCtxGetState",
    "cuCtxGetCurrent",
    "cuCtxPushCurrent_v2",
    "cuCtxGetDevice",
    "cuCtxGetStreamPriorityRange",
    "cuThreadExchangeStreamCaptureMode",
    "cuStreamCreateWithPriority",
    "cuStreamQuery",
    "cuStreamSynchronize",
    "cuStreamWaitEvent",
    "cuStreamGetCtx",
    "cuStreamGetPriority",
    "cuStreamGetId",
    "cuStreamIsCapturing",
    "cuStreamGetCaptureInfo_v2",
    "cuLaunchHostFunc",
    "cuEventCreate",
    "cuEventQuery",
    "cuEventSynchronize",
    "cuEventRecord",
    "cuEventElapsedTime",
    "cuIpcGetEventHandle",
    "cuGetErrorName",
    "cuGetErrorString",
    "cuDeviceGetCount",
    "cuDevicePrimaryCtxRetain",
];

fn every_function_fails(fake: &fake::Fake) {
    let world = operations::World::new();
    operations::run_all(&world, &|_| (), &|_| ());
    let (streams, events) = (fake.live_streams(), fake.live_events());
    let failed = Cell::new(0);
    for function in FUNCTIONS {
        // A code with a second attempt, one without, one that is a fault, and an unknown one.
        for code in [201, 400, 719, 123_456] {
            let depth = Cell::new(0);
            let before = |_: &str| {
                depth.set(fake.depth());
                fake.calls("");
                fake.fail(function, code);
            };
            let after = |name: &str| {
                fake.work();
                failed.set(failed.get() + usize::from(fake.calls(function) > 0));
                assert_eq!(
                    fake.depth(),
                    depth.get(),
                    "{name}, with {function} answering {code}, left a context"
                );
            };
            operations::run_all(&world, &before, &after);
        }
    }
    assert!(failed.get() > 1_000, "only {} calls reached the failing function", failed.get());
    operations::run_all(&world, &|_| (), &|_| ());
    assert_eq!(fake.live_streams(), streams, "streams that leaked");
    // The pool may have grown, within its bound.
    assert!(fake.live_events() <= events + 256, "{} events, after {events}", fake.live_events());
}

fn captures_survive(_: &fake::Fake) {
    for mode in [0, 1, 2] {
        let raw = new_stream(primary_context(), 1, 0);
        let (stream, other) =
            (wrap(raw), Cuda::new_stream(device(), StreamOptions::new()).unwrap());
        let event = Cuda::new_event(device(), EventOptions::new()).unwrap();
        let second = new_stream(new_context(), 1, 0);
        let sent = EventOptions::builder().interprocess(true).build().unwrap();
        let sent = Cuda::new_event(device(), sent).unwrap();
        // Strict drivers need a current context for the capture check.
        let _current = enter(primary_context());
        let capture = Capture::begin(raw, mode);
        let refused = |step, result| {
            expect_kind(step, result, ErrorKind::Capturing);
            capture.alive(step);
        };
        wrap(second);
        capture.alive("wrapping a stream of another context");
        Cuda::new_event(Cuda::device(1).unwrap(), EventOptions::new()).unwrap();
        capture.alive("the first call for a device");
        sent.ipc_handle().unwrap();
        capture.alive("ipc_handle");
        for _ in 0..2 {
            refused("query", stream.query().map(drop));
            refused("synchronize", stream.synchronize());
            refused("host function", stream.launch_host_func(Box::new(|| ())));
            // A record inside the capture must not count as one outside.
            other.record(&event).unwrap();
            event.synchronize().unwrap();
            stream.record(&event).unwrap();
            capture.alive("a record");
            refused("event query", event.query().map(drop));
            refused("event synchronize", event.synchronize());
            let handle = RawStream::from_ptr(raw);
            operations::beside_a_capture(handle, &|step| capture.alive(step));
            std::thread::scope(|scope| {
                let ask = || operations::beside_a_capture(handle, &|_| ());
                scope.spawn(ask).join().expect("another thread");
            });
            capture.alive("what another thread did");
        }
        capture.end().expect("the end of the capture");
        for _ in 0..2 {
            expect_kind("event query", event.query(), ErrorKind::InvalidEvent);
            expect_kind("event synchronize", event.synchronize(), ErrorKind::InvalidEvent);
            expect_kind("wait", other.wait_event(&event), ErrorKind::InvalidEvent);
        }
        stream.record(&event).unwrap();
        assert_eq!(event.status().unwrap(), EventStatus::Complete);
        other.wait_event(&event).unwrap();
    }
}

fn events_are_pooled(fake: &fake::Fake) {
    let (one, other) = (
        Cuda::new_stream(device(), StreamOptions::new()).unwrap(),
        Cuda::new_stream(device(), StreamOptions::new()).unwrap(),
    );
    let all = || {
        one.wait_stream(&other).unwrap();
        other.fork([&one]).unwrap();
        other.join([&one]).unwrap();
        drop(one.record_event().unwrap());
    };
    all();
    fake.calls("");
    (0..100).for_each(|_| all());
    assert_eq!(fake.calls("cuEventCreate"), 0, "events were created");
    // Events whose handle has escaped, or that have options, are not pooled.
    let given = one.record_event().unwrap();
    given.raw();
    let live = fake.live_events();
    drop(given);
    assert_eq!(fake.live_events(), live - 1, "an escaped event went into the pool");
    // Nor are events that were recorded in a capture, even if they were recorded outside since.
    for again in [false, true] {
        let _current = enter(primary_context());
        let capture = Capture::begin(one.raw().as_ptr(), 0);
        let captured = one.record_event().unwrap();
        if again {
            other.record(&captured).unwrap();
        }
        let live = fake.live_events();
        drop(captured);
        assert_eq!(fake.live_events(), live - 1, "an event of a capture went into the pool");
        capture.end().expect("the end of the capture");
    }
    for _ in 0..10 {
        let held: Vec<_> = (0..300).map(|_| one.record_event().unwrap()).collect();
        assert!(held.iter().all(|event| event.status().unwrap() == EventStatus::Complete));
    }
    // Includes the events that `all` used.
    assert!(fake.live_events() <= 256 + 2, "the pool exceeds its bound: {}", fake.live_events());
    let fresh = Cuda::new_event(device(), EventOptions::new()).unwrap();
    assert_eq!(fresh.status().unwrap(), EventStatus::Unrecorded, "a new event has an old record");
}

/// An unchecked wrapper is assumed to be in the primary context, until the driver rejects a record.
fn unchecked_streams_of_any_context(fake: &fake::Fake) {
    let one = Cuda::new_stream(device(), StreamOptions::new()).unwrap();
    for (context, is_primary) in [(primary_context(), true), (new_context(), false)] {
        set_current(std::ptr::null_mut());
        let raw = new_stream(context, 1, 0);
        // SAFETY: the tests' streams are never destroyed.
        let wrap = || unsafe {
            Cuda::stream_from_raw_unchecked(RawStream::from_ptr(raw), device()).unwrap()
        };
        let ordered = |stream: &CudaStream, wait: &dyn Fn(&CudaStream)| {
            let submitted = fake.submit(raw);
            wait(stream);
            assert!(fake.waited(one.raw().as_ptr(), raw) >= submitted, "is not waited for");
        };
        for again in [false, true] {
            let kept = wrap();
            let stream = || if again { kept.clone() } else { wrap() };
            for _ in 0..2 {
                ordered(&stream(), &|stream| one.wait_stream(stream).unwrap());
                ordered(&stream(), &|stream| stream.fork([&one]).unwrap());
                ordered(&stream(), &|stream| one.join([stream]).unwrap());
                ordered(&stream(), &|stream| {
                    one.wait_event(&stream.record_event().unwrap()).unwrap();
                });
                let own = stream().new_event(EventOptions::new()).unwrap();
                stream().record(&own).unwrap();
                let foreign = Cuda::new_event(device(), EventOptions::new()).unwrap();
                let recorded = stream().record(&foreign);
                if is_primary {
                    recorded.unwrap();
                } else {
                    expect_kind("foreign event", recorded, ErrorKind::InvalidHandle);
                }
                assert_eq!(foreign.status().unwrap() == EventStatus::Unrecorded, !is_primary);
            }
        }
    }
}

/// The driver calls for the most frequent calls on an explicit stream.
fn number_of_driver_calls(fake: &fake::Fake) {
    let strict = std::env::var("FAKE_CUDA_STRICT").as_deref() == Ok("1");
    let (one, other) = (
        Cuda::new_stream(device(), StreamOptions::new()).unwrap(),
        Cuda::new_stream(device(), StreamOptions::new()).unwrap(),
    );
    one.wait_stream(&other).unwrap();
    let event = other.record_event().unwrap();
    let count = |call: &dyn Fn()| {
        fake.calls("");
        call();
        fake.calls("")
    };
    let raw = one.raw();
    // SAFETY: `one` outlives the wrapper.
    let unchecked = || drop(unsafe { Cuda::stream_from_raw_unchecked(raw, device()) }.unwrap());
    // SAFETY: `one` outlives the wrapper.
    let checked = || drop(unsafe { Cuda::stream_from_raw(raw, Some(device())) }.unwrap());
    // `event` was the only pooled one.
    one.wait_stream(&other).unwrap();
    assert_eq!(count(&unchecked), 0, "wrapping unchecked");
    assert_eq!(count(&|| one.wait_stream(&one.clone()).unwrap()), 0, "wait for the same stream");
    if strict {
        return;
    }
    assert_eq!(count(&checked), 2, "wrapping: cuStreamGetCtx, cuCtxGetId");
    assert_eq!(count(&|| drop(one.query())), 5, "query: context, capture check, mode, query, mode");
    assert_eq!(count(&|| one.wait_event(&event).unwrap()), 2, "wait_event: capture check, wait");
    assert_eq!(count(&|| other.record(&event).unwrap()), 2, "record: capture check, record");
    assert_eq!(count(&|| other.wait_event(&event).unwrap()), 1, "of its own record: capture check");
    assert_eq!(count(&|| one.wait_stream(&other).unwrap()), 3, "wait_stream: check, record, wait");
    let branches = [one.clone(), other.clone(), one.clone()];
    other.fork(&branches).unwrap();
    drop(other.record_event().unwrap());
    assert_eq!(count(&|| other.fork(&branches).unwrap()), 5, "fork: record, two checks and waits");
    assert_eq!(count(&|| other.join(&branches).unwrap()), 6, "join: two checks, records and waits");
    assert_eq!(count(&|| drop(other.record_event().unwrap())), 2, "record_event: check, record");
    assert_eq!(count(&|| drop(event.query())), 4, "event query: context, mode, query, mode");
    // SAFETY: `other` outlives the wrapper.
    let source = unsafe { Cuda::stream_from_raw_unchecked(other.raw(), device()) }.unwrap();
    assert_eq!(
        count(&|| one.wait_stream(&source).unwrap()),
        4,
        "unchecked: look, context, record, wait"
    );
}

fn unknown_codes_are_driver_errors(fake: &fake::Fake) {
    let stream = Cuda::new_stream(device(), StreamOptions::new()).unwrap();
    for code in [123_456, 919, -7] {
        fake.fail("cuStreamQuery", code);
        let error = stream.query().expect_err("an unknown code is no answer");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Driver, Some(code)));
        assert!(error.to_string().contains(&code.to_string()), "{error}");
    }
    fake.fail("cuStreamQuery", 700);
    expect_kind("query", stream.query(), ErrorKind::StreamFault);
    fake.work();
    assert!(stream.query().unwrap());
}
