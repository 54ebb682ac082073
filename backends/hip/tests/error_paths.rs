//! Every call over a runtime that fails on demand. The thread is restored whichever runtime function
//! fails, nothing leaks, and the checks before a query are made.
//!
//! The runtime is the one of `tests/fake`. It needs no GPU, and shows nothing about one.

mod support;

use std::cell::Cell;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use gpu_stream_core::{
    Backend, Error, ErrorKind, Event, EventOptions, EventStatus, RawStream, Stream,
};
use gpu_stream_hip::{Hip, HipError};
use libtest_mimic::Arguments;
use support::bare::{
    bare, fetch_error, new_stream, peek_error, set_capture_mode, set_device, thread_state,
};
use support::capture::Capture;
use support::{device, expect_kind, fake, operations, own_event, own_stream, wrap};

const CASES: [fake::Case; 13] = [
    ("every_call_succeeds", every_call_succeeds),
    ("every_function_fails", every_function_fails),
    ("captures_survive", captures_survive),
    (
        "capture_that_begins_after_the_check_is_noticed",
        capture_that_begins_after_the_check_is_noticed,
    ),
    (
        "captured_events_stay_intact_until_the_capture_ends",
        captured_events_stay_intact_until_the_capture_ends,
    ),
    ("events_return_to_the_pool", events_return_to_the_pool),
    ("runtime_calls_of_frequent_operations", runtime_calls_of_frequent_operations),
    ("destroyed_streams_are_not_used", destroyed_streams_are_not_used),
    ("event_query_keeps_the_stream_alive", event_query_keeps_the_stream_alive),
    ("busy_streams_are_destroyed_once_idle", busy_streams_are_destroyed_once_idle),
    ("unknown_codes_are_reported", unknown_codes_are_reported),
    ("callers_last_error_is_preserved", callers_last_error_is_preserved),
    ("every_call_returns_the_fault", every_call_returns_the_fault),
];

/// The versions of the fake. They differ in the last error (replaced by every call, or kept) and in the
/// calls that are unsafe beside captures (none, some, more). On the NVIDIA platform and in an untested
/// version all such calls are unsafe.
const VERSIONS: [fake::Version; 5] = [
    fake::Version { title: "5", number: "50731921" },
    fake::Version { title: "6", number: "60443484" },
    fake::Version { title: "7", number: "70253211" },
    fake::Version { title: "on_cuda", number: "12090" },
    fake::Version { title: "new", number: "90000000" },
];

/// The case that HIP 5.2 has more ways to fail: to lose an event of a capture.
const CASE_OF_5_2: fake::Case = (
    "captured_events_stay_intact_until_the_capture_ends",
    captured_events_stay_intact_until_the_capture_ends,
);
const VERSION_5_2: fake::Version = fake::Version { title: "5_2", number: "50221153" };

fn main() -> ExitCode {
    if fake::run_as_child(&CASES) {
        return ExitCode::SUCCESS;
    }
    let library = fake::compile(false);
    let all = VERSIONS.into_iter().flat_map(|version| fake::trials(&CASES, version, &library));
    let trials = all.chain(fake::trials(&[CASE_OF_5_2], VERSION_5_2, &library)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn every_call_succeeds(fake: &fake::Fake) {
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

fn every_function_fails(fake: &fake::Fake) {
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

fn captures_survive(_: &fake::Fake) {
    for mode in [0, 1, 2] {
        let raw = new_stream(0, 1, 0);
        let (stream, other) = (wrap(raw), own_stream());
        let event = own_event(EventOptions::new());
        let second = new_stream(1, 1, 0);
        let interprocess = EventOptions::builder().interprocess(true).build().unwrap();
        let interprocess = Hip::new_event(device(), interprocess);
        let capture = Capture::begin(raw, mode);
        let expect_rejected = |step, result| {
            expect_kind(step, result, ErrorKind::Capturing);
            capture.alive(step);
        };
        wrap(second);
        capture.alive("wrapping a stream of another device");
        Hip::new_event(Hip::device(1).unwrap(), EventOptions::new()).unwrap();
        capture.alive("the first call for a device");
        // Some versions reject interprocess events.
        interprocess
            .and_then(|event| event.ipc_handle())
            .map(drop)
            .or_else(|error| match error.kind() {
                ErrorKind::Unsupported => Ok(()),
                _ => Err(error),
            })
            .unwrap();
        capture.alive("ipc_handle");
        for _ in 0..2 {
            expect_rejected("query", stream.query().map(drop));
            expect_rejected("synchronize", stream.synchronize());
            expect_rejected("host function", stream.launch_host_func(Box::new(|| ())));
            stream.record(&event).unwrap();
            expect_rejected("event query", event.query().map(drop));
            expect_rejected("event synchronize", event.synchronize());
            let handle = RawStream::from_ptr(raw);
            operations::beside_a_capture(handle, &|step| capture.alive(step));
            std::thread::scope(|scope| {
                let call_all = || operations::beside_a_capture(handle, &|_| ());
                scope.spawn(call_all).join().expect("another thread");
            });
            capture.alive("the calls of another thread");
        }
        capture.end().expect("the end of the capture");
        expect_kind("event query", event.query(), ErrorKind::InvalidEvent);
        expect_kind("wait", other.wait_event(&event), ErrorKind::InvalidEvent);
        stream.record(&event).unwrap();
        assert_eq!(event.status().unwrap(), EventStatus::Complete);
        other.wait_event(&event).unwrap();
    }
}

/// A record first checks whether the stream is captured. A capture that another thread begins after the
/// check is noticed anyway: the event then has no work.
fn capture_that_begins_after_the_check_is_noticed(fake: &fake::Fake) {
    let raw = new_stream(0, 1, 0);
    let (stream, waiter) = (wrap(raw), wrap(new_stream(0, 1, 0)));
    let event = own_event(EventOptions::new());
    // Enough streams that every scratch event is recorded.
    let others: Vec<_> = (0..2_000).map(|_| wrap(new_stream(0, 1, 0))).collect();
    let during = |call: &(dyn Fn() + Sync)| {
        // Warms up the fast paths, so that they have events.
        call();
        fake.hold_next("hipEventRecord");
        let capture = std::thread::scope(|scope| {
            scope.spawn(call);
            fake.wait_until_held();
            let capture = Capture::begin(raw, 2);
            fake.release();
            capture
        });
        let other = &others[0];
        waiter.join([other]).unwrap();
        other.fork([&waiter]).unwrap();
        other.record_event().unwrap();
        others.iter().for_each(|other| waiter.wait_stream(other).unwrap());
        assert_eq!(fake.lost(), 0, "events of the capture were recorded elsewhere");
        capture.end().map(drop).unwrap();
    };
    during(&|| stream.record(&event).unwrap());
    expect_kind("status", event.status(), ErrorKind::InvalidEvent);
    let made = Mutex::new(None);
    during(&|| *made.lock().unwrap() = Some(stream.record_event().unwrap()));
    let made = made.into_inner().unwrap().unwrap();
    expect_kind("status", made.status(), ErrorKind::InvalidEvent);
    // Unlike the real runtime, the fake rejects each wait for such an event.
    let ignore = |result: Result<(), HipError>| drop(result);
    during(&|| ignore(wrap(new_stream(0, 1, 0)).wait_stream(&stream)));
    during(&|| ignore(stream.fork([&wrap(new_stream(0, 1, 0))])));
    during(&|| ignore(wrap(new_stream(0, 1, 0)).join([&stream])));
}

/// A capture has pointers to the events that were recorded in it, and writes to them when it ends.
fn captured_events_stay_intact_until_the_capture_ends(fake: &fake::Fake) {
    let raw = new_stream(0, 1, 0);
    let (stream, other) = (wrap(raw), wrap(new_stream(0, 1, 0)));
    let event = || own_event(EventOptions::new());
    let (event, escaped) = (event(), event());
    escaped.raw();
    for _ in 0..3 {
        let capture = Capture::begin(raw, 2);
        stream.record(&event).unwrap();
        other.record(&event).unwrap();
        event.synchronize().unwrap();
        stream.record(&event).unwrap();
        drop(stream.record_event().unwrap());
        assert_eq!(fake.lost(), 0);
        capture.end().map(drop).unwrap();
    }
    // An event with an escaped handle must keep it, so it is not destroyed.
    let raw = escaped.raw();
    let capture = Capture::begin(stream.raw().as_ptr(), 2);
    stream.record(&escaped).unwrap();
    if let Err(error) = other.record(&escaped) {
        assert_eq!(error.kind(), ErrorKind::Capturing, "{error}");
    }
    assert_eq!(escaped.raw(), raw);
    fake.calls("");
    drop(escaped);
    assert_eq!(fake.calls("hipEventDestroy"), 0);
    capture.end().map(drop).unwrap();
}

fn events_return_to_the_pool(fake: &fake::Fake) {
    let (one, other) = (own_stream(), own_stream());
    one.wait_stream(&other).unwrap();
    other.fork([&one]).unwrap();
    fake.calls("");
    for _ in 0..100 {
        one.wait_stream(&other).unwrap();
        other.fork([&one]).unwrap();
    }
    assert_eq!(fake.calls("hipEventCreateWithFlags"), 0, "created events");
    // An event with an escaped handle does not go to the pool, nor does one with options.
    let escaped = one.record_event().unwrap();
    escaped.raw();
    let live = fake.live_events();
    drop(escaped);
    assert_eq!(fake.live_events(), live - 1, "an event with an escaped handle went to the pool");
    // An event of `new_event` does not go to the pool either, because a program may create and drop
    // many.
    let live = fake.live_events();
    drop(own_event(EventOptions::new()));
    assert_eq!(fake.live_events(), live, "an event of new_event went to the pool");
    for _ in 0..10 {
        let held: Vec<_> = (0..300).map(|_| one.record_event().unwrap()).collect();
        assert!(held.iter().all(|event| event.status().unwrap() == EventStatus::Complete));
    }
    // The bound, and one event for each stream that was waited for.
    assert!(fake.live_events() <= 256 + 3, "the pool has no bound: {}", fake.live_events());
    let fresh = own_event(EventOptions::new());
    assert_eq!(fresh.status().unwrap(), EventStatus::Unrecorded, "a new event has an old record");
}

/// Counts the runtime calls of the most frequent operations on an explicit stream.
fn runtime_calls_of_frequent_operations(fake: &fake::Fake) {
    let (one, other) = (own_stream(), own_stream());
    one.wait_stream(&other).unwrap();
    let event = other.record_event().unwrap();
    let version = std::env::var("FAKE_HIP_VERSION").expect("the version");
    // The calls that exchange the capture mode, where it is exchanged.
    let mode = if matches!(&version[..1], "5" | "6" | "7") { 0 } else { 2 };
    let query = if version.starts_with('5') { 2 } else { 4 };
    // Since HIP 7, a query also checks whether a reset has freed the stream, if that has an owner.
    let query = query + if matches!(&version[..1], "7" | "9") { 1 + mode } else { 0 };
    let count = |call: &dyn Fn()| {
        fake.calls("");
        call();
        fake.calls("")
    };
    let raw = one.raw();
    // SAFETY: `one` outlives the wrapper.
    let unchecked = || drop(unsafe { Hip::stream_from_raw_unchecked(raw, device()) }.unwrap());
    // SAFETY: `one` outlives the wrapper.
    let checked = || drop(unsafe { Hip::stream_from_raw(raw, Some(device())) }.unwrap());
    // The pool has only `event`, so one is created before the count.
    one.wait_stream(&other).unwrap();
    assert_eq!(count(&unchecked), 0, "wrapping unchecked");
    assert_eq!(count(&|| one.wait_stream(&one.clone()).unwrap()), 0, "wait for the same stream");
    assert_eq!(count(&checked), 1 + mode, "wrapping: hipStreamGetDevice, mode");
    assert_eq!(count(&|| drop(one.query())), query, "query: check, mode, query, mode");
    assert_eq!(count(&|| one.synchronize().unwrap()), query, "synchronize, idle: calls of query");
    assert_eq!(count(&|| one.wait_event(&event).unwrap()), 2, "wait_event: check, wait");
    let own = one.record_event().unwrap();
    assert_eq!(count(&|| one.wait_event(&own).unwrap()), 1, "wait for its own record: check");
    drop(own);
    assert_eq!(count(&|| other.record(&event).unwrap()), 3, "record: check, record, check");
    drop(other.record_event().unwrap());
    assert_eq!(count(&|| drop(other.record_event())), 3, "record_event: check, record, check");
    let wait = count(&|| one.wait_stream(&other).unwrap());
    assert_eq!(wait, 5, "wait_stream: check, check, record, check, wait");
    let third = own_stream();
    one.fork([&other]).unwrap();
    let fork = count(&|| one.fork([&other, &third, &one]).unwrap());
    assert_eq!(fork, 7, "fork: check, check, record, check, wait; check, wait");
    let join = count(&|| one.join([&other, &third, &one]).unwrap());
    assert_eq!(join, 10, "join: check, check, record, check, wait; the same again");
    // In HIP 6.4 the mode makes no difference, and the stream is checked instead.
    let event_query = match &version[..1] {
        "5" => 1,
        "6" => 2,
        _ => 3,
    };
    assert_eq!(count(&|| drop(event.query())), event_query, "event query: mode, query, mode");
    // "Not ready" is cleared from the last error in the versions that store it there.
    fake.set_busy(true);
    let is_stored = matches!(&version[..1], "5" | "6") || version == "12090";
    let peek = if is_stored { 2 } else { 1 };
    assert_eq!(count(&|| drop(one.query())), query + peek, "query, not ready");
    assert_eq!(peek_error(), 0);
}

/// An event of a destroyed stream does not reach the runtime, in whatever order they are dropped.
fn destroyed_streams_are_not_used(fake: &fake::Fake) {
    let reader = own_stream();
    let use_event = |event: &gpu_stream_hip::HipEvent| {
        event.synchronize().unwrap();
        assert_eq!(event.status().unwrap(), EventStatus::Complete);
        reader.wait_event(event).unwrap();
        let _ = event.elapsed_since(event);
    };
    for options in [EventOptions::new(), EventOptions::timed()] {
        let event = own_event(options);
        let streams = fake.live_streams();
        for _ in 0..3 {
            let stream = own_stream();
            stream.record(&event).unwrap();
            drop(stream);
            assert_eq!(fake.live_streams(), streams + 1, "the event keeps one stream");
            use_event(&event);
        }
        // The fake ends a thread's own stream with the thread, as HIP does.
        let event = std::thread::spawn(move || {
            Hip::per_thread_stream(device()).unwrap().record(&event).unwrap();
            event
        });
        let event = event.join().unwrap();
        assert_eq!(fake.live_streams(), streams, "recorded elsewhere, the event keeps a stream");
        use_event(&event);
        reader.record(&event).unwrap();
        use_event(&event);
    }
    assert_eq!(fake.stale(), 0, "calls that used a destroyed stream");
}

/// During a query of an event, the event's stream stays alive. Neither a record on another stream nor
/// the end of the stream's thread destroys it.
fn event_query_keeps_the_stream_alive(fake: &fake::Fake) {
    let other = own_stream();
    let event = own_event(EventOptions::new());
    for is_per_thread in [false, true] {
        let (recorded, may_end) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let recorder = scope.spawn(|| {
                if is_per_thread {
                    Hip::per_thread_stream(device()).unwrap().record(&event).unwrap();
                } else {
                    let stream = own_stream();
                    stream.record(&event).unwrap();
                }
                recorded.store(true, Ordering::SeqCst);
                while !may_end.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                if !is_per_thread {
                    other.record(&event).unwrap();
                }
            });
            while !recorded.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            fake.hold_queries(true);
            let querying = scope.spawn(|| event.query().unwrap());
            while !fake.hold_queries(true) {
                std::thread::yield_now();
            }
            may_end.store(true, Ordering::SeqCst);
            // Leaves time for what must not happen.
            for _ in 0..10_000 {
                std::thread::yield_now();
            }
            fake.hold_queries(false);
            assert!(querying.join().unwrap());
            recorder.join().unwrap();
        });
        assert!(event.query().unwrap());
        assert_eq!(fake.stale(), 0, "per-thread stream: {is_per_thread}");
    }
}

/// A stream that is busy when it is dropped is destroyed once it is idle.
fn busy_streams_are_destroyed_once_idle(fake: &fake::Fake) {
    let keep = own_stream();
    let streams = fake.live_streams();
    fake.set_busy(true);
    for _ in 0..5 {
        drop(own_stream());
    }
    assert_eq!(fake.live_streams(), streams + 5, "busy streams were destroyed");
    assert!(!keep.query().unwrap());
    assert_eq!(peek_error(), 0);
    fake.set_busy(false);
    // Each call checks some of them.
    for _ in 0..5 {
        drop(own_stream());
    }
    assert_eq!(fake.live_streams(), streams, "idle streams were not destroyed");
}

fn unknown_codes_are_reported(fake: &fake::Fake) {
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
fn callers_last_error_is_preserved(fake: &fake::Fake) {
    let (one, other) = (own_stream(), own_stream());
    let event = one.record_event().unwrap();
    let fail = || {
        // SAFETY: the function accepts any number.
        assert_eq!(unsafe { (bare().set_device)(9_999) }, 101);
    };
    let expected = if support::bare::keeps_errors() { 101 } else { 0 };
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
fn every_call_returns_the_fault(fake: &fake::Fake) {
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
