//! Failing runtime functions: the thread is restored, nothing leaks, and each error is reported.

use std::cell::Cell;

use gpu_stream_core::{Error, ErrorKind, Event, Stream};
use gpu_stream_hip::HipError;

use crate::support::bare::{
    bare, fetch_error, keeps_errors, peek_error, set_capture_mode, set_device, thread_state,
};
use crate::support::{expect_kind, fake, operations, own_stream};

pub fn every_call_succeeds(fake: &fake::Fake) {
    let world = operations::World::new();
    let nothing = |_: &str| ();
    operations::run_all(&world, &nothing, &nothing);
    // Repeats until the pool is full.
    for _ in 0..10 {
        operations::run_all(&world, &nothing, &nothing);
    }
    let live = (fake.live_streams(), fake.live_events());
    operations::run_all(&world, &nothing, &nothing);
    assert_eq!((fake.live_streams(), fake.live_events()), live, "leaked streams and events");
    assert_eq!(fake.stale(), 0, "calls that used a destroyed stream");
}

/// The runtime functions that the backend calls, except those that restore state, whose failure cannot
/// be repaired.
const FUNCTIONS: [&str; 23] = [
    "hipDeviceGetName",
    "hipDeviceGetStreamPriorityRange",
    "hipGetDevice",
    "hipSetDevice",
    "hipThreadExchangeStreamCaptureMode",
    "hipStreamCreateWithPriority",
    "hipStreamDestroy",
    "hipStreamQuery",
    "hipStreamWaitEvent",
    "hipStreamGetDevice",
    "hipStreamGetPriority",
    "hipStreamGetId",
    "hipStreamIsCapturing",
    "hipStreamGetCaptureInfo_v2",
    "hipLaunchHostFunc",
    "hipEventCreateWithFlags",
    "hipEventDestroy",
    "hipEventQuery",
    "hipEventRecord",
    "hipEventElapsedTime",
    "hipIpcGetEventHandle",
    "hipGetErrorName",
    "hipGetErrorString",
];

pub fn every_function_fails(fake: &fake::Fake) {
    let world = operations::World::new();
    operations::run_all(&world, &|_| (), &|_| ());
    let failed = Cell::new(0);
    for function in FUNCTIONS {
        // Codes of some kinds, a stream fault, and an unknown code.
        for code in [1, 400, 719, 900, 123_456] {
            let before = |_: &str| {
                fake.calls("");
                fake.fail(function, code);
            };
            for device in [0, 1] {
                set_device(device);
                let after = |name: &str| {
                    let error = peek_error();
                    fake.work();
                    failed.set(failed.get() + usize::from(fake.calls(function) > 0));
                    let restores = ["hipSetDevice", "hipThreadExchangeStreamCaptureMode"];
                    if restores.contains(&function) {
                        // The failing function could not restore the state, so the test does.
                        set_device(device);
                        set_capture_mode(0);
                        fetch_error();
                        return;
                    }
                    let context = format!("{name}, with {function} answering {code}");
                    assert_eq!(error, 0, "{context}, left an error");
                    assert_eq!(thread_state(), (device, 0), "{context}: the device and the mode");
                };
                operations::run_failing(&world, &before, &after);
            }
            set_device(0);
        }
    }
    assert!(failed.get() > 1_000, "only {} calls met the function that failed", failed.get());
    let (streams, events) = (fake.live_streams(), fake.live_events());
    operations::run_all(&world, &|_| (), &|_| ());
    assert_eq!(fake.live_streams(), streams, "leaked streams");
    // The pool may grow, but only up to its bound.
    assert!(fake.live_events() <= events + 512, "{} events, after {events}", fake.live_events());
    assert_eq!(fake.stale(), 0, "calls that used a destroyed stream");
}

pub fn unknown_codes_are_reported(fake: &fake::Fake) {
    let stream = own_stream();
    for code in [123_456, 919, -7] {
        fake.fail("hipStreamQuery", code);
        let error = stream.query().expect_err("an unknown code is no answer");
        assert_eq!((error.kind(), error.code()), (ErrorKind::Driver, Some(code)));
        assert!(error.to_string().contains(&code.to_string()), "{error}");
    }
    fake.fail("hipStreamQuery", 700);
    expect_kind("query", stream.query(), ErrorKind::StreamFault);
    fake.work();
    assert!(stream.query().unwrap());
}

/// An error that the caller has not fetched stays while calls of the crate succeed, in versions that
/// keep errors. A failed call of the crate replaces it, and leaves no error of its own.
pub fn callers_last_error_is_preserved(fake: &fake::Fake) {
    let (one, other) = (own_stream(), own_stream());
    let event = one.record_event().unwrap();
    let fail = || {
        // SAFETY: the function accepts any number.
        assert_eq!(unsafe { (bare().set_device)(9_999) }, 101);
    };
    let expected = if keeps_errors() { 101 } else { 0 };
    let calls: [(&str, &str, &dyn Fn() -> bool); 7] = [
        ("hipStreamQuery", "query", &|| one.query().is_ok()),
        ("hipEventRecord", "record", &|| one.record(&event).is_ok()),
        ("hipEventRecord", "record_event", &|| one.record_event().is_ok()),
        ("hipStreamWaitEvent", "wait_event", &|| other.wait_event(&event).is_ok()),
        ("hipStreamWaitEvent", "wait_stream", &|| other.wait_stream(&one).is_ok()),
        ("hipEventRecord", "join", &|| one.join([&other]).is_ok()),
        ("hipEventQuery", "event query", &|| event.query().is_ok()),
    ];
    for (function, name, call) in calls {
        // A warm-up, so that the call creates nothing.
        assert!(call());
        fail();
        assert!(call(), "{name}");
        assert_eq!(peek_error(), expected, "{name} succeeded");
        fetch_error();
        for code in [2, 700] {
            fail();
            fake.fail(function, code);
            assert!(!call(), "{name}");
            fake.work();
            assert_eq!(peek_error(), 0, "{name} failed with {code}");
        }
    }
    // "Not ready" is a result. On the NVIDIA platform it replaces the last error.
    fake.set_busy(true);
    let on_cuda = std::env::var("FAKE_HIP_VERSION").is_ok_and(|version| version == "12090");
    fail();
    assert!(!one.query().unwrap());
    assert_eq!(peek_error(), if on_cuda { 0 } else { expected }, "query, not ready");
}

/// The fault is also returned by calls that take a fast path while there is none.
pub fn every_call_returns_the_fault(fake: &fake::Fake) {
    let new = || own_stream();
    let (bad, good) = (new(), new());
    let event = good.record_event().unwrap();
    // Fills the pool.
    drop([(); 4].map(|()| good.record_event().unwrap()));
    good.wait_stream(&bad).unwrap();
    bad.launch_host_func(Box::new(|| std::panic::resume_unwind(Box::new("meant to fail"))))
        .unwrap();
    let before = fake.live_events();
    type Call<'a> = &'a dyn Fn() -> Result<(), HipError>;
    let calls: [(&str, Call); 11] = [
        ("query", &|| bad.query().map(drop)),
        ("synchronize", &|| bad.synchronize()),
        ("record", &|| bad.record(&event)),
        ("record_event", &|| bad.record_event().map(drop)),
        ("wait_event", &|| bad.wait_event(&event)),
        ("wait_stream", &|| bad.wait_stream(&good)),
        ("wait_stream, by another", &|| good.wait_stream(&bad)),
        ("fork", &|| bad.fork([&good])),
        ("fork, by another", &|| good.fork([&new(), &bad])),
        ("join", &|| bad.join([&good])),
        ("join, by another", &|| good.join([&new(), &bad])),
    ];
    for (name, call) in calls {
        let error = expect_kind(name, call(), ErrorKind::StreamFault);
        assert!(error.contains("meant to fail"), "{name}: {error}");
    }
    good.record(&event).unwrap();
    good.wait_stream(&new()).unwrap();
    assert!(good.query().unwrap());
    assert!(fake.live_events() <= before + 2, "leaked events");
}
