//! Tests of tasks and panics, beyond those of the conformance suite.

use std::panic::panic_any;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};

use gpu_stream_core::{Backend, Error, ErrorKind, Event, EventOptions, Stream, StreamOptions};
use gpu_stream_host::{Gate, Host, HostError, HostStream, raw, wait_quiescent};

fn stream() -> HostStream {
    Host::new_stream(Host::device(0).expect("device"), StreamOptions::new()).expect("stream")
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[test]
fn task_may_submit_to_its_own_stream() {
    let stream = stream();
    let (send, receive) = mpsc::channel();
    let again = stream.clone();
    stream
        .launch(move || {
            let inner = send.clone();
            again.launch(move || inner.send("second").expect("send")).expect("launch");
            send.send("first").expect("send");
        })
        .expect("launch");
    assert_eq!(receive.iter().collect::<Vec<_>>(), ["first", "second"]);
}

#[test]
fn task_may_not_block() {
    let stream = stream();
    let event = stream.record_event().expect("event");
    let (send, receive) = mpsc::channel();
    let inner = stream.clone();
    let other = self::stream();
    stream
        .launch(move || {
            let answers = [inner.synchronize(), other.synchronize(), event.synchronize()]
                .map(Result::unwrap_err);
            send.send(answers.map(|error: HostError| error.kind())).expect("send");
        })
        .expect("launch");
    assert_eq!(receive.recv().expect("answers"), [ErrorKind::NotPermitted; 3]);
    stream.synchronize().expect("the stream has no fault");
}

#[test]
fn captured_value_that_panics_on_drop_causes_a_fault() {
    let stream = stream();
    let bomb = Bomb;
    stream.launch(move || drop(bomb)).expect("launch");
    let error = stream.synchronize().expect_err("fault");
    assert_eq!(error.kind(), ErrorKind::StreamFault);
    assert!(error.to_string().contains("panicked: dropped"), "{error}");
}

#[test]
fn unrun_tasks_may_panic_on_drop() {
    let (stream, other) = (stream(), stream());
    let gate = Gate::new(stream.device()).expect("gate");
    stream.wait_event(gate.event()).expect("wait");
    stream.launch(|| panic!("the first")).expect("launch");
    let dropped = Arc::new(());
    for _ in 0..3 {
        let (bomb, counted) = (Bomb, Arc::clone(&dropped));
        stream
            .launch(move || {
                let _all = (&bomb, &counted);
                unreachable!("it is after a fault")
            })
            .expect("launch");
    }
    other.wait_stream(&stream).expect("wait");
    gate.open();
    let error = stream.synchronize().expect_err("fault");
    assert!(error.to_string().contains("the first"), "{error}");
    assert_eq!(
        Arc::strong_count(&dropped),
        1,
        "all closures were dropped before the fault was reported"
    );
    wait_quiescent(&[&other]).expect("quiescent");
    assert!(other.query().is_err(), "it waited for work that never happened");
}

#[test]
fn panic_with_a_payload_that_panics_on_drop_is_a_fault() {
    let stream = stream();
    stream.launch(|| panic_any(Bomb)).expect("launch");
    assert_eq!(stream.synchronize().expect_err("fault").kind(), ErrorKind::StreamFault);
    let next = self::stream();
    next.launch(|| {}).expect("launch");
    next.synchronize().expect("the threads live on");
}

#[test]
fn gate_opens_on_drop() {
    let stream = stream();
    let gate = Gate::new(stream.device()).expect("gate");
    stream.wait_event(gate.event()).expect("wait");
    let ran = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&ran);
    stream.launch(move || count.store(1, Ordering::Relaxed)).expect("launch");
    wait_quiescent(&[&stream]).expect("quiescent");
    assert_eq!(ran.load(Ordering::Relaxed), 0);
    drop(gate);
    stream.synchronize().expect("synchronize");
    assert_eq!(ran.load(Ordering::Relaxed), 1);
}

/// More streams wait than there are threads. The test hangs if a waiting stream holds a thread.
#[test]
fn waiting_streams_hold_no_thread() {
    let gates: Vec<_> =
        (0..100).map(|_| Gate::new(Host::device(0).expect("device")).expect("gate")).collect();
    let held: Vec<_> = gates
        .iter()
        .map(|gate| {
            let stream = stream();
            stream.wait_event(gate.event()).expect("wait");
            stream
        })
        .collect();
    let free = stream();
    free.launch(|| {}).expect("launch");
    free.synchronize().expect("a thread was free");
    assert!(held.iter().all(|stream| !stream.query().expect("query")));
    gates.iter().rev().for_each(Gate::open);
    for stream in &held {
        stream.synchronize().expect("synchronize");
    }
}

/// Calls `f` when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// The values that an unrun closure captured are dropped under the rules of a task. Blocking there,
/// on a stream that waits for that drop, would never end.
#[test]
fn unrun_closure_may_not_block_on_drop() {
    let stream = stream();
    let gate = Gate::new(stream.device()).expect("gate");
    stream.wait_event(gate.event()).expect("wait");
    stream.launch(|| panic!("the first")).expect("launch");
    let event = Host::new_event(stream.device(), EventOptions::new()).map(Arc::new).expect("event");
    let (send, receive) = mpsc::channel();
    let inner = Arc::clone(&event);
    let guard = OnDrop(move || send.send(inner.synchronize()).expect("send"));
    stream.launch(move || drop(guard)).expect("launch");
    stream.record(&event).expect("record");
    gate.open();
    let answer = receive.recv().expect("answer");
    assert_eq!(answer.expect_err("rejected").kind(), ErrorKind::NotPermitted);
    assert_eq!(stream.synchronize().expect_err("fault").kind(), ErrorKind::StreamFault);
}

#[test]
fn wait_quiescent_is_rejected_inside_a_task() {
    let stream = stream();
    let (send, receive) = mpsc::channel();
    let inner = stream.clone();
    stream.launch(move || send.send(wait_quiescent(&[&inner])).expect("send")).expect("launch");
    let answer = receive.recv().expect("answer");
    assert_eq!(answer.expect_err("rejected").kind(), ErrorKind::NotPermitted);
}

#[test]
fn raw_destroy_rejects_a_stream_with_an_owner() {
    let stream = stream();
    let error = raw::destroy(stream.raw()).expect_err("it is owned");
    assert_eq!(error.kind(), ErrorKind::InvalidHandle);
    stream.synchronize().expect("it is alive");
}

#[test]
fn fault_names_the_default_stream_by_its_device() {
    // The last device, so that no other test gets the fault.
    let device = *Host::devices().expect("devices").last().expect("one");
    let stream = Host::default_stream(device).expect("stream");
    stream.launch(|| panic!("boom")).expect("launch");
    let text = stream.synchronize().expect_err("fault").to_string();
    assert!(text.contains(&format!("the default stream of {device} panicked: boom")), "{text}");
}

/// Every error of a stream with a fault begins with the call that the program made.
#[test]
fn errors_name_the_call_of_the_program() {
    let (bad, good) = (stream(), stream());
    let event = good.record_event().expect("event");
    bad.launch(|| panic_any("meant to")).expect("launch");
    let after = bad.record_event().expect("event");
    bad.synchronize().expect_err("fault");
    let calls = [
        ("Stream::query", bad.query().map(drop)),
        ("Stream::record", bad.record(&event)),
        ("Stream::record_event", bad.record_event().map(drop)),
        ("Stream::wait_event", bad.wait_event(&event)),
        ("Stream::wait_stream", bad.wait_stream(&good)),
        ("Stream::wait_stream", good.wait_stream(&bad)),
        ("Stream::fork", bad.fork([&good])),
        ("Stream::fork", good.fork([&bad])),
        ("Stream::join", bad.join([&good])),
        ("Stream::join", good.join([&bad])),
        ("Stream::launch_host_func", bad.launch_host_func(Box::new(|| ()))),
        ("Event::status", after.status().map(drop)),
        ("Event::query", after.query().map(drop)),
        ("Event::synchronize", after.synchronize()),
    ];
    for (call, outcome) in calls {
        let text = outcome.expect_err("fault").to_string();
        assert!(text.starts_with(&format!("{call}: ")), "{call}: {text}");
    }
}

/// `PerThread` forwards `fork` and `join`: the defaults would name the calls that the defaults
/// make.
#[test]
fn errors_of_a_per_thread_stream_name_the_call_of_the_program() {
    // On a thread of its own, whose per-thread stream no other test uses.
    let program = || {
        let mine = Host::per_thread_stream(Host::device(0).expect("device")).expect("stream");
        mine.launch_host_func(Box::new(|| panic_any("meant to"))).expect("launch");
        mine.synchronize().expect_err("fault");
        let good = stream();
        for (call, outcome) in
            [("Stream::fork", mine.fork([&good])), ("Stream::join", mine.join([&good]))]
        {
            let text = outcome.expect_err("fault").to_string();
            assert!(text.starts_with(&format!("{call}: ")), "{call}: {text}");
        }
    };
    std::thread::spawn(program).join().expect("every error names its call");
}
