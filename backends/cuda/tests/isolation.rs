//! A stream under capture waits only for work of its own capture. Any other wait is rejected before the
//! driver is called, with a text that names both streams, and the captures stay active.

mod support;

use std::process::ExitCode;

use gpu_stream_core::{Backend, CaptureStatus, ErrorKind, Event, EventOptions, RawEvent, Stream};
use gpu_stream_cuda::{Cuda, CudaError, CudaStream};
use gpu_stream_faults::Threads;
use gpu_stream_test_support::Vendor;
use support::bare::{Ptr, Space, bare, enter, ok};
use support::capture::{Capture, status_of};
use support::{OnCuda, device, expect_kind, is_simulated, wrap};

fn main() -> ExitCode {
    support::main(&[
        (
            "captured_stream_cannot_wait_for_uncaptured_work",
            captured_stream_cannot_wait_for_uncaptured_work,
        ),
        (
            "captured_stream_cannot_wait_for_another_capture",
            captured_stream_cannot_wait_for_another_capture,
        ),
        ("default_stream_cannot_wait_for_a_capture", default_stream_cannot_wait_for_a_capture),
        (
            "uncaptured_stream_joins_a_capture_by_waiting",
            uncaptured_stream_joins_a_capture_by_waiting,
        ),
        ("join_of_captured_and_uncaptured_branches", join_of_captured_and_uncaptured_branches),
        ("foreign_events_in_a_capture", foreign_events_in_a_capture),
        ("host_function_in_a_capture_is_rejected", host_function_in_a_capture_is_rejected),
        ("wait_for_the_own_record_makes_no_call", wait_for_the_own_record_makes_no_call),
        ("record_by_two_threads_is_waited_for", record_by_two_threads_is_waited_for),
        ("flags_and_times_during_a_capture", flags_and_times_during_a_capture),
    ])
}

const MODES: [i32; 3] = [0, 1, 2];

#[track_caller]
fn expect_rejected(
    what: &str,
    capture: &Capture,
    waiter: &CudaStream,
    result: Result<(), CudaError>,
) {
    let text = expect_kind(what, result, ErrorKind::Capturing);
    capture.alive(what);
    assert!(text.contains(&format!("{:#x}", waiter.raw().to_bits())), "{what}: {text}");
    assert!(text.contains("capture"), "{what}: {text}");
}

fn captured_stream_cannot_wait_for_uncaptured_work() {
    let space = Space::primary();
    let _current = enter(space.context);
    for mode in MODES {
        let raw = space.stream(1, 0);
        let (waiter, word) = (wrap(raw), space.words(1));
        let others = [
            ("a stream", wrap(space.stream(1, 0))),
            ("a blocking stream", wrap(space.stream(0, 0))),
            ("a stream of another context", wrap(Space::second().stream(1, 0))),
            ("the default stream", Cuda::default_stream(device()).unwrap()),
        ];
        let mine = Cuda::per_thread_stream(device()).unwrap();
        // SAFETY: the tests' streams are never destroyed.
        let unchecked = unsafe {
            Cuda::stream_from_raw_unchecked(wrap(space.stream(1, 0)).raw(), device()).unwrap()
        };
        let before = waiter.record_event().unwrap();
        let elsewhere: Vec<_> =
            others.iter().map(|(_, other)| other.record_event().unwrap()).collect();
        others.iter().for_each(|(_, other)| other.synchronize().unwrap());
        let unrecorded = Cuda::new_event(device(), EventOptions::new()).unwrap();
        let capture = Capture::begin(raw, mode);
        space.slow_store(raw, word, 3, 1);
        for (name, other) in &others {
            let text = expect_kind(name, waiter.wait_stream(other), ErrorKind::Capturing);
            capture.alive(name);
            let both = [waiter.raw().to_bits(), other.raw().to_bits()];
            assert!(both.iter().all(|bits| text.contains(&format!("{bits:#x}"))), "{name}: {text}");
            expect_rejected(name, &capture, &waiter, other.fork([&waiter]));
            expect_rejected(name, &capture, &waiter, waiter.join([other]));
        }
        expect_rejected("unchecked", &capture, &waiter, waiter.wait_stream(&unchecked));
        expect_rejected("the thread's stream", &capture, &waiter, waiter.wait_stream(&mine));
        expect_rejected("the thread's stream", &capture, &waiter, waiter.join([&mine]));
        expect_rejected("the thread's stream", &capture, &waiter, mine.fork([&waiter]));
        expect_rejected("from before", &capture, &waiter, waiter.wait_event(&before));
        for event in &elsewhere {
            expect_rejected("an event", &capture, &waiter, waiter.wait_event(event));
        }
        // There is nothing to wait for, inside a capture as outside.
        waiter.wait_event(&unrecorded).expect("an event that was never recorded");
        waiter.wait_stream(&waiter.clone()).expect("itself");
        capture.alive("waits for nothing");
        assert_eq!(others[0].1.capture_status().unwrap(), CaptureStatus::None);
        let graph = capture.graph();
        waiter.wait_event(&before).expect("after the capture");
        graph.launch(raw);
        space.synchronize(raw);
        assert_eq!(space.read(word, 1), [3]);
    }
}

fn captured_stream_cannot_wait_for_another_capture() {
    let space = Space::primary();
    let _current = enter(space.context);
    for mode in MODES {
        let raw = [space.stream(1, 0), space.stream(1, 0)];
        let [one, other] = raw.map(wrap);
        let captures = raw.map(|raw| Capture::begin(raw, mode));
        let event = other.record_event().unwrap();
        let all = [
            ("wait_stream", one.wait_stream(&other)),
            ("fork", other.fork([&one])),
            ("join", one.join([&other])),
            ("wait_event", one.wait_event(&event)),
        ];
        for (name, result) in all {
            let text = expect_kind(name, result, ErrorKind::Capturing);
            assert!(text.contains("another capture"), "{name}: {text}");
            captures.iter().for_each(|capture| capture.alive(name));
        }
        // Both captures end before a graph is instantiated, which would invalidate a capture in the global
        // mode.
        let ends = captures.map(|capture| capture.end().map(drop));
        assert_eq!(ends, [Ok(()), Ok(())], "mode {mode}");
        expect_kind("of a capture that is over", one.wait_event(&event), ErrorKind::InvalidEvent);
    }
}

/// The default stream cannot become part of a capture. The driver answers 906 to such a wait, and breaks the
/// capture.
fn default_stream_cannot_wait_for_a_capture() {
    let space = Space::primary();
    let _current = enter(space.context);
    let default = Cuda::default_stream(device()).unwrap();
    // Flags 0: a stream that synchronizes with the default stream.
    for (mode, flags) in MODES.into_iter().flat_map(|mode| [(mode, 1), (mode, 0)]) {
        let raw = space.stream(flags, 0);
        let (captured, free) = (wrap(raw), wrap(space.stream(1, 0)));
        let capture = Capture::begin(raw, mode);
        let event = captured.record_event().unwrap();
        let all = [
            ("wait_stream", default.wait_stream(&captured)),
            ("fork", captured.fork([&free, &default])),
            ("join", default.join([&captured])),
            ("wait_event", default.wait_event(&event)),
        ];
        for (name, result) in all {
            let text = expect_kind(name, result, ErrorKind::Capturing);
            assert!(
                flags == 0 || text.contains("the default stream (stream 0x1)"),
                "{name}: {text}"
            );
            let source = format!("stream {:#x} belongs to one", captured.raw().to_bits());
            assert!(flags == 0 || name == "wait_event" || text.contains(&source), "{name}: {text}");
            capture.alive(name);
        }
        // `fork` has drawn the other branch in.
        captured.wait_stream(&free).unwrap();
        capture.end().map(drop).unwrap();
        default.wait_stream(&captured).unwrap();
        default.synchronize().unwrap();
    }
}

/// An uncaptured stream that waits for a captured one is drawn into the capture, by every call. Another
/// library's streams may be dropped while the capture continues.
fn uncaptured_stream_joins_a_capture_by_waiting() {
    let space = Space::primary();
    let _current = enter(space.context);
    for mode in MODES {
        let raw = space.stream(1, 0);
        let (caller, words) = (wrap(raw), space.words(3));
        let capture = Capture::begin(raw, mode);
        space.slow_store(raw, words, 5, 1);
        {
            let [left, right, nested] =
                [(); 3].map(|()| caller.new_stream(Default::default()).unwrap());
            capture.alive("new_stream");
            caller.fork([&left, &right]).unwrap();
            nested.wait_event(&left.record_event().unwrap()).unwrap();
            for stream in [&left, &right, &nested] {
                assert_eq!(stream.capture_status().unwrap(), CaptureStatus::Active);
            }
            space.copy(nested.raw().as_ptr(), words + 4, words);
            space.copy(right.raw().as_ptr(), words + 8, words);
            left.wait_stream(&nested).unwrap();
            caller.join([&left, &right]).unwrap();
            capture.alive("a join");
        }
        capture.alive("dropping streams");
        let graph = capture.graph();
        assert_eq!(space.read(words, 3), [0, 0, 0], "captured work ran");
        graph.launch(raw);
        space.synchronize(raw);
        assert_eq!(space.read(words, 3), [5, 5, 5], "mode {mode}");
    }
}

/// The first branch draws the waiter into its capture, and then the second branch is rejected.
fn join_of_captured_and_uncaptured_branches() {
    let space = Space::primary();
    let _current = enter(space.context);
    let raw = [space.stream(1, 0), space.stream(1, 0), space.stream(1, 0)];
    let [captured, plain, waiter] = raw.map(wrap);
    let capture = Capture::begin(raw[0], 2);
    expect_rejected("join", &capture, &waiter, waiter.join([&captured, &plain]));
    assert_eq!(status_of(raw[2]), Ok(1));
    captured.wait_stream(&waiter).expect("back");
    drop(capture.graph());
}

fn foreign_event(context: Ptr, flags: u32) -> Ptr {
    let _current = enter(context);
    let mut event = std::ptr::null_mut();
    // SAFETY: the out-pointer is valid.
    ok("event_create", unsafe { (bare().event_create)(&mut event, flags) });
    event
}

/// A record of another library is asked of the driver, in a way that leaves the capture intact.
fn foreign_events_in_a_capture() {
    let space = Space::primary();
    let _current = enter(space.context);
    for (mode, flags) in MODES.into_iter().flat_map(|mode| [(mode, 0), (mode, 2)]) {
        let (raw, raw_other) = (space.stream(1, 0), space.stream(1, 0));
        let (waiter, other) = (wrap(raw), wrap(raw_other));
        let [inside, outside] = [(); 2].map(|()| foreign_event(space.context, flags));
        // SAFETY: both handles are alive. The tests' events are never destroyed.
        ok("event_record", unsafe { (bare().event_record)(outside, raw_other) });
        // SAFETY: the events are never destroyed.
        let wrapped = |event| unsafe { Cuda::event_from_raw(RawEvent::from_ptr(event), None) };
        let (theirs, uncaptured) = (wrapped(inside).unwrap(), wrapped(outside).unwrap());
        let escaped = Cuda::new_event(device(), EventOptions::new()).unwrap();
        other.record(&escaped).unwrap();
        let given = escaped.raw().as_ptr();
        let capture = Capture::begin(raw, mode);
        expect_rejected("a foreign event", &capture, &waiter, waiter.wait_event(&uncaptured));
        expect_rejected("an escaped event", &capture, &waiter, waiter.wait_event(&escaped));
        for event in [inside, given] {
            // SAFETY: the event and the stream are alive.
            ok("event_record", unsafe { (bare().event_record)(event, raw) });
        }
        for event in [&theirs, &escaped] {
            expect_kind("status", event.status(), ErrorKind::Capturing);
            expect_kind("query", event.query(), ErrorKind::Capturing);
            expect_kind("synchronize", event.synchronize(), ErrorKind::Capturing);
            waiter.wait_event(event).expect("an event of the capture");
            capture.alive("questions");
        }
        expect_kind("elapsed_since", theirs.elapsed_since(&theirs), ErrorKind::Capturing);
        capture.alive("elapsed_since");
        other.wait_event(&theirs).expect("is taken in");
        assert_eq!(other.capture_status().unwrap(), CaptureStatus::Active);
        waiter.wait_stream(&other).expect("back");
        drop(capture.graph());
        for event in [&theirs, &escaped] {
            expect_kind("status", event.status(), ErrorKind::InvalidEvent);
            expect_kind("wait", other.wait_event(event), ErrorKind::InvalidEvent);
        }
    }
}

fn host_function_in_a_capture_is_rejected() {
    let space = Space::primary();
    let _current = enter(space.context);
    let raw = space.stream(1, 0);
    let stream = wrap(raw);
    let capture = Capture::begin(raw, 0);
    let result = stream.launch_host_func(Box::new(|| ()));
    let text = expect_kind("host function", result, ErrorKind::Capturing);
    assert!(text.contains("launched many times") && !text.contains("would end"), "{text}");
    drop(capture.graph());
}

fn wait_for_the_own_record_makes_no_call() {
    if !is_simulated() {
        return;
    }
    let space = Space::primary();
    let controls = OnCuda::controls();
    let waits = |call: &dyn Fn()| {
        controls.watch(Threads::This);
        call();
        let seen = controls.seen();
        controls.clear();
        seen.iter().filter(|call| *call == "cuStreamWaitEvent").count()
    };
    let raw = space.stream(1, 0);
    let (foreign, again, other) = (wrap(raw), wrap(raw), wrap(space.stream(1, 0)));
    let ours = Cuda::new_stream(device(), Default::default()).unwrap();
    let clone = ours.clone();
    for (by, waiter) in [(&foreign, &again), (&ours, &ours), (&ours, &clone), (&clone, &ours)] {
        let event = by.record_event().unwrap();
        assert_eq!(waits(&|| waiter.wait_event(&event).unwrap()), 0);
        assert_eq!(waits(&|| other.wait_event(&event).unwrap()), 1);
        other.record(&event).unwrap();
        assert_eq!(waits(&|| waiter.wait_event(&event).unwrap()), 1, "another's record");
        by.record(&event).unwrap();
        assert_eq!(waits(&|| waiter.wait_event(&event).unwrap()), 0);
        // From here on another library may record the event.
        event.raw();
        assert_eq!(waits(&|| waiter.wait_event(&event).unwrap()), 1);
    }
    let capture = Capture::begin(raw, 2);
    let event = foreign.record_event().unwrap();
    assert_eq!(waits(&|| foreign.wait_event(&event).unwrap()), 0);
    drop(capture.graph());
    let default = Cuda::default_stream(device()).unwrap();
    let event = default.record_event().unwrap();
    assert_eq!(waits(&|| default.wait_event(&event).unwrap()), 0);
    // A thread's own stream is another stream on that thread.
    let mine = Cuda::per_thread_stream(device()).unwrap();
    let event = mine.record_event().unwrap();
    assert_eq!(waits(&|| mine.wait_event(&event).unwrap()), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mine = Cuda::per_thread_stream(device()).unwrap();
            assert_eq!(waits(&|| mine.wait_event(&event).unwrap()), 1);
        });
    });
}

/// Only the driver knows the order of two threads' records, so no wait is omitted.
fn record_by_two_threads_is_waited_for() {
    let space = Space::primary();
    let (raw, raw_other) = (space.stream(1, 0), space.stream(1, 0));
    let (stream, other) = (wrap(raw), wrap(raw_other));
    let event = Cuda::new_event(device(), EventOptions::new()).unwrap();
    stream.record(&event).unwrap();
    let gate = space.gate(raw_other);
    std::thread::scope(|scope| scope.spawn(|| other.record(&event).unwrap()).join().unwrap());
    stream.wait_event(&event).unwrap();
    assert!(!stream.query().unwrap(), "the wait was left out");
    gate.open();
    stream.synchronize().unwrap();
}

/// The newer functions, on a stream under capture and beside one.
fn flags_and_times_during_a_capture() {
    let space = Space::primary();
    let _current = enter(space.context);
    for mode in MODES {
        let (raw, raw_blocking) = (space.stream(1, 0), space.stream(0, 0));
        let (stream, blocking) = (wrap(raw), wrap(raw_blocking));
        let other = wrap(space.stream(1, 0));
        let capture = Capture::begin(raw, mode);
        expect_kind("is_blocking", stream.is_blocking(), ErrorKind::Capturing);
        assert!(blocking.is_blocking().unwrap() && !other.is_blocking().unwrap());
        drop(stream.new_event(EventOptions::timed()).unwrap());
        capture.alive("new_event");
        drop(capture.graph());
        let capture = Capture::begin(raw_blocking, mode);
        assert!(Cuda::default_stream(device()).unwrap().is_blocking().unwrap());
        capture.alive("is_blocking of the default stream");
        drop(capture.graph());
    }
}
