//! A short run on each backend that is there, and planted defects, which must be noticed.
//!
//! `GPU_STREAM_HAMMER_OPERATIONS=1e7` makes the runs longer. A backend that is not there is skipped,
//! with the reason; `GPU_STREAM_REQUIRE=hip` makes that a failure.

use std::process::ExitCode;
use std::time::Duration;

use gpu_stream_conformance::fixtures::{
    CudaFixture, HipFixture, HostFixture, ask_for_cuda_queues, ask_for_hip_queues,
};
use gpu_stream_conformance::{Fixture, Required};
use gpu_stream_core::BackendKind;
use gpu_stream_stress::seeded_bug::SeededBug;
use gpu_stream_stress::{Limits, Plan, Report, run};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Calls on the host backend, unless the variable says how many.
const OPERATIONS: u64 = 400_000;

fn operations() -> Result<u64, String> {
    let Ok(text) = std::env::var("GPU_STREAM_HAMMER_OPERATIONS") else { return Ok(OPERATIONS) };
    match text.parse::<f64>() {
        Ok(number) if number >= 1.0 => Ok(number as u64),
        _ => Err(format!("GPU_STREAM_HAMMER_OPERATIONS={text} is no count of calls")),
    }
}

/// Set in the process that is to hang.
const HANG: &str = "GPU_STREAM_HAMMER_HANG";

/// A run that hangs ends its process with code 3, and says what was found before.
fn a_hang_hides_no_finding() -> Result<(), Failed> {
    let program = std::env::current_exe()?;
    let output = std::process::Command::new(program).env(HANG, "1").output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let all = ["nothing has moved", "FOUND: a finding, and then a hang"];
    if output.status.code() == Some(3) && all.iter().all(|part| text.contains(part)) {
        return Ok(());
    }
    Err(format!("it ended with {} and said: {text}", output.status).into())
}

fn main() -> ExitCode {
    if std::env::var_os(HANG).is_some() {
        let limit = Duration::from_millis(600);
        let plan = Plan { plant: Some(SeededBug::Hang), limit, ..Plan::new(OPERATIONS) };
        let report = run(HostFixture::new(), &plan, |_| ());
        eprintln!("it did not hang: {:?}", report.findings);
        return ExitCode::FAILURE;
    }
    // SAFETY: no other thread is running yet.
    unsafe {
        ask_for_cuda_queues();
        ask_for_hip_queues();
        if driver_sim::no_driver_here()
            && let Err(reason) = driver_sim::install(1)
        {
            eprintln!("note: no CUDA driver, and no simulation of one: {reason}");
        }
    }
    let required = match Required::from_env(&[]) {
        Ok(required) => required,
        Err(unknown) => {
            eprintln!("{unknown}");
            return ExitCode::FAILURE;
        }
    };
    let (hip_required, cuda_required) =
        (required.contains(BackendKind::Hip), required.contains(BackendKind::Cuda));
    let mut trials = vec![
        Trial::test("host", || {
            found_nothing(&run(HostFixture::new(), &Plan::new(operations()?), |_| ()))
        }),
        Trial::ignorable_test("hip", move || {
            if !std::path::Path::new("/dev/kfd").exists()
                && let Err(reason) = hsa_sim::preload()
            {
                eprintln!("note: no AMD GPU, and no simulation of one: {reason}");
            }
            on(HipFixture::new(), hip_required, operations()? / 8)
        }),
        Trial::ignorable_test("cuda", move || {
            on(CudaFixture::new(), cuda_required, operations()? / 4)
        }),
    ];
    for (name, plant, operations, notice) in PLANTED {
        trials.push(Trial::test(name, move || noticed(plant, operations, notice)));
    }
    trials.push(Trial::test("a_hang_hides_no_finding", a_hang_hides_no_finding));
    let mut arguments = Arguments::from_args();
    // The allocator counts for the whole process.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn on<F: Fixture>(
    fixture: Result<F, String>,
    required: bool,
    operations: u64,
) -> Result<Completion, Failed> {
    match fixture {
        Ok(fixture) => {
            found_nothing(&run(fixture, &Plan::new(operations), |_| ()))?;
            Ok(Completion::Completed)
        }
        Err(reason) if required => Err(format!("GPU_STREAM_REQUIRE asks for it: {reason}").into()),
        Err(reason) => Ok(Completion::ignored_with(reason)),
    }
}

fn found_nothing(report: &Report) -> Result<(), Failed> {
    if report.findings.is_empty() {
        return Ok(());
    }
    Err(format!("{}\n{}", report.markdown(), report.findings.join("\n")).into())
}

/// What is planted, how many calls it takes until that must be noticed, and a part of what is said.
const PLANTED: [(&str, SeededBug, u64, &str); 3] = [
    ("a_leak_is_noticed", SeededBug::Leak, 1_200_000, "bytes of the heap"),
    ("a_wait_that_is_left_out_is_noticed", SeededBug::NoWait, 50_000, "nothing orders"),
    ("a_closure_that_runs_twice_is_noticed", SeededBug::RanTwice, 50_000, "ran and"),
];

fn noticed(plant: SeededBug, operations: u64, notice: &str) -> Result<(), Failed> {
    let plan = Plan { plant: Some(plant), ..Plan::new(operations) };
    let report = run(HostFixture::new(), &plan, |_| ());
    let all = [report.findings.clone(), report.growth(Limits::default())].concat();
    if all.iter().any(|finding| finding.contains(notice)) {
        return Ok(());
    }
    Err(format!("{plant:?} was planted, and this was found: {all:?}").into())
}
