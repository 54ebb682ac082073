//! No stream waits for more than a bounded number of other tasks, whatever the priorities and
//! however many threads there are.

#![cfg(not(miri))]

mod child;

use std::sync::mpsc;
use std::time::Duration;

use gpu_stream_core::{Backend, Event, EventOptions, Stream, StreamOptions};
use gpu_stream_host::{Gate, Host, HostStream, abandon_at_exit, settle};

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

/// Two streams that resume each other stay on one thread. A third one has to come to it before the
/// two are done.
#[test]
fn streams_that_resume_each_other_let_others_run() {
    const WAITS: usize = 20_000;
    let settings = [("GPU_STREAM_HOST_THREADS", "1"), ("GPU_STREAM_HOST_HELP", "0")];
    let output = in_child("streams_that_resume_each_other_let_others_run", &settings, || {
        let (plug, one, two, third) = (stream(0), stream(0), stream(0), stream(0));
        let (open, opened) = mpsc::channel::<()>();
        plug.launch(move || opened.recv().expect("open")).expect("launch");
        one.launch(|| {}).expect("launch");
        for _ in 0..WAITS {
            two.wait_stream(&one).expect("wait");
            one.wait_stream(&two).expect("wait");
        }
        let (tell, told) = mpsc::channel();
        let last = one.clone();
        let look = move || tell.send(last.query().expect("query")).expect("tell");
        third.launch(look).expect("launch");
        open.send(()).expect("open");
        let came_last = told.recv().expect("it runs");
        println!("came last: {came_last}");
    });
    assert!(says(&output, "came last: false"), "{output:?}");
}

/// A thread that waits for an event runs the stream up to there, and not what others have submitted
/// behind.
#[test]
fn a_thread_that_helps_stops_where_its_wait_ends() {
    const STAMPS: usize = 20_000;
    let settings = [("GPU_STREAM_HOST_THREADS", "1"), ("GPU_STREAM_HOST_HELP", "1")];
    let output = in_child("a_thread_that_helps_stops_where_its_wait_ends", &settings, || {
        let (plug, busy) = (stream(0), stream(0));
        let (begin, begun) = mpsc::channel::<()>();
        let (open, opened) = mpsc::channel::<()>();
        let block = move || {
            begin.send(()).expect("begin");
            let _ = opened.recv();
        };
        plug.launch(block).expect("launch");
        begun.recv().expect("begun");
        busy.launch(|| {}).expect("launch");
        let here = busy.record_event().expect("event");
        let timed = Host::new_event(busy.device(), EventOptions::timed()).expect("event");
        for _ in 0..STAMPS {
            busy.record(&timed).expect("record");
        }
        here.synchronize().expect("synchronize");
        println!("all done: {}", busy.query().expect("query"));
        drop(open);
    });
    assert!(says(&output, "all done: false"), "{output:?}");
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
    settle(&[&faulted]).expect("settle");

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
    settle(&[&failing, &resumed]).expect("settle");
    gate.open();
    assert_eq!(answered.recv().expect("it is dropped"), Ok(()), "the resumed stream ran meanwhile");
}
