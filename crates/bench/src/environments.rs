//! Summarizes what other environments change: [`summarize`].

use std::collections::BTreeMap;

use crate::report::{EnvironmentOperation, EnvironmentReport, Measured, Operation, Report, result};
use crate::{ContenderKind, Job, Spread};

/// The numbers of hardware queues that are tried beside the user's environment.
pub const QUEUES: [&str; 2] = ["8", "32"];

/// Returns the variables that set the number of hardware queues of a backend. Empty if it has none.
///
/// HIP's NVIDIA platform reads CUDA's variable.
pub fn queue_variables(backend: &str) -> &'static [&'static str] {
    match backend {
        "cuda" => &["CUDA_DEVICE_MAX_CONNECTIONS"],
        "hip" => &["GPU_MAX_HW_QUEUES", "CUDA_DEVICE_MAX_CONNECTIONS"],
        _ => &[],
    }
}

/// Returns the environments to try: the user's, and one for each of [`QUEUES`]. Empty if the backend has no
/// variable.
pub fn of_backend(backend: &str) -> Vec<BTreeMap<String, String>> {
    let variables = queue_variables(backend);
    if variables.is_empty() {
        return Vec::new();
    }
    let with =
        |queues: &str| variables.iter().map(|name| ((*name).into(), queues.into())).collect();
    [BTreeMap::new()].into_iter().chain(QUEUES.map(with)).collect()
}

/// Summarizes the reports of the processes that ran in one environment.
pub fn summarize(
    backend: &str,
    set: BTreeMap<String, String>,
    reports: &[Report],
    failed: Vec<String>,
) -> EnvironmentReport {
    let backends = || reports.iter().flat_map(|report| &report.backends);
    let jobs = backends().next().map_or(&[][..], |first| &first.operations);
    let operations = jobs.iter().map(|operation| {
        let rows: Vec<&Operation> = backends()
            .filter_map(|one| one.operations.iter().find(|row| row.job == operation.job))
            .collect();
        summary(operation.job, &rows)
    });
    EnvironmentReport {
        backend: backend.into(),
        set,
        processes: u32::try_from(reports.len()).unwrap_or(u32::MAX),
        operations: operations.collect(),
        failed,
    }
}

/// Summarizes the rows of one operation.
fn summary(job: Job, rows: &[&Operation]) -> EnvironmentOperation {
    let median = |value: &dyn Fn(&Operation) -> Option<f64>| {
        Spread::of(rows.iter().filter_map(|row| value(row))).map(|spread| spread.median)
    };
    let time =
        |kind: ContenderKind| median(&|row| result(&row.results, &kind).map(|one| one.ns.median));
    let ours = |row: &Operation| result(&row.results, &ContenderKind::Ours).cloned();
    let ratio = |compared: fn(&Measured) -> Option<f64>| median(&|row| compared(&ours(row)?));
    EnvironmentOperation {
        job,
        bare: time(ContenderKind::Bare),
        careful: time(ContenderKind::Careful),
        ours: time(ContenderKind::Ours),
        to_bare: ratio(|ours| ours.to_bare.map(|one| one.ratio.median)),
        to_careful: ratio(|ours| ours.to_careful.map(|one| one.ratio.median)),
    }
}

/// Returns the heading of an environment in a table.
pub fn label(set: &BTreeMap<String, String>) -> &str {
    set.values().next().map_or("as is", String::as_str)
}
