//! The pipeline's work runs after the caller's earlier work, and before its later work. Gates hold
//! streams back, and the log and the data would be wrong if something did not wait.
//!
//! Every test runs on the host's own stream type and on the type that is chosen at run time. With the feature `checked`, it
//! also runs on the host with a check, which must find nothing: a lane without a join is a finding.

use std::sync::{Arc, Mutex};

use gpu_stream::host::{Gate, wait_quiescent};
use gpu_stream::prelude::*;
use gpu_stream::{Any, AnyStream, Host, HostFunc, HostStream};
use gpu_stream_portable_library::{Numbers, Pipeline, Stage, prefix_sum};

/// A backend that runs on the host, with conversions from and to host streams.
trait OnHost: Backend {
    fn wrap(stream: &HostStream) -> Self::Stream;
    fn host(stream: &Self::Stream) -> HostStream;
}

impl OnHost for Host {
    fn wrap(stream: &HostStream) -> HostStream {
        stream.clone()
    }

    fn host(stream: &HostStream) -> HostStream {
        stream.clone()
    }
}

impl OnHost for Any {
    fn wrap(stream: &HostStream) -> AnyStream {
        AnyStream::new(stream.clone())
    }

    fn host(stream: &AnyStream) -> HostStream {
        stream.downcast_ref::<HostStream>().expect("a stream of the host").clone()
    }
}

#[cfg(feature = "checked")]
impl OnHost for gpu_stream::Checked<Host> {
    fn wrap(stream: &HostStream) -> Self::Stream {
        Self::wrap(stream.clone())
    }

    fn host(stream: &Self::Stream) -> HostStream {
        // Not `inner`, which counts as work that may follow.
        let raw = gpu_stream::RawStream::from_bits(stream.raw_to_compare().to_bits());
        // SAFETY: `stream` is a stream of the host with this handle and device, and outlives the wrapper in each test.
        unsafe { Host::stream_from_raw_unchecked(raw, stream.device()) }.unwrap()
    }
}

fn device() -> Device {
    Host::device(0).unwrap()
}

/// Returns the caller's stream, as the host's type and as the type under test.
fn caller<B: OnHost>() -> (HostStream, B::Stream) {
    let stream = Host::new_stream(device(), StreamOptions::new()).unwrap();
    let wrapped = B::wrap(&stream);
    (stream, wrapped)
}

fn hold(stream: &HostStream) -> Gate {
    let gate = Gate::new(device()).unwrap();
    stream.wait_event(gate.event()).unwrap();
    gate
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn write(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn work(&self, line: &'static str) -> HostFunc {
        let log = self.clone();
        Box::new(move || log.write(line))
    }

    fn stage(&self, name: &'static str) -> Stage {
        let log = self.clone();
        Arc::new(move |lane| log.write(format!("{name}{lane}")))
    }
}

/// Waits until all work that is not held back has run.
fn settle_all<B: OnHost>(pipeline: &Pipeline<B>, caller: &HostStream) {
    let lanes: Vec<_> = pipeline.lanes().iter().map(B::host).collect();
    let streams: Vec<_> = lanes.iter().chain([caller]).collect();
    wait_quiescent(&streams).expect("no task calls this");
}

fn pipeline_runs_after_earlier_work_of_the_caller<B: OnHost>() {
    let (log, (host, caller)) = (Log::default(), caller::<B>());
    let pipeline = Pipeline::<B>::new(&caller, 3).unwrap();
    let gate = hold(&host);
    caller.launch_host_func(log.work("caller")).unwrap();
    pipeline.run(&caller, &[log.stage("stage")]).unwrap(); // returns although the gate is closed
    settle_all(&pipeline, &host);
    assert!(log.lines().is_empty(), "{:?}", log.lines());
    gate.open();
    caller.synchronize().unwrap();
    assert_eq!(log.lines().len(), 4);
    assert_eq!(log.lines()[0], "caller");
}

fn pipeline_runs_before_later_work_of_the_caller<B: OnHost>() {
    for held in 0..3 {
        let (log, (host, caller)) = (Log::default(), caller::<B>());
        let pipeline = Pipeline::<B>::new(&caller, 3).unwrap();
        let gate = hold(&B::host(&pipeline.lanes()[held]));
        pipeline.run(&caller, &[log.stage("stage")]).unwrap();
        caller.launch_host_func(log.work("caller")).unwrap();
        settle_all(&pipeline, &host);
        let lines = log.lines();
        assert_eq!(
            lines.len(),
            2,
            "the two lanes that are not held, and not the caller: {lines:?}"
        );
        assert!(lines.iter().all(|line| line.starts_with("stage")), "{lines:?}");
        assert!(!caller.query().unwrap());
        gate.open();
        caller.synchronize().unwrap();
        assert_eq!(log.lines().last().unwrap(), "caller");
        assert_eq!(log.lines().len(), 4);
    }
}

fn stage_waits_for_all_lanes_of_the_previous_stage<B: OnHost>() {
    for held in 0..3 {
        let (log, (host, caller)) = (Log::default(), caller::<B>());
        let pipeline = Pipeline::<B>::new(&caller, 3).unwrap();
        let gate = hold(&B::host(&pipeline.lanes()[held]));
        pipeline.run(&caller, &[log.stage("a"), log.stage("b")]).unwrap();
        settle_all(&pipeline, &host);
        let lines = log.lines();
        assert_eq!(lines.len(), 2, "no lane is in stage b while lane {held} is held: {lines:?}");
        gate.open();
        caller.synchronize().unwrap();
        let stages: String = log.lines().iter().map(|line| &line[..1]).collect();
        assert_eq!(stages, "aaabbb");
    }
}

fn two_runs_on_one_pipeline_keep_both_callers_in_order<B: OnHost>() {
    let (log, (host, first), (_, second)) = (Log::default(), caller::<B>(), caller::<B>());
    let pipeline = Pipeline::<B>::new(&first, 2).unwrap();
    let gate = hold(&host);
    pipeline.run(&first, &[log.stage("first")]).unwrap();
    pipeline.run(&second, &[log.stage("second")]).unwrap();
    second.launch_host_func(log.work("end")).unwrap();
    settle_all(&pipeline, &B::host(&second));
    assert!(log.lines().is_empty(), "the lanes are in order: {:?}", log.lines());
    gate.open();
    second.synchronize().unwrap();
    assert_eq!(log.lines().len(), 5);
    assert_eq!(log.lines()[4], "end");
}

fn failed_stage_is_reported<B: OnHost>() {
    let (log, (_, caller)) = (Log::default(), caller::<B>());
    let pipeline = Pipeline::<B>::new(&caller, 2).unwrap();
    let fails: Stage = Arc::new(|lane| assert_ne!(lane, 1, "this stage fails on purpose"));
    // Either the join returns the fault, if the lane has failed by then, or the caller's stream
    // returns it when it reaches the wait.
    let submitted = pipeline.run(&caller, &[fails]);
    let later = caller.launch_host_func(log.work("after a fault"));
    let done = caller.synchronize();
    let kinds = [submitted, later, done].map(|result| result.err().map(|error| error.kind()));
    assert!(kinds.contains(&Some(ErrorKind::StreamFault)), "{kinds:?}");
}

fn prefix_sum_computes_all_sums<B: OnHost>() {
    let values: Vec<u64> = (0..1009).map(|n| n * n % 257).collect();
    let mut sum = 0;
    let add = |value: &u64| {
        sum += value + 1;
        sum * 2
    };
    let wanted: Vec<u64> = values.iter().map(add).collect();
    let pipeline = Pipeline::<B>::new(&caller::<B>().1, 3).unwrap();
    for parts in [1, 2, 7, 2000] {
        let (host, caller) = caller::<B>();
        let numbers = Numbers::new(&values, parts);
        assert_eq!(numbers.parts(), parts);
        let gate = hold(&host);
        let (before, after) = (numbers.clone(), numbers.clone());
        caller.launch_host_func(Box::new(move || before.change(|value| value + 1))).unwrap();
        prefix_sum(&pipeline, &caller, &numbers).unwrap();
        caller.launch_host_func(Box::new(move || after.change(|value| value * 2))).unwrap();
        assert_eq!(numbers.to_vec(), values, "nothing has happened yet");
        gate.open();
        caller.synchronize().unwrap();
        assert_eq!(numbers.to_vec(), wanted, "{parts} parts");
    }
}

fn pipeline_without_lanes_does_nothing<B: OnHost>() {
    let (log, (_, caller)) = (Log::default(), caller::<B>());
    let pipeline = Pipeline::<B>::new(&caller, 0).unwrap();
    pipeline.run(&caller, &[log.stage("a"), log.stage("b")]).unwrap();
    caller.synchronize().unwrap();
    assert!(log.lines().is_empty());
}

macro_rules! on_all {
    ($($test:ident)*) => {
        mod host {
            $(#[test] fn $test() { super::$test::<gpu_stream::Host>(); })*
        }

        mod any {
            $(#[test] fn $test() { super::$test::<gpu_stream::Any>(); })*
        }

        #[cfg(feature = "checked")]
        mod checked {
            type B = gpu_stream::Checked<gpu_stream::Host>;

            $(
                #[test]
                fn $test() {
                    let ((), report) = B::scope(|scope| {
                        // One test submits work behind a fault on purpose.
                        scope.allow(gpu_stream::checked::FindingKind::BehindFault);
                        super::$test::<B>();
                    });
                    report.assert_empty();
                }
            )*
        }
    };
}

on_all! {
    pipeline_runs_after_earlier_work_of_the_caller
    pipeline_runs_before_later_work_of_the_caller
    stage_waits_for_all_lanes_of_the_previous_stage
    two_runs_on_one_pipeline_keep_both_callers_in_order
    failed_stage_is_reported
    prefix_sum_computes_all_sums
    pipeline_without_lanes_does_nothing
}

#[test]
fn per_thread_stream_can_be_the_caller() {
    let numbers = Numbers::new(&[1, 2, 3, 4], 2);
    let typed = Host::per_thread_stream(device()).unwrap();
    let pipeline = Pipeline::new(&typed, 2).unwrap();
    prefix_sum(&pipeline, &typed, &numbers).unwrap();
    typed.synchronize().unwrap();
    assert_eq!(numbers.to_vec(), [1, 3, 6, 10]);
    let any = Any::per_thread_stream(device()).unwrap();
    let pipeline = Pipeline::new(&any, 2).unwrap();
    prefix_sum(&pipeline, &any, &numbers).unwrap();
    any.synchronize().unwrap();
    assert_eq!(numbers.to_vec(), [1, 4, 10, 20]);
}
