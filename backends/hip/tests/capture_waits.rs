//! Waits inside captures. An order that a graph cannot express is rejected before the runtime is called.
//! Every shape of forks and joins leaves the capture active, and the capture ends successfully.

mod support;

use std::process::ExitCode;
use std::sync::Arc;

use gpu_stream_core::{Backend, CaptureStatus, ErrorKind, Event, EventOptions, RawEvent, Stream};
use gpu_stream_hip::{Hip, HipError, HipStream};
use gpu_stream_test_support::cases;
use support::bare::{self, gate, new_stream, record, synchronize, version, words};
use support::capture::Capture;
use support::{device, expect_kind, own_event, own_stream, skip, wrap};

fn main() -> ExitCode {
    support::main(&cases![
        captured_stream_cannot_wait_for_uncaptured_work,
        captured_stream_cannot_wait_for_another_capture,
        captured_stream_cannot_wait_for_an_ended_capture,
        waits_for_own_records_add_no_edge,
        runtime_itself_loses_the_order_of_a_captured_waiter,
        stream_that_can_be_captured_by_now_is_checked,
        join_checks_the_waiter_after_a_captured_branch,
        nested_forks_and_joins_keep_the_order,
        repeated_joins_and_mutual_waits_keep_the_order,
        events_recorded_by_another_library,
        host_function_in_a_capture_is_rejected_with_the_reason
    ])
}

const MODES: [i32; 3] = [0, 1, 2];

/// Ends the capture and drops its graph.
#[track_caller]
fn end(capture: Capture) {
    capture.end().map(drop).expect("the capture ends successfully");
}

/// Checks that `result` is `Capturing`, that its text names both handles, and that the capture is
/// active.
#[track_caller]
fn expect_rejected(
    capture: &Capture,
    what: &str,
    result: Result<(), HipError>,
    handles: [usize; 2],
) {
    let text = expect_kind(what, result, ErrorKind::Capturing);
    for handle in handles {
        assert!(text.contains(&format!("{handle:#x}")), "{what}: {text}");
    }
    capture.alive(what);
}

/// Waits by every function for work that is blocked by a gate and is not part of the graph.
fn captured_stream_cannot_wait_for_uncaptured_work() {
    for mode in MODES {
        let (raw, raw_side) = (new_stream(0, 1, 0), new_stream(0, 1, 0));
        let (stream, side) = (wrap(raw), wrap(raw_side));
        let default = Hip::default_stream(device()).expect("default_stream");
        let own = Hip::per_thread_stream(device()).expect("per_thread_stream");
        let gate = gate(raw_side);
        let (before, on_side) = (own_event(EventOptions::new()), own_event(EventOptions::new()));
        stream.record(&before).expect("a record before the capture");
        side.record(&on_side).expect("a record of the side stream");
        let capture = Capture::begin(raw, mode);
        let [waiter_bits, side_bits] = [stream.raw().to_bits(), side.raw().to_bits()];
        let (both, twice) = ([waiter_bits, side_bits], [waiter_bits; 2]);
        expect_rejected(&capture, "wait_stream", stream.wait_stream(&side), both);
        expect_rejected(&capture, "join", stream.join([&side]), both);
        expect_rejected(&capture, "fork", side.fork([&stream]), both);
        expect_rejected(&capture, "wait_event", stream.wait_event(&on_side), twice);
        expect_rejected(&capture, "an event from before", stream.wait_event(&before), twice);
        expect_rejected(&capture, "a thread's own", stream.wait_stream(&own), twice);
        let from_default = stream.wait_stream(&default);
        let default_bits = default.raw().to_bits();
        expect_rejected(&capture, "the default stream", from_default, [waiter_bits, default_bits]);
        // An unrecorded event has no work to wait for.
        stream.wait_event(&own_event(EventOptions::new())).expect("an event that was not recorded");
        capture.alive("an event that was not recorded");
        // Streams outside of the capture are unaffected.
        let free = own_stream();
        free.wait_stream(&side).expect("a wait outside");
        side.fork([&free, &stream]).expect_err("one of the two is captured");
        capture.alive("a fork to two");
        gate.open();
        end(capture);
        free.synchronize().expect("synchronize");
        stream.wait_stream(&side).expect("a wait after the capture");
        stream.synchronize().expect("synchronize after the capture");
    }
}

fn captured_stream_cannot_wait_for_another_capture() {
    let (a, b) = (new_stream(0, 1, 0), new_stream(0, 1, 0));
    let (one, other) = (wrap(a), wrap(b));
    let captures = [Capture::begin(a, 2), Capture::begin(b, 2)];
    let inside = other.record_event().expect("a record in the other capture");
    let handles = [one.raw().to_bits(), other.raw().to_bits()];
    let waits: [(&str, Result<(), HipError>); 3] = [
        ("wait_stream", one.wait_stream(&other)),
        ("join", one.join([&other])),
        ("fork", other.fork([&one])),
    ];
    for (what, wait) in waits {
        expect_rejected(&captures[0], what, wait, handles);
        captures[1].alive(what);
    }
    expect_rejected(&captures[0], "wait_event", one.wait_event(&inside), [handles[0]; 2]);
    captures.into_iter().for_each(end);
}

fn captured_stream_cannot_wait_for_an_ended_capture() {
    let (a, b) = (new_stream(0, 1, 0), new_stream(0, 1, 0));
    let (one, other) = (wrap(a), wrap(b));
    let earlier = Capture::begin(b, 2);
    let stale = other.record_event().expect("a record in the first capture");
    end(earlier);
    let capture = Capture::begin(a, 2);
    expect_kind("wait_event", one.wait_event(&stale), ErrorKind::InvalidEvent);
    capture.alive("an event of a capture that is over");
    end(capture);
}

/// HIP's end of a capture recurses without end if a stream waits for itself, which would end the
/// process.
fn waits_for_own_records_add_no_edge() {
    for mode in MODES {
        let raw = new_stream(0, 1, 0);
        let (caller, mine, word) = (wrap(raw), own_stream(), words(2));
        let capture = Capture::begin(raw, mode);
        mine.wait_stream(&caller).expect("a fork");
        for stream in [&mine, &caller] {
            let event = stream.record_event().expect("a record");
            let reused = own_event(EventOptions::new());
            stream.record(&reused).expect("a record of an event that is reused");
            stream.wait_event(&event).expect("a wait for its own record");
            stream.clone().wait_event(&reused).expect("a wait by a clone");
            stream.wait_stream(&stream.clone()).expect("a wait for itself");
            stream.join([stream]).expect("a join of itself");
            stream.fork([stream]).expect("a fork to itself");
            capture.alive("waits for itself");
        }
        word.set(1, 9);
        word.copy(mine.raw().as_ptr(), 0, 1);
        caller.wait_stream(&mine).expect("a join");
        let graph = capture.graph();
        graph.launch(raw);
        synchronize(raw);
        assert_eq!(word.get(0), 9, "the graph lost work");
    }
}

/// The reason why a waiting stream is checked: AMD's runtime accepts the wait, and the capture goes on without it.
fn runtime_itself_loses_the_order_of_a_captured_waiter() {
    if version() < 1_000_000 {
        skip("HIP's NVIDIA platform refuses such a wait");
    }
    for mode in MODES {
        let (raw, raw_side) = (new_stream(0, 1, 0), new_stream(0, 1, 0));
        let (event, words) = (bare::new_event(2), words(2));
        record(event, raw_side);
        let capture = Capture::begin(raw, mode);
        words.copy(raw, 1, 0);
        // SAFETY: the stream and the event are alive.
        let code = unsafe { (bare::bare().stream_wait_event)(raw, event, 0) };
        assert_eq!(code, 0, "the runtime refuses the wait: no check is needed before it");
        words.copy(raw, 1, 0);
        capture.alive("a wait for uncaptured work");
        end(capture);
    }
}

/// A stream of this crate is not checked before a wait as long as no capture can have it.
fn stream_that_can_be_captured_by_now_is_checked() {
    let raw_event = RawEvent::from_ptr(bare::new_event(2));
    // SAFETY: the event is never destroyed, nor is a stream that records it.
    let foreign = unsafe { Hip::event_from_raw(raw_event, None) }.expect("a foreign event");
    let theirs = raw_event.as_ptr();
    type Draw<'a> = &'a dyn Fn(&HipStream, &HipStream) -> Result<(), HipError>;
    let draws: [(&str, Draw); 5] = [
        ("wait_stream", &|side, caller| side.wait_stream(caller)),
        ("fork", &|side, caller| caller.fork([side])),
        ("join", &|side, caller| side.join([caller])),
        ("wait_event", &|side, caller| side.wait_event(&caller.record_event()?)),
        ("an event of another library", &|side, caller| {
            record(theirs, caller.raw().as_ptr());
            side.wait_event(&foreign)
        }),
    ];
    let expect_checked = |capture: &Capture, what: &str, side: &HipStream, free: &HipStream| {
        let event = free.record_event().expect("a record outside");
        let refused = |call: &str, result| {
            expect_kind(&format!("{call} after {what}"), result, ErrorKind::Capturing);
            capture.alive(what);
        };
        refused("query", side.query().map(drop));
        refused("wait_stream", side.wait_stream(free));
        refused("wait_event", side.wait_event(&event));
        refused("fork", free.fork([side]));
        refused("join", side.join([free]));
    };
    for (what, draw) in draws {
        let (raw, side, free) = (new_stream(0, 1, 0), own_stream(), own_stream());
        let caller = wrap(raw);
        side.wait_stream(&free).expect("a wait before the capture");
        let capture = Capture::begin(raw, 2);
        draw(&side, &caller).expect(what);
        expect_checked(&capture, what, &side, &free);
        caller.wait_stream(&side).expect("a join");
        end(capture);
    }
    let (side, free) = (own_stream(), own_stream());
    let clone = side.clone();
    let capture = Capture::begin(clone.raw().as_ptr(), 2);
    expect_checked(&capture, "a capture by the handle", &side, &free);
    end(capture);
}

/// A join checks its waiter once, and again after a branch that has made it part of a capture.
fn join_checks_the_waiter_after_a_captured_branch() {
    let [raw, raw_waiter] = [(); 2].map(|()| new_stream(0, 1, 0));
    let (caller, waiter, free) = (wrap(raw), wrap(raw_waiter), own_stream());
    let capture = Capture::begin(raw, 2);
    expect_kind("join", waiter.join([&free, &caller, &free]), ErrorKind::Capturing);
    capture.alive("a join");
    caller.wait_stream(&waiter).expect("a join by the caller");
    end(capture);
}

/// A chain of copies: each step copies a number to the next index, on the stream of that step.
struct Chain {
    words: support::bare::Words,
    next: usize,
}

impl Chain {
    fn step(&mut self, stream: &HipStream) {
        self.words.copy(stream.raw().as_ptr(), self.next + 1, self.next);
        self.next += 1;
    }
}

/// A library forks, nests, joins in turn and drops its streams inside a caller's capture. The data
/// passes from stream to stream, so a lost edge shows as a wrong number.
fn nested_forks_and_joins_keep_the_order() {
    for (mode, by_events) in MODES.into_iter().flat_map(|mode| [(mode, false), (mode, true)]) {
        let raw = new_stream(0, 1, 0);
        let caller = wrap(raw);
        let mut chain = Chain { words: words(16), next: 0 };
        let wait = |waiter: &HipStream, source: &HipStream| match by_events {
            true => waiter.wait_event(&source.record_event().expect("a record")).expect("a wait"),
            false => waiter.wait_stream(source).expect("a wait"),
        };
        let capture = Capture::begin(raw, mode);
        chain.step(&caller);
        {
            // Three levels deep, and back.
            let [a, b, c] = [own_stream(), own_stream(), own_stream()];
            wait(&a, &caller);
            chain.step(&a);
            wait(&b, &a);
            chain.step(&b);
            wait(&c, &b);
            chain.step(&c);
            wait(&b, &c);
            chain.step(&b);
            wait(&a, &b);
            chain.step(&a);
            // Once more around the ring, and to the caller from each.
            wait(&c, &a);
            chain.step(&c);
            [&a, &b, &c].into_iter().for_each(|branch| wait(&caller, branch));
            capture.alive("a nest of forks and joins");
        }
        capture.alive("dropping the streams");
        chain.step(&caller);
        let graph = capture.graph();
        for value in [5, 6] {
            chain.words.set(0, value);
            graph.launch(raw);
            synchronize(raw);
            assert_eq!(chain.words.get(chain.next), value, "mode {mode}, by events: {by_events}");
        }
    }
}

fn repeated_joins_and_mutual_waits_keep_the_order() {
    for mode in MODES {
        let raw = new_stream(0, 1, 0);
        let caller = wrap(raw);
        let (branches, words) = ([own_stream(), own_stream()], words(3));
        let capture = Capture::begin(raw, mode);
        caller.fork(&branches).expect("a fork");
        caller.fork(&branches).expect("the same fork again");
        words.copy(branches[0].raw().as_ptr(), 1, 0);
        let [one, other] = &branches;
        other.wait_stream(one).expect("one waits");
        one.wait_stream(other).expect("and the other");
        one.fork([other]).expect("by a fork");
        words.copy(other.raw().as_ptr(), 2, 1);
        one.join([other]).expect("by a join");
        caller.join(&branches).expect("a join");
        caller.join(&branches).expect("the same join again");
        capture.alive("forks and joins");
        let graph = capture.graph();
        words.set(0, 3);
        graph.launch(raw);
        synchronize(raw);
        assert_eq!(words.get(2), 3);
    }
}

/// Only the runtime knows the record of an event that another library can record.
fn events_recorded_by_another_library() {
    let (raw, raw_branch, raw_side) =
        (new_stream(0, 1, 0), new_stream(0, 1, 0), new_stream(0, 1, 0));
    let (caller, words) = (wrap(raw), words(3));
    let raw_event = RawEvent::from_ptr(bare::new_event(2));
    // SAFETY: the event is never destroyed, nor is a stream that records it.
    let foreign = unsafe { Hip::event_from_raw(raw_event, None) };
    let (foreign, own) = (foreign.expect("a foreign event"), own_event(EventOptions::new()));
    for event in [&foreign, &own] {
        let handle = event.raw().as_ptr();
        record(handle, raw_side);
        let capture = Capture::begin(raw, 2);
        let bits = [caller.raw().to_bits(), event.raw().to_bits()];
        expect_rejected(&capture, "recorded outside", caller.wait_event(event), bits);
        let branch = wrap(raw_branch);
        branch.wait_stream(&caller).expect("a fork");
        words.copy(raw_branch, 1, 0);
        record(handle, raw_branch);
        if version() < 50_700_000 {
            // HIP 5.2 never releases a stream that a capture drew in, and such a stream cannot be
            // queried.
            caller.wait_stream(&branch).expect("a join");
            end(capture);
            return;
        }
        caller.wait_event(event).expect("recorded in this capture");
        caller.wait_event(event).expect("and once more");
        branch.wait_event(event).expect("by the stream that recorded it");
        words.copy(raw, 2, 1);
        capture.alive("waits");
        let graph = capture.graph();
        words.set(0, 8);
        words.set(2, 0);
        graph.launch(raw);
        synchronize(raw);
        assert_eq!(words.get(2), 8, "the wait is not in the graph");
    }
}

fn host_function_in_a_capture_is_rejected_with_the_reason() {
    let raw = new_stream(0, 1, 0);
    let stream = wrap(raw);
    let (held, capture) = (Arc::new(()), Capture::begin(raw, 2));
    let inner = Arc::clone(&held);
    let launched = stream.launch_host_func(Box::new(move || drop(inner)));
    let text = expect_kind("host function", launched, ErrorKind::Capturing);
    assert!(text.contains("launched many times") && !text.contains("end the capture"), "{text}");
    assert_eq!(Arc::strong_count(&held), 1, "a call that fails has dropped the closure");
    assert_eq!(stream.capture_status().expect("status"), CaptureStatus::Active);
    capture.alive("a host function");
    end(capture);
}
