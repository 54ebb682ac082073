//! Parses JSON reports of `check` and of `gpu-stream-testkit`: [`files`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use gpu_stream::ErrorKind;
use serde::Deserialize;

use super::{Cell, Column, Combined, NotRun, Outcome, Row};
use crate::CommandError;

/// The newest `schema` that this version reads.
const SCHEMA: u64 = 1;

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    date: String,
    #[serde(default)]
    machine: BTreeMap<String, String>,
    backends: Vec<Backend>,
    #[serde(default)]
    not_checked: Vec<NotChecked>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Backend {
    backend: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    devices: Vec<Device>,
}

#[derive(Deserialize)]
struct Device {
    name: String,
}

#[derive(Deserialize)]
struct NotChecked {
    backend: String,
    kind: String,
    reason: String,
}

#[derive(Deserialize)]
struct Case {
    area: String,
    name: String,
    #[serde(default)]
    about: String,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    results: Vec<CaseResult>,
}

#[derive(Deserialize)]
struct Rule {
    id: String,
    text: String,
}

#[derive(Deserialize)]
struct CaseResult {
    backend: String,
    outcome: String,
    reason: Option<String>,
    #[serde(default)]
    inapplicable: bool,
}

/// Reads the reports, and combines them in the order of the files.
///
/// # Errors
/// [`CommandError`] with the file's name if a file cannot be read, or is not such a report.
pub fn files(names: &[PathBuf]) -> Result<Combined, CommandError> {
    let mut combined = Combined::default();
    for name in names {
        let file = name.display().to_string();
        let text = std::fs::read_to_string(name)
            .map_err(|error| CommandError(format!("{file} cannot be read: {error}")))?;
        add(&mut combined, &file, &text)?;
    }
    Ok(combined)
}

/// Adds the report `text` of the file `file`.
///
/// # Errors
/// [`CommandError`] if the text is not such a report.
pub fn add(combined: &mut Combined, file: &str, text: &str) -> Result<(), CommandError> {
    let report = parse(text).map_err(|reason| {
        CommandError(format!(
            "{file} is not a report of `gpu-stream check --json FILE` or of gpu-stream-testkit: {reason}"
        ))
    })?;
    let first = combined.columns.len();
    for backend in &report.backends {
        combined.columns.push(column(file, &report, backend));
    }
    // A backend that is not part of the build says nothing about the machine.
    let not_compiled = ErrorKind::NotCompiled.to_string();
    let missing = report.not_checked.into_iter().filter(|item| item.kind != not_compiled);
    combined.not_run.extend(missing.map(|NotChecked { backend, reason, .. }| NotRun {
        file: file.into(),
        backend,
        reason,
    }));
    for case in report.cases {
        add_case(combined, first, &report.backends, case);
    }
    let columns = combined.columns.len();
    combined.rows.iter_mut().for_each(|row| row.cells.resize(columns, None));
    Ok(())
}

fn parse(text: &str) -> Result<Report, String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    match value["schema"].as_u64() {
        Some(SCHEMA) => serde_json::from_value(value).map_err(|error| error.to_string()),
        Some(other) => {
            Err(format!("its schema is {other}, and this version reads schema {SCHEMA}"))
        }
        None => Err("it has no field `schema`".into()),
    }
}

fn column(file: &str, report: &Report, backend: &Backend) -> Column {
    let mut devices: Vec<(&str, usize)> = Vec::new();
    for Device { name } in &backend.devices {
        match devices.iter_mut().find(|(known, _)| known == name) {
            Some((_, count)) => *count += 1,
            None => devices.push((name, 1)),
        }
    }
    let devices = devices.into_iter().map(|(name, count)| match count {
        1 => name.to_owned(),
        more => format!("{more} × {name}"),
    });
    Column {
        file: file.into(),
        backend: backend.backend.clone(),
        version: backend.version.clone(),
        devices: devices.collect::<Vec<_>>().join(", "),
        machine: machine(report),
        date: report.date.clone(),
    }
}

/// Describes the machine of a report in a line.
fn machine(report: &Report) -> String {
    let fact = |name: &str| report.machine.get(name).map(|value| (name.to_owned(), value.clone()));
    let system = fact("system").map(|(_, value)| value);
    let drivers = ["nvidia", "amdgpu"].into_iter().filter_map(fact);
    let drivers = drivers.map(|(name, value)| format!("{name} {value}"));
    system.into_iter().chain(drivers).collect::<Vec<_>>().join("; ")
}

/// Adds the results of a case to its row.
fn add_case(combined: &mut Combined, first: usize, backends: &[Backend], case: Case) {
    let Case { area, name, about, rules, results } = case;
    let at = combined.rows.iter().position(|row| row.area == area && row.name == name);
    let at = at.unwrap_or_else(|| {
        // After the last row of the area, so that areas stay together.
        let last = combined.rows.iter().rposition(|row| row.area == area);
        let at = last.map_or(combined.rows.len(), |last| last + 1);
        let rules = rules.into_iter().map(|rule| (rule.id, rule.text)).collect();
        combined.rows.insert(at, Row { area, name, about, rules, cells: Vec::new() });
        at
    });
    let columns = combined.columns.len();
    let cells = &mut combined.rows[at].cells;
    cells.resize(columns, None);
    for result in results {
        let backend = backends.iter().position(|one| one.backend == result.backend);
        let outcome = match (result.outcome.as_str(), result.inapplicable) {
            ("passed", _) => Outcome::Passed,
            ("skipped", true) => Outcome::Inapplicable,
            ("skipped", false) => Outcome::Skipped,
            // An unknown outcome must not look like success.
            _ => Outcome::Failed,
        };
        if let Some(backend) = backend {
            let reason = result.reason.unwrap_or_default();
            cells[first + backend] = Some(Cell { outcome, reason });
        }
    }
}
