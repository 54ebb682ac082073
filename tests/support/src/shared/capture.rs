//! Captures survive all calls of the backend, and their graphs do what was captured.

use gpu_stream_core::{
    Backend, CaptureStatus, Error, ErrorKind, Event, EventOptions, EventStatus, RawStream, Stream,
};

use crate::vendor::{Capture, EventOf, MODES, StreamOf, Vendor, device, own_event, wrap};
use crate::{expect_kind, skip};

/// The size of a number.
const WORD: usize = 4;

/// Checks that calls on a captured stream, its events and a branch are rejected, or become part of the graph.
pub fn queries_leave_the_capture_active<V: Vendor>() {
    for mode in MODES {
        let _current = V::enter(0);
        let (raw, raw_branch) = (V::new_stream(0, 1, 0), V::new_stream(0, 1, 0));
        let (stream, branch) = (wrap::<V>(raw), wrap::<V>(raw_branch));
        let beside = wrap::<V>(V::new_stream(0, 1, 0));
        let words = V::words(2);
        let before = stream.record_event().expect("an event before the capture");
        before.synchronize().expect("synchronize before the capture");
        let reused = own_event::<V>(EventOptions::new());
        let capture = Capture::<V>::begin(raw, mode);
        V::store(raw, words, 7);
        capture.alive("a launch in the capture");
        capture.rejects("query", stream.query());
        capture.rejects("synchronize", stream.synchronize());
        capture.rejects("host function", stream.launch_host_func(Box::new(|| ())));
        assert_eq!(stream.capture_status().expect("capture_status"), CaptureStatus::Active);
        stream.record(&reused).expect("a record in the capture");
        capture.alive("a record in the capture");
        let event = stream.record_event().expect("an event in the capture");
        capture.alive("record_event in the capture");
        for event in [&event, &reused] {
            let text = capture.rejects("event query", event.query());
            assert!(text.starts_with("Event::query"), "{text}");
            capture.rejects("event status", event.status());
            capture.rejects("event synchronize", event.synchronize());
        }
        check_earlier_event(&capture, &before, &beside);
        // Draws the branch into the capture, and joins it again.
        branch.wait_stream(&stream).expect("fork inside the capture");
        capture.alive("a fork inside the capture");
        V::copy(raw_branch, words + WORD, words);
        capture.rejects("query of the branch", branch.query());
        capture.rejects("synchronize of the branch", branch.synchronize());
        stream.wait_stream(&branch).expect("join inside the capture");
        capture.alive("a join inside the capture");
        drop(before);
        capture.alive("dropping an event from before");
        let graph = capture.graph();
        assert_eq!(V::read(words, 2), [0, 0], "captured work ran");
        for event in [&event, &reused] {
            expect_kind("event query", event.query(), ErrorKind::InvalidEvent);
            expect_kind("event synchronize", event.synchronize(), ErrorKind::InvalidEvent);
            expect_kind("wait for it", branch.wait_event(event), ErrorKind::InvalidEvent);
        }
        assert_eq!(stream.capture_status().expect("capture_status"), CaptureStatus::None);
        for _ in 0..3 {
            V::clear(words, 2);
            V::launch(&graph, raw);
            stream.synchronize().expect("synchronize after the capture");
            assert!(stream.query().expect("query after the capture"));
            assert_eq!(V::read(words, 2), [7, 7], "mode {mode}: result of the graph");
        }
    }
}

/// Checks that an event from before the capture is done, and can be waited for, unless the driver confuses it
/// with an event of the capture.
fn check_earlier_event<V: Vendor>(capture: &Capture<V>, before: &EventOf<V>, beside: &StreamOf<V>) {
    match before.query() {
        rejection @ Err(_) if V::confuses_earlier_events() => {
            capture.rejects("a query of an event from before", rejection);
        }
        answer => assert!(answer.expect("an event from before")),
    }
    capture.alive("a query of an event from before");
    match beside.wait_event(before) {
        rejection @ Err(_) if V::confuses_earlier_events() => {
            capture.rejects("a wait for an event from before", rejection);
        }
        answer => answer.and_then(|()| beside.synchronize()).expect("a wait beside it"),
    }
    capture.alive("a wait for an event from before");
}

/// Checks that a capture in any mode, on this thread or another, survives all calls on other streams. The
/// wrapping of its own stream and the first calls for another place and device are among them.
pub fn any_call_beside_a_capture_leaves_it_active<V: Vendor>() {
    for (index, mode) in MODES.into_iter().enumerate() {
        let (raw, elsewhere) = (V::new_stream(0, 1, 0), V::new_stream(V::places() - 1, 1, 0));
        let _current = V::enter(0);
        let word = V::words(1);
        let options = EventOptions::builder().interprocess(true).build().expect("options");
        let sent = V::Backend::new_event(device::<V>(), options);
        let other = wrap::<V>(V::new_stream(0, 1, 0));
        let event = own_event::<V>(EventOptions::new());
        let capture = Capture::<V>::begin(raw, mode);
        V::store(raw, word, 5);
        wrap::<V>(elsewhere);
        capture.alive("wrapping a stream of another place");
        let last = *V::Backend::devices().expect("devices").last().expect("a device");
        drop(V::Backend::new_event(last, EventOptions::new()).expect("an event"));
        capture.alive("the first call for a device");
        match sent.and_then(|sent| V::ipc_handle(&sent)) {
            Err(error) if error.kind() == ErrorKind::Unsupported && !V::has_interprocess() => {}
            handle => drop(handle.expect("ipc_handle")),
        }
        capture.alive("ipc_handle");
        // A record in the capture must not count as one outside.
        other.record(&event).expect("a record outside");
        event.synchronize().expect("synchronize");
        wrap::<V>(raw).record(&event).expect("a record in the capture");
        capture.rejects("event query", event.query());
        capture.rejects("event synchronize", event.synchronize());
        let handle = RawStream::from_ptr(raw);
        for _ in 0..2 {
            V::beside_a_capture(handle, &|step| capture.alive(step));
            std::thread::scope(|scope| {
                let check = |step: &str| {
                    let status = V::capture_status(handle.as_ptr());
                    assert_eq!(status, Ok(1), "mode {index}, on another thread, after: {step}");
                };
                let other = scope.spawn(move || {
                    let _current = V::enter(0);
                    V::beside_a_capture(handle, &check);
                });
                other.join().expect("another thread");
            });
        }
        let graph = capture.graph();
        expect_kind("event query", event.query(), ErrorKind::InvalidEvent);
        V::launch(&graph, raw);
        V::synchronize(raw);
        assert_eq!(V::read(word, 1), [5]);
    }
}

/// Checks that calls on the default stream are rejected beside the capture of a blocking stream. The two
/// streams synchronize with each other, so a query would break the capture.
pub fn default_stream_beside_a_capture_is_rejected<V: Vendor>() {
    let default = V::Backend::default_stream(device::<V>()).expect("default_stream");
    let event = own_event::<V>(EventOptions::new());
    for mode in MODES {
        let raw = V::new_stream(0, 0, 0);
        let _current = V::enter(0);
        let word = V::words(1);
        let capture = Capture::<V>::begin(raw, mode);
        V::store(raw, word, 6);
        if !V::default_stream_sees_captures() {
            default.query().expect("query");
            default.synchronize().expect("synchronize");
            capture.alive("questions");
            continue;
        }
        capture.rejects("query", default.query());
        capture.rejects("synchronize", default.synchronize());
        capture.rejects("record", default.record(&event));
        capture.rejects("record_event", default.record_event());
        capture.rejects("wait_event", default.wait_event(&event));
        capture.rejects("host function", default.launch_host_func(Box::new(|| ())));
        if V::has_stream_ids() {
            capture.rejects("id", default.id());
        }
        capture.rejects("priority", default.priority());
        capture.rejects("capture_status", default.capture_status());
        V::Backend::default_stream(device::<V>()).expect("default_stream");
        capture.alive("default_stream");
        let graph = capture.graph();
        V::launch(&graph, raw);
        V::synchronize(raw);
        assert_eq!(V::read(word, 1), [6]);
        assert_eq!(event.status().unwrap(), EventStatus::Unrecorded);
        assert!(default.query().is_ok());
    }
}

/// Checks that an event of a capture that is over is usable again once it is recorded outside.
pub fn record_outside_makes_a_captured_event_valid<V: Vendor>() {
    let raw = V::new_stream(0, 1, 0);
    let _current = V::enter(0);
    let (stream, word) = (wrap::<V>(raw), V::words(1));
    let event = own_event::<V>(EventOptions::new());
    for _ in 0..3 {
        let capture = Capture::<V>::begin(raw, 1);
        V::store(raw, word, 1);
        stream.record(&event).expect("a record in the capture");
        capture.end().map(drop).expect("the end of the capture");
        expect_kind("event query", event.query(), ErrorKind::InvalidEvent);
        let gate = V::gate(raw);
        stream.record(&event).expect("a record outside");
        assert_eq!(event.status().unwrap(), EventStatus::Pending);
        drop(gate);
        event.synchronize().expect("event synchronize");
        assert_eq!(event.status().unwrap(), EventStatus::Complete);
    }
}

/// Checks that events that `wait_stream` recorded in a capture are not reused by a later wait.
pub fn events_of_a_capture_do_not_reach_the_pool<V: Vendor>() {
    let (raw, raw_branch) = (V::new_stream(0, 1, 0), V::new_stream(0, 1, 0));
    let (stream, branch) = (wrap::<V>(raw), wrap::<V>(raw_branch));
    let _current = V::enter(0);
    let words = V::words(2);
    for round in 1..=50 {
        let capture = Capture::<V>::begin(raw, 0);
        branch.wait_stream(&stream).expect("fork inside the capture");
        if !V::releases_drawn_streams() {
            stream.wait_stream(&branch).expect("join inside the capture");
            capture.end().map(drop).expect("the end of the capture");
            assert_eq!(V::capture_status(raw_branch), Ok(1));
            skip("this version never releases a stream that a capture drew in");
        }
        V::store(raw_branch, words, round);
        stream.wait_stream(&branch).expect("join inside the capture");
        drop(stream.record_event().expect("record_event inside the capture"));
        let graph = capture.graph();
        // The first launch may wait for running work, so it must come before the gate is shut.
        V::launch(&graph, raw);
        V::synchronize(raw);
        V::clear(words, 2);
        let gate = V::gate(raw);
        V::launch(&graph, raw);
        // Outside of the capture, these must be an ordinary record and an ordinary wait.
        let event = stream.record_event().expect("record_event");
        assert_eq!(event.status().unwrap(), EventStatus::Pending);
        branch.wait_event(&event).expect("wait_event");
        V::copy(raw_branch, words + WORD, words);
        drop(gate);
        branch.synchronize().expect("synchronize");
        assert_eq!(V::read(words + WORD, 1), [round]);
    }
}

/// Checks that waits hold whose scratch events are recorded alternately inside and outside of a capture. The
/// capture stays active, and the graph contains what was captured.
pub fn waits_alternate_inside_and_outside_of_a_capture<V: Vendor>() {
    if !V::releases_drawn_streams() {
        skip("this version never releases a stream that a capture drew in");
    }
    let raw = [(); 4].map(|()| V::new_stream(0, 1, 0));
    let [inside, branch, outside, waiter] = raw.map(wrap::<V>);
    let [raw_inside, raw_branch, raw_outside, raw_waiter] = raw;
    let _current = V::enter(0);
    let words = V::words(6);
    let [written, forked, joined, source, copied, last] =
        std::array::from_fn(|index| words + index * WORD);
    for (mode, round) in MODES.into_iter().flat_map(|mode| (1..=20).map(move |round| (mode, round)))
    {
        V::clear(words, 6);
        let gate = V::gate(raw_outside);
        let capture = Capture::<V>::begin(raw_inside, mode);
        V::store(raw_inside, written, round);
        // One event serves a join and is released; the next join acquires it.
        branch.join([&inside]).expect("fork inside the capture, by a join");
        capture.alive("a join inside the capture");
        assert_eq!(branch.capture_status().unwrap(), CaptureStatus::Active);
        V::copy(raw_branch, forked, written);
        V::store(raw_outside, source, round);
        waiter.join([&outside]).expect("a join outside, while the capture goes on");
        outside.fork([&waiter]).expect("a fork outside");
        waiter.wait_stream(&outside).expect("a wait outside");
        capture.alive("waits outside");
        assert_eq!(waiter.capture_status().unwrap(), CaptureStatus::None);
        V::copy(raw_waiter, copied, source);
        branch.fork([&inside]).expect("join inside the capture, by a fork");
        capture.alive("a fork inside the capture");
        V::copy(raw_inside, joined, forked);
        drop(gate);
        waiter.synchronize().expect("the waiter is in no capture");
        capture.alive("a wait for the waiter");
        let graph = capture.graph();
        assert_eq!(V::read(copied, 1), [round], "mode {mode}: the wait outside");
        assert_eq!(V::read(words, 3), [0, 0, 0], "captured work ran");
        V::launch(&graph, raw_inside);
        // After the capture, the order is an ordinary one.
        branch.wait_stream(&inside).expect("a wait after the capture");
        V::copy(raw_branch, last, joined);
        branch.synchronize().expect("synchronize");
        assert_eq!(V::read(words, 3), [round; 3], "mode {mode}: what the graph did");
        assert_eq!(V::read(last, 1), [round], "mode {mode}: the wait after it");
    }
}
