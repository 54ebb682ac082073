//! Tests that a stream waits for a bounded number of other tasks only, with any priorities and any
//! number of threads.

#![cfg(not(miri))]

mod child;

use std::sync::mpsc;
use std::time::Duration;

use gpu_stream_core::{Backend, Stream, StreamOptions};
use gpu_stream_host::{Gate, Host, HostStream, abandon_at_exit, wait_quiescent};

use child::{in_child, prints};

fn stream(priority: i32) -> HostStream {
    let device = Host::device(0).expect("device");
    Host::new_stream(device, StreamOptions::new().priority(priority)).expect("stream")
}

/// Keeps the stream busy until the process exits.
fn keep_busy(stream: HostStream) {
    let again = stream.clone();
    let _ = stream.launch(move || keep_busy(again));
}

/// Asserts, for each priority in turn, that a task runs while all other priorities are busy.
fn assert_each_level_runs(test: &str, threads: &str, busy: usize) {
    let settings = [("GPU_STREAM_HOST_THREADS", threads), ("GPU_STREAM_HOST_HELP", "0")];
    let output = in_child(test, &settings, || {
        for level in -1..=1 {
            let others = (-1..=1).filter(|other| *other != level);
            others.for_each(|other| (0..busy).for_each(|_| keep_busy(stream(other))));
            let (sender, receiver) = mpsc::channel();
            stream(level).launch(move || sender.send(()).expect("send")).expect("launch");
            receiver.recv().expect("the task runs");
        }
        println!("all levels ran");
        abandon_at_exit();
    });
    assert!(prints(&output, "all levels ran"), "{output:?}");
}

#[test]
fn every_level_runs_with_more_streams_than_threads() {
    assert_each_level_runs("every_level_runs_with_more_streams_than_threads", "1", 8);
}

#[test]
fn every_level_runs_with_two_threads() {
    assert_each_level_runs("every_level_runs_with_two_threads", "2", 3);
}

#[test]
fn every_level_runs_with_more_threads_than_streams() {
    assert_each_level_runs("every_level_runs_with_more_threads_than_streams", "16", 1);
}

/// Streams that resume each other in a ring stay on one thread. Another stream has to run before
/// they are done. The ring is longer than the maximum nesting.
#[test]
fn long_ring_of_streams_lets_other_streams_run() {
    const WAITS: usize = 40_000;
    const STREAMS: usize = 16;
    let settings = [("GPU_STREAM_HOST_THREADS", "1"), ("GPU_STREAM_HOST_HELP", "0")];
    let output = in_child("long_ring_of_streams_lets_other_streams_run", &settings, || {
        let (plug, other) = (stream(0), stream(0));
        let ring: Vec<_> = (0..STREAMS).map(|_| stream(0)).collect();
        let (open, opened) = mpsc::channel::<()>();
        plug.launch(move || opened.recv().expect("open")).expect("launch");
        ring[0].launch(|| {}).expect("launch");
        for wait in 0..WAITS {
            let (before, after) = (&ring[wait % STREAMS], &ring[(wait + 1) % STREAMS]);
            after.wait_stream(before).expect("wait");
        }
        let (sender, receiver) = mpsc::channel();
        let last = ring[WAITS % STREAMS].clone();
        let query = move || sender.send(last.query().expect("query")).expect("send");
        other.launch(query).expect("launch");
        open.send(()).expect("open");
        println!("came last: {}", receiver.recv().expect("the task runs"));
    });
    assert!(prints(&output, "came last: false"), "{output:?}");
}

/// Calls `f` when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A run resumes a stream and then fails. The resumed stream does not wait for the destructors of
/// the unrun closures.
#[test]
fn resumed_stream_does_not_wait_for_destructors_after_a_fault() {
    let (failing, faulted, resumed) = (stream(0), stream(0), stream(0));
    faulted.launch(|| panic!("intended")).expect("launch");
    let fault = faulted.record_event().expect("event");
    wait_quiescent(&[&faulted]).expect("quiescent");

    let gate = Gate::new(failing.device()).expect("gate");
    failing.wait_event(gate.event()).expect("wait");
    resumed.wait_stream(&failing).expect("wait");
    let (sender, receiver) = mpsc::channel();
    resumed.launch(move || sender.send(()).expect("send")).expect("launch");
    failing.wait_event(&fault).expect("wait");
    let (answer, answered) = mpsc::channel();
    let waits = OnDrop(move || {
        let _ = answer.send(receiver.recv_timeout(Duration::from_secs(60)));
    });
    failing.launch(move || drop(waits)).expect("launch");
    wait_quiescent(&[&failing, &resumed]).expect("quiescent");
    gate.open();
    assert_eq!(
        answered.recv().expect("the closure is dropped"),
        Ok(()),
        "the resumed stream ran meanwhile"
    );
}
