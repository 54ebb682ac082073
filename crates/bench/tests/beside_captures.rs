//! What calls do to a capture of another thread: ours leave it intact, and the other libraries' answers are printed.
//!
//! Without a driver, the tests run over the simulated one, which answers as a driver was measured to.

use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::thread;

use gpu_stream_bench::fixtures::CudaFixture;
use gpu_stream_bench::report::{BackendReport, BesideCapture};
use gpu_stream_bench::{
    Bare, Bench, BenchConfig, BenchFixture, BenchOf, ContenderKind, Job, Plan, captures,
};
use gpu_stream_core::{Backend, Stream, StreamOptions};
use gpu_stream_cuda::Cuda;

fn main() -> ExitCode {
    if cuda_sim::no_driver_here() {
        // SAFETY: no other thread is running: `main` has just started.
        unsafe { cuda_sim::install(1) }.expect("the simulated driver");
    }
    gpu_stream_test_support::run::<Cuda, _>([
        ("query_is_true_beside_a_capture", query_is_true_beside_a_capture as fn()),
        ("calls_leave_the_capture_intact", calls_leave_the_capture_intact),
        ("careful_calls_are_named", careful_calls_are_named),
    ])
}

/// Measures nothing but what `change` asks for.
fn report(change: impl FnOnce(&mut BenchConfig)) -> BackendReport {
    let mut config = BenchConfig {
        plan: Plan::QUICK,
        jobs: Vec::new(),
        threads: false,
        captures: false,
        only_pairs: false,
        growth: false,
        scripts: Vec::new(),
        python: "python3".into(),
    };
    change(&mut config);
    let fixture = CudaFixture::new().expect("the fixture");
    BenchOf(fixture).run(&config, &mut |_| {}).expect("a report")
}

fn query_is_true_beside_a_capture() {
    let fixture = CudaFixture::new().expect("the fixture");
    let bare = fixture.bare().expect("the driver");
    let captured = fixture.foreign().expect("a stream");
    let stream = Cuda::new_stream(fixture.device(), StreamOptions::new()).expect("a stream");
    stream.synchronize().expect("an idle stream");
    let (begun, has_begun) = channel();
    let (end, may_end) = channel::<()>();
    let ended = thread::scope(|scope| {
        let (fixture, captured) = (&fixture, &captured);
        let capturing = scope.spawn(move || {
            fixture.enter_thread().expect("the context");
            bare.begin_capture(captured).expect("a capture");
            begun.send(()).expect("the other thread");
            may_end.recv().expect_err("the sender is dropped");
            bare.end_capture(captured)
        });
        has_begun.recv().expect("a capture");
        assert!(stream.query().expect("a query"), "the stream is idle");
        drop(end);
        capturing.join().expect("the capturing thread")
    });
    assert_eq!(ended, Ok(()));
}

fn calls_leave_the_capture_intact() {
    let report = report(|config| config.captures = true);
    assert_eq!(report.captures_failed, None);
    let missing = report.peers.iter().filter_map(|peer| Some((&peer.name, peer.missing.as_ref()?)));
    missing.for_each(|(name, reason)| eprintln!("{name}: not tried: {reason}"));
    let intact = |one: &BesideCapture| one.error.is_none() && one.capture_error.is_none();
    for one in &report.captures {
        eprintln!(
            "{}, {}: {}; {}",
            one.job.name(),
            one.contender.label(),
            one.error.as_deref().unwrap_or("succeeded"),
            one.capture_error.as_deref().unwrap_or("intact")
        );
        match &one.contender {
            ContenderKind::Ours | ContenderKind::Careful => assert!(intact(one), "{one:?}"),
            // Shows that the capture is one that calls can break.
            ContenderKind::Bare => {
                assert_eq!(intact(one), one.job == Job::WrapUnchecked, "{one:?}")
            }
            _ => {}
        }
    }
    for job in captures::JOBS {
        let is_ours = |one: &&BesideCapture| one.job == job && one.contender == ContenderKind::Ours;
        assert_eq!(report.captures.iter().filter(is_ours).count(), 1, "{}", job.name());
    }
}

/// The table of what is compared must have careful calls exactly where they are measured.
fn careful_calls_are_named() {
    let report = report(|config| {
        config.jobs = Job::ALL.to_vec();
        config.only_pairs = true;
    });
    for row in report.operations.iter().filter(|row| row.left_out.is_none()) {
        assert!(row.failed.is_empty(), "{row:?}");
        let is_measured = row.results.iter().any(|one| one.contender == ContenderKind::Careful);
        assert_eq!(row.careful_calls.is_some(), is_measured, "{}", row.job.name());
    }
}
