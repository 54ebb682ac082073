//! A made-up report that has a value in every field.

use gpu_stream_bench::environments;
use gpu_stream_bench::report::{
    BackendReport, BesideCapture, EnvironmentOperation, EnvironmentReport, Fact, FailedOne, Grows,
    GrowthRow, Machine, Measured, Operation, Peer, Report, SCHEMA, SetVariable, Settings,
    ThreadRow,
};
use gpu_stream_bench::{Comparison, ContenderKind, Job, Plan, Spread};

/// Creates the report.
pub fn report() -> Report {
    let facts = [
        ("system", "Some Linux 12, x86_64"),
        ("processor", "Some CPU @ 3 GHz"),
        ("cores", "16"),
        ("kernel", "6.1"),
        ("nvidia", "580.159.04"),
        ("environment", "CUDA_DEVICE_MAX_CONNECTIONS=32"),
    ];
    let facts = facts.map(|(name, value)| (name.into(), value.into()));
    Report {
        schema: SCHEMA,
        gpu_stream: "0.1.0".into(),
        optimized: true,
        date: Some("2026-11-27".into()),
        command: Some("gpu-stream bench --environments".into()),
        machine: Machine { facts: facts.into(), load_before: Some(0.25) },
        variables: vec![SetVariable {
            name: "CUDA_DEVICE_MAX_CONNECTIONS".into(),
            value: "32".into(),
            changes: "hardware queues".into(),
        }],
        settings: Settings::of(&Plan::USUAL, false),
        backends: vec![gpu(), host()],
        environments: environments(),
    }
}

/// Creates the results in three environments, one of which has a process that failed.
fn environments() -> Vec<EnvironmentReport> {
    let all = environments::of_backend("cuda").into_iter().enumerate();
    let made = all.map(|(index, set)| {
        let bare = [250.0, 400.0, 900.0][index];
        let operation = |job, careful: Option<f64>| EnvironmentOperation {
            job,
            bare: Some(bare),
            careful,
            ours: Some(bare + 60.0),
            to_bare: Some((bare + 60.0) / bare),
            to_careful: careful.map(|careful| (bare + 60.0) / careful),
        };
        EnvironmentReport {
            backend: "cuda".into(),
            set,
            processes: 3,
            operations: vec![
                operation(Job::Query, Some(bare + 45.0)),
                operation(Job::CaptureStatus, None),
            ],
            failed: if index == 2 { vec!["it ended with 1".into()] } else { Vec::new() },
        }
    });
    made.collect()
}

/// Creates the operations of a GPU: some complete, one with a failure, one that the driver lacks.
fn gpu_operations() -> Vec<Operation> {
    let (cudarc, torch) = (other("cudarc"), other("PyTorch (Python)"));
    let mut wait = results(&[
        (ContenderKind::Bare, 501.0),
        (ContenderKind::Careful, 526.0),
        (ContenderKind::Ours, 520.0),
        (ContenderKind::ObjectSafe, 528.5),
        (cudarc.clone(), 1_025.0),
        (torch, 5_510.0),
    ]);
    // Measured in a separate process, and so in rounds of its own.
    wait[5].ours_ns = Some(spread(530.0));
    let mut id = operation(Job::Id, Some("getId"), results(&[(ContenderKind::Ours, 55.0)]));
    id.failed.push(failed(ContenderKind::Bare, "getId answered 999 | twice"));
    let mut priority = operation(Job::Priority, Some("getPriority"), Vec::new());
    priority.left_out = Some("this driver has no getPriority".into());
    vec![
        operation(
            Job::WrapUnchecked,
            Some("nothing"),
            results(&[
                (ContenderKind::Bare, 0.4),
                (ContenderKind::Ours, 10.2),
                (cudarc.clone(), 52.0),
            ]),
        ),
        operation(
            Job::Query,
            Some("query"),
            results(&[
                (ContenderKind::Bare, 376.0),
                (ContenderKind::Careful, 400.0),
                (ContenderKind::Ours, 412.0),
            ]),
        ),
        operation(
            Job::Record,
            Some("record"),
            results(&[
                (ContenderKind::Bare, 150.0),
                (ContenderKind::Careful, 170.0),
                (ContenderKind::Ours, 175.0),
            ]),
        ),
        operation(Job::WaitStream, Some("record, wait; the event reused"), wait),
        operation(
            Job::ShortLived,
            Some("7 of record, 10 of wait"),
            results(&[
                (ContenderKind::Bare, 3_800.0),
                (ContenderKind::Ours, 3_950.0),
                (ContenderKind::Kept, 3_925.0),
            ]),
        ),
        id,
        priority,
    ]
}

/// Creates the rows of calls from several threads.
fn gpu_threads() -> Vec<ThreadRow> {
    let rows = [(1, false), (16, false), (1, true), (16, true)].map(|(threads, shared)| {
        let (bare, ours) = if shared { (18_000.0, 6_000.0) } else { (575.0, 590.0) };
        let results = results(&[
            (ContenderKind::Bare, bare),
            (ContenderKind::Careful, 1.1 * bare),
            (ContenderKind::Ours, ours),
            (other("cudarc"), 1_100.0),
        ]);
        ThreadRow { threads, shared, results, failed: Vec::new() }
    });
    rows.into()
}

/// Creates the rows of calls with many streams and long queues.
fn gpu_growth() -> Vec<GrowthRow> {
    let grows = |grows, size, (bare, ours)| GrowthRow {
        grows,
        size,
        job: Job::WaitStream,
        results: results(&[
            (ContenderKind::Bare, bare),
            (ContenderKind::Careful, 1.1 * bare),
            (ContenderKind::Ours, ours),
        ]),
        failed: Vec::new(),
    };
    vec![
        grows(Grows::Alive, 1, (500.0, 520.0)),
        grows(Grows::Alive, 10_000, (900.0, 940.0)),
        grows(Grows::Queue, 1, (500.0, 520.0)),
        grows(Grows::Queue, 1_000, (1_200.0, 1_230.0)),
    ]
}

fn gpu() -> BackendReport {
    BackendReport {
        backend: "cuda".into(),
        version: "13.0".into(),
        device: "cuda:0".into(),
        device_name: "a <fast> GPU & more".into(),
        facts: vec![Fact { name: "library".into(), value: "libdriver.so.1".into() }],
        peers: vec![
            peer("cudarc", "0.19", false, None),
            peer("CuPy", "", true, Some("ModuleNotFoundError: No module named 'cupy'")),
            peer("PyTorch (Python)", "torch 2.11.0, CUDA 13.0", true, None),
        ],
        operations: gpu_operations(),
        threads: gpu_threads(),
        growth: gpu_growth(),
        captures: vec![
            beside(ContenderKind::Bare, Some("query answered 900"), Some("end answered 901")),
            beside(ContenderKind::Ours, None, None),
        ],
        captures_failed: Some("begin answered 900".into()),
    }
}

/// Creates the report of a backend without a driver below it.
fn host() -> BackendReport {
    BackendReport {
        backend: "host".into(),
        version: "0.1.0".into(),
        device: "host:0".into(),
        device_name: "CPU".into(),
        facts: Vec::new(),
        peers: vec![peer("host::raw", "0.1.0", false, None)],
        operations: vec![
            operation(
                Job::Query,
                None,
                results(&[(ContenderKind::Ours, 21.0), (ContenderKind::ObjectSafe, 24.0)]),
            ),
            operation(
                Job::NewStream,
                None,
                results(&[(ContenderKind::Ours, 260.0), (other("host::raw"), 300.0)]),
            ),
        ],
        threads: Vec::new(),
        growth: Vec::new(),
        captures: Vec::new(),
        captures_failed: None,
    }
}

fn beside(contender: ContenderKind, error: Option<&str>, end: Option<&str>) -> BesideCapture {
    let (error, capture_error) = (error.map(str::to_owned), end.map(str::to_owned));
    BesideCapture { contender, job: Job::Query, error, capture_error }
}

fn operation(job: Job, bare_calls: Option<&str>, results: Vec<Measured>) -> Operation {
    let careful = results.iter().find(|one| one.contender == ContenderKind::Careful);
    Operation {
        job,
        title: job.title().into(),
        bare_calls: bare_calls.map(str::to_owned),
        careful_calls: careful.map(|_| format!("isCapturing, {}", bare_calls.unwrap_or_default())),
        results,
        failed: Vec::new(),
        left_out: None,
    }
}

fn other(name: &str) -> ContenderKind {
    ContenderKind::Peer(name.into())
}

fn peer(name: &str, version: &str, own_process: bool, missing: Option<&str>) -> Peer {
    let (name, version) = (name.into(), version.into());
    Peer { name, version, own_process, missing: missing.map(str::to_owned) }
}

fn failed(kind: ContenderKind, reason: &str) -> FailedOne {
    FailedOne { contender: Some(kind), reason: reason.into() }
}

/// Creates results with these medians, compared with each other.
fn results(medians: &[(ContenderKind, f64)]) -> Vec<Measured> {
    let of = |kind: ContenderKind| medians.iter().find(|one| one.0 == kind).map(|one| one.1);
    let (bare, ours) = (of(ContenderKind::Bare), of(ContenderKind::Ours));
    let careful = of(ContenderKind::Careful).or(bare);
    let measured = medians.iter().map(|(kind, ns)| Measured {
        contender: kind.clone(),
        calls_per_batch: 1_000,
        ns: spread(*ns),
        to_bare: bare.filter(|_| *kind != ContenderKind::Bare).map(|bare| compare(*ns, bare)),
        to_careful: careful
            .filter(|_| ![ContenderKind::Bare, ContenderKind::Careful].contains(kind))
            .map(|careful| compare(*ns, careful)),
        to_ours: ours.filter(|_| *kind != ContenderKind::Ours).map(|ours| compare(*ns, ours)),
        ours_to_it: ours.filter(|_| *kind != ContenderKind::Ours).map(|ours| spread(ours / ns)),
        ours_ns: None,
    });
    measured.collect()
}

fn compare(one: f64, other: f64) -> Comparison {
    Comparison { ratio: spread(one / other), difference: spread(1.0).scaled(one - other) }
}

fn spread(median: f64) -> Spread {
    let one =
        Spread { min: 0.96, q1: 0.98, median: 1.0, q3: 1.02, max: 1.1, count: 31, outliers: 1 };
    one.scaled(median)
}
