//! No stream waits for more than a bounded number of other tasks, whatever the priorities and
//! however many threads there are.

#![cfg(not(miri))]

mod child;

use std::sync::mpsc;
use std::time::Duration;

use gpu_stream_core::{Backend, Stream, StreamOptions};
use gpu_stream_host::{Gate, Host, HostStream, abandon_at_exit, wait_quiescent};

use child::{in_child, says};

fn stream(priority: i32) -> HostStream {
    let device = Host::device(0).expect("device");
    Host::new_stream(device, StreamOptions::new().priority(priority)).expect("stream")
}

/// Keeps the stream busy until the process ends.
fn keep_busy(stream: HostStream) {
    let again = stream.clone();
    let _ = stream.launch(move || keep_busy(again));
}

/// For each priority in turn: all other priorities are busy, and a task of that one has to run.
fn each_level_runs(test: &str, threads: &str, busy: usize) {
    let settings = [("GPU_STREAM_HOST_THREADS", threads), ("GPU_STREAM_HOST_HELP", "0")];
    let output = in_child(test, &settings, || {
        for level in -1..=1 {
            let others = (-1..=1).filter(|other| *other != level);
            others.for_each(|other| (0..busy).for_each(|_| keep_busy(stream(other))));
            let (tell, told) = mpsc::channel();
            stream(level).launch(move || tell.send(()).expect("tell")).expect("launch");
            told.recv().expect("it runs");
        }
        println!("all levels ran");
        abandon_at_exit();
    });
    assert!(says(&output, "all levels ran"), "{output:?}");
}

#[test]
fn every_level_runs_with_more_streams_than_threads() {
    each_level_runs("every_level_runs_with_more_streams_than_threads", "1", 8);
}

#[test]
fn every_level_runs_with_two_threads() {
    each_level_runs("every_level_runs_with_two_threads", "2", 3);
}

#[test]
fn every_level_runs_with_more_threads_than_streams() {
    each_level_runs("every_level_runs_with_more_threads_than_streams", "16", 1);
}

/// Streams that resume each other in a ring stay on one thread. Another one has to come to it before
/// they are done. More than a few are not run inside each other, but one after the other.
#[test]
fn a_long_ring_of_streams_lets_others_run() {
    const WAITS: usize = 40_000;
    const STREAMS: usize = 16;
    let settings = [("GPU_STREAM_HOST_THREADS", "1"), ("GPU_STREAM_HOST_HELP", "0")];
    let output = in_child("a_long_ring_of_streams_lets_others_run", &settings, || {
        let (plug, other) = (stream(0), stream(0));
        let ring: Vec<_> = (0..STREAMS).map(|_| stream(0)).collect();
        let (open, opened) = mpsc::channel::<()>();
        plug.launch(move || opened.recv().expect("open")).expect("launch");
        ring[0].launch(|| {}).expect("launch");
        for wait in 0..WAITS {
            let (before, after) = (&ring[wait % STREAMS], &ring[(wait + 1) % STREAMS]);
            after.wait_stream(before).expect("wait");
        }
        let (tell, told) = mpsc::channel();
        let last = ring[WAITS % STREAMS].clone();
        let look = move || tell.send(last.query().expect("query")).expect("tell");
        other.launch(look).expect("launch");
        open.send(()).expect("open");
        println!("came last: {}", told.recv().expect("it runs"));
    });
    assert!(says(&output, "came last: false"), "{output:?}");
}

/// Calls `f` when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A stream that a run has resumed does not wait for the destructors behind the run's fault.
#[test]
fn a_resumed_stream_does_not_wait_for_destructors_behind_a_fault() {
    let (failing, faulted, resumed) = (stream(0), stream(0), stream(0));
    faulted.launch(|| panic!("meant to")).expect("launch");
    let fault = faulted.record_event().expect("event");
    wait_quiescent(&[&faulted]).expect("settle");

    let gate = Gate::new(failing.device()).expect("gate");
    failing.wait_event(gate.event()).expect("wait");
    resumed.wait_stream(&failing).expect("wait");
    let (tell, told) = mpsc::channel();
    resumed.launch(move || tell.send(()).expect("tell")).expect("launch");
    failing.wait_event(&fault).expect("wait");
    let (answer, answered) = mpsc::channel();
    let waits = OnDrop(move || {
        let _ = answer.send(told.recv_timeout(Duration::from_secs(60)));
    });
    failing.launch(move || drop(waits)).expect("launch");
    wait_quiescent(&[&failing, &resumed]).expect("settle");
    gate.open();
    assert_eq!(answered.recv().expect("it is dropped"), Ok(()), "the resumed stream ran meanwhile");
}
