//! What a report says in sentences and lines.

use crate::ContenderKind;
use crate::environments::label;
use crate::report::{BackendReport, FailedOne, Report};

/// Lists the child processes of a backend's environments that failed, one line each.
pub fn failed_environments(report: &Report, backend: &str) -> Vec<String> {
    let of_backend = report.environments.iter().filter(|one| one.backend == backend);
    let lines = of_backend.flat_map(|one| {
        let queues = label(&one.set);
        one.failed.iter().map(move |reason| format!("hardware queues, {queues}: {reason}"))
    });
    lines.collect()
}

/// Describes the variables that change what calls cost, and are set.
pub fn variables(report: &Report) -> String {
    let each =
        report.variables.iter().map(|one| format!("{}={} ({})", one.name, one.value, one.changes));
    match each.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "No variable is set that changes what calls cost.".into(),
        some => format!("Set in the environment, and changing what calls cost: {some}."),
    }
}

/// Lists what was not measured, one line each: failures, and functions that the driver lacks.
pub fn not_measured(report: &BackendReport) -> Vec<String> {
    let line = |label: &str, failed: &FailedOne| {
        let kind = failed.contender.as_ref().map_or("all", ContenderKind::label);
        format!("{label}, {kind}: {}", failed.reason)
    };
    let mut lines = Vec::new();
    for row in &report.operations {
        lines.extend(row.failed.iter().map(|one| line(row.job.name(), one)));
        let left_out = row.left_out.as_ref();
        lines.extend(left_out.map(|reason| format!("{}: {reason}", row.job.name())));
    }
    for row in &report.threads {
        let source = if row.shared { "one source" } else { "own sources" };
        let label = format!("{} threads, {source}", row.threads);
        lines.extend(row.failed.iter().map(|one| line(&label, one)));
    }
    for row in &report.growth {
        let label = format!("{} with {} {}", row.job.name(), row.size, row.grows.title());
        lines.extend(row.failed.iter().map(|one| line(&label, one)));
    }
    let captures = report.captures_failed.iter();
    lines.extend(captures.map(|reason| format!("calls beside a capture: {reason}")));
    lines
}

/// Describes the method of measurement in a sentence.
pub fn method(report: &Report) -> String {
    let settings = &report.settings;
    let mut text = format!(
        "{} rounds; in each, every contender runs a batch of at least {} ms, in changing order; medians and quartiles \
         of the times, and of the ratios and differences within a round.",
        settings.rounds, settings.batch_ms
    );
    if settings.quick {
        text.push_str(" A quick run: the figures mean nothing.");
    }
    if !report.optimized {
        text.push_str(" Built without optimization: the figures mean nothing.");
    }
    text
}

/// Describes the machine in a sentence.
pub fn machine(report: &Report) -> String {
    let machine = &report.machine;
    let fact = |name: &str| machine.facts.get(name).map(String::as_str);
    let cores = fact("cores").unwrap_or("an unknown number of");
    let processor = fact("processor").unwrap_or("an unknown processor");
    let mut text = format!("{cores} cores of {processor}");
    text.extend(fact("system").map(|system| format!("; {system}")));
    for name in ["kernel", "amdgpu", "nvidia"] {
        text.extend(fact(name).map(|version| format!("; {name} {version}")));
    }
    text.extend(machine.load_before.map(|load| format!("; load {load} before")));
    text + "."
}

/// Describes a backend in a line.
pub fn backend(report: &BackendReport) -> String {
    let facts: String =
        report.facts.iter().map(|fact| format!(", {} {}", fact.name, fact.value)).collect();
    let BackendReport { backend, version, device, device_name, .. } = report;
    format!("{backend}: version {version}{facts}, on {device} ({device_name})")
}
