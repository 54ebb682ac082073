//! Short stress runs on each available backend, and seeded bugs that must be detected.
//!
//! `GPU_STREAM_STRESS_OPERATIONS=1e7` makes the runs longer. A backend that is not available is skipped
//! with the reason; `GPU_STREAM_REQUIRE=hip` makes that a failure.
//!
//! Each backend runs in a process of its own: Debian's AMD runtime and PoCL bring clang's options twice into one LLVM
//! library, which ends a process that has both.

use std::process::{Command, ExitCode};
use std::time::Duration;

use gpu_stream_conformance::fixtures::{
    CudaFixture, HipFixture, HostFixture, OpenClFixture, ask_for_cuda_queues, ask_for_hip_queues,
};
use gpu_stream_conformance::{Fixture, Required};
use gpu_stream_core::BackendKind;
use gpu_stream_stress::seeded_bug::SeededBug;
use gpu_stream_stress::{Limits, Plan, Report, run};
use gpu_stream_test_support::{Children, completion, run_to_exit, skip};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Default number of calls on the host backend.
const OPERATIONS: u64 = 400_000;

/// Returns the number of calls on the host backend.
fn operations() -> Result<u64, String> {
    let Ok(text) = std::env::var("GPU_STREAM_STRESS_OPERATIONS") else { return Ok(OPERATIONS) };
    match text.parse::<f64>() {
        Ok(number) if number >= 1.0 => Ok(number as u64),
        _ => Err(format!(
            "GPU_STREAM_STRESS_OPERATIONS={text} is not a number of calls; pass a number of at least 1"
        )),
    }
}

/// The backends that run in a process of their own.
const BACKENDS: [(BackendKind, fn()); 3] =
    [(BackendKind::Hip, hip), (BackendKind::Cuda, cuda), (BackendKind::OpenCl, opencl)];

/// The child processes, one for each backend.
const CHILDREN: Children = Children {
    variable: "GPU_STREAM_STRESS_BACKEND",
    program: || Ok(Command::new(std::env::current_exe()?)),
};

/// Environment variable that is set in the process that must hang.
const HANG: &str = "GPU_STREAM_STRESS_HANG";

/// Checks that a run that hangs exits with status 3 and prints its earlier findings.
fn hang_keeps_earlier_findings() -> Result<(), Failed> {
    let program = std::env::current_exe()?;
    let output = Command::new(program).env(HANG, "1").output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let all = ["no progress for", "FOUND: seeded bug: a finding before a hang"];
    if output.status.code() == Some(3) && all.iter().all(|part| text.contains(part)) {
        return Ok(());
    }
    Err(format!("the process ended with {} and wrote: {text}", output.status).into())
}

fn main() -> ExitCode {
    if std::env::var_os(HANG).is_some() {
        let limit = Duration::from_millis(600);
        let plan = Plan { seeded_bug: Some(SeededBug::Hang), limit, ..Plan::new(OPERATIONS) };
        let report = run(HostFixture::new(), &plan, |_| ());
        eprintln!("the run did not hang: {:?}", report.findings);
        return ExitCode::FAILURE;
    }
    // SAFETY: no other thread is running yet.
    unsafe {
        ask_for_cuda_queues();
        ask_for_hip_queues();
        if cuda_sim::no_driver_here()
            && let Err(reason) = cuda_sim::install(1)
        {
            eprintln!("note: no CUDA driver and no simulated one: {reason}");
        }
    }
    if let Some(case) = CHILDREN.case(&BACKENDS.map(|(kind, case)| (kind.name(), case))) {
        run_to_exit(case);
        return ExitCode::SUCCESS;
    }
    let required = match Required::from_env(&[]) {
        Ok(required) => required,
        Err(unknown) => {
            eprintln!("{unknown}");
            return ExitCode::FAILURE;
        }
    };
    let mut trials = vec![Trial::test("host", || {
        expect_no_findings(&run(HostFixture::new(), &Plan::new(operations()?), |_| ()))
    })];
    for (kind, _) in BACKENDS {
        let is_required = required.contains(kind);
        trials.push(Trial::ignorable_test(kind.name(), move || in_a_child(kind, is_required)));
    }
    for (name, bug, operations, finding) in SEEDED_BUGS {
        trials.push(Trial::test(name, move || detects(bug, operations, finding)));
    }
    trials.push(Trial::test("hang_keeps_earlier_findings", hang_keeps_earlier_findings));
    let mut arguments = Arguments::from_args();
    // The allocator counts for the whole process, so one test runs at a time.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Runs the stress test on a backend in a process of its own, or skips it with the reason.
fn in_a_child(kind: BackendKind, is_required: bool) -> Result<Completion, Failed> {
    let completion = completion(&CHILDREN.command(kind.name()).output()?)?;
    match completion {
        Completion::Ignored { reason } if is_required => {
            let reason = reason.unwrap_or_default();
            Err(format!("GPU_STREAM_REQUIRE forbids the skip: {reason}").into())
        }
        other => Ok(other),
    }
}

/// Runs the stress test on HIP.
fn hip() {
    if !std::path::Path::new("/dev/kfd").exists()
        && let Err(reason) = hsa_sim::preload()
    {
        eprintln!("note: no AMD GPU and no simulated one: {reason}");
    }
    run_on(HipFixture::new(), 8);
}

/// Runs the stress test on CUDA.
fn cuda() {
    run_on(CudaFixture::new(), 4);
}

/// Runs the stress test on OpenCL.
fn opencl() {
    run_on(OpenClFixture::new().map_err(|error| error.to_string()), 8);
}

/// Runs the stress test on a backend, with the `part`th part of the calls. Skips it if the backend is not available.
///
/// # Panics
/// If the run has findings.
fn run_on<F: Fixture>(fixture: Result<F, String>, part: u64) {
    let fixture = fixture.unwrap_or_else(|reason| skip(&reason));
    let operations = operations().unwrap_or_else(|reason| panic!("{reason}"));
    let report = run(fixture, &Plan::new(operations / part), |_| ());
    expect_no_findings(&report)
        .unwrap_or_else(|failed| panic!("{}", failed.message().unwrap_or_default()));
}

/// Fails with the report if it has findings.
fn expect_no_findings(report: &Report) -> Result<(), Failed> {
    if report.findings.is_empty() {
        return Ok(());
    }
    Err(format!("{}\n{}", report.markdown(), report.findings.join("\n")).into())
}

/// Test name, bug, number of calls after which it must be detected, and a part of the finding.
const SEEDED_BUGS: [(&str, SeededBug, u64, &str); 3] = [
    ("leak_is_detected", SeededBug::Leak, 1_200_000, "bytes of the heap"),
    ("missing_wait_is_detected", SeededBug::NoWait, 50_000, "unordered work"),
    ("closure_that_runs_twice_is_detected", SeededBug::RanTwice, 50_000, "ran and"),
];

/// Checks that a run with the seeded bug reports the finding.
fn detects(bug: SeededBug, operations: u64, expected: &str) -> Result<(), Failed> {
    let plan = Plan { seeded_bug: Some(bug), ..Plan::new(operations) };
    let report = run(HostFixture::new(), &plan, |_| ());
    let all = [report.findings.clone(), report.growth(Limits::default())].concat();
    if all.iter().any(|finding| finding.contains(expected)) {
        return Ok(());
    }
    Err(format!("{bug:?} was seeded, but the findings are {all:?}").into())
}
