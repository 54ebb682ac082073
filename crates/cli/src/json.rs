//! The JSON output of `check`, `check --list` and `info`.
//!
//! `schema` is 1. Fields may be added under that number. None is removed or changes its meaning.

use std::collections::BTreeMap;

use gpu_stream::{Availability, BackendInfo, Error as _, Library};
use gpu_stream_bench::machine;
use gpu_stream_conformance::CaseInfo;
use serde::Serialize;

use crate::environment::{self, Variables};
use crate::report::{Report, Row};

const SCHEMA: u32 = 1;
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize)]
struct Device {
    device: String,
    name: String,
}

#[derive(Serialize)]
struct Ready {
    version: String,
    library: Option<String>,
    devices: Vec<Device>,
    details: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct Case {
    area: &'static str,
    name: &'static str,
    about: &'static str,
    rules: Vec<Rule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    results: Vec<CaseResult>,
}

#[derive(Serialize)]
struct Rule {
    id: &'static str,
    text: &'static str,
}

#[derive(Serialize)]
struct CaseResult {
    backend: &'static str,
    outcome: &'static str,
    reason: Option<String>,
    /// `true` for a skip that no machine and no `GPU_STREAM_REQUIRE` would change, because the backend
    /// has nothing to check there.
    inapplicable: bool,
    rounds: u32,
    seconds: f64,
    /// `true` if it ran in a separate process, because an earlier case hung.
    own_process: bool,
}

#[derive(Serialize)]
struct Checked {
    backend: &'static str,
    #[serde(flatten)]
    ready: Option<Ready>,
}

#[derive(Serialize)]
struct LeftOut {
    backend: &'static str,
    kind: String,
    reason: String,
    advice: Option<&'static str>,
}

#[derive(Serialize)]
struct Totals {
    passed: usize,
    failed: usize,
    /// Every result whose outcome is `skipped`, those that do not apply included.
    skipped: usize,
}

#[derive(Serialize)]
struct Check {
    schema: u32,
    gpu_stream: &'static str,
    /// The day of the run in UTC, as in `2026-11-27`. Empty if the clock is before 1970.
    date: String,
    os: &'static str,
    arch: &'static str,
    machine: BTreeMap<&'static str, String>,
    repeat: u32,
    /// `true` if the cases ran with a check of the order of accesses.
    checked: bool,
    /// The variables that the command set for this run. `machine` has the user's variables.
    set: Variables,
    backends: Vec<Checked>,
    not_checked: Vec<LeftOut>,
    cases: Vec<Case>,
    totals: Totals,
    /// A text for each backend on which no case ran although it was to be checked.
    nothing_ran: Vec<String>,
}

#[derive(Serialize)]
struct List {
    schema: u32,
    gpu_stream: &'static str,
    cases: Vec<Case>,
}

#[derive(Serialize)]
struct Info {
    schema: u32,
    gpu_stream: &'static str,
    os: &'static str,
    arch: &'static str,
    machine: BTreeMap<&'static str, String>,
    backends: Vec<Backend>,
}

#[derive(Serialize)]
struct Backend {
    backend: &'static str,
    default: bool,
    compiled: bool,
    ready: bool,
    library_state: &'static str,
    #[serde(flatten)]
    info: Option<Ready>,
    error: Option<Problem>,
    advice: Option<&'static str>,
}

#[derive(Serialize)]
struct Problem {
    kind: String,
    code: Option<i32>,
    text: String,
}

/// Converts the description of an available backend.
fn ready(info: &BackendInfo) -> Ready {
    let devices = info
        .devices
        .iter()
        .map(|device| Device { device: device.device.to_string(), name: device.name.clone() });
    let (version, library) = (info.version.clone(), info.library.clone());
    let details = info.details.iter().cloned().collect();
    Ready { version, library, devices: devices.collect(), details }
}

/// Converts a case, without results.
fn case(case: &CaseInfo) -> Case {
    let rules = case.rules.iter().map(|rule| Rule { id: rule.id, text: rule.text });
    let (area, name, about) = (case.area, case.name, case.about);
    Case { area, name, about, rules: rules.collect(), results: Vec::new() }
}

/// Converts a case with its results.
fn row(report: &Report, row: &Row) -> Case {
    let cells = row.cells.iter().zip(&report.columns);
    let results = cells.map(|(cell, column)| CaseResult {
        backend: column.backend.name(),
        outcome: cell.word(),
        reason: cell.reason().map(str::to_owned),
        inapplicable: cell.is_inapplicable(),
        rounds: cell.rounds,
        seconds: cell.duration.as_secs_f64(),
        own_process: cell.own_process,
    });
    Case { results: results.collect(), ..case(row.case) }
}

/// Serializes a value with a final newline.
fn text(value: &impl Serialize) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// Serializes the report of `check`.
///
/// # Errors
/// None are known: every value can be serialized.
pub fn of_report(report: &Report) -> serde_json::Result<String> {
    let totals = report.totals();
    let checked = report.columns.iter().map(|column| Checked {
        backend: column.backend.name(),
        ready: column.info.as_ref().map(ready),
    });
    let left_out = report.left_out.iter().map(|item| LeftOut {
        backend: item.backend.name(),
        kind: item.kind.to_string(),
        reason: item.reason.clone(),
        advice: item.advice,
    });
    text(&Check {
        schema: SCHEMA,
        gpu_stream: VERSION,
        date: machine::today().unwrap_or_default(),
        os: std::env::consts::OS,
        arch: std::env::consts::ARCH,
        machine: environment::facts(&report.set),
        set: report.set.clone(),
        repeat: report.repeat,
        checked: report.has_order_check,
        backends: checked.collect(),
        not_checked: left_out.collect(),
        cases: report.rows.iter().map(|one| row(report, one)).collect(),
        totals: Totals {
            passed: totals.passed,
            failed: totals.failed,
            skipped: totals.skipped + totals.inapplicable,
        },
        nothing_ran: report.nothing_ran(),
    })
}

/// Serializes the output of `check --list`.
///
/// # Errors
/// None are known: every value can be serialized.
pub fn of_cases(cases: &[&CaseInfo]) -> serde_json::Result<String> {
    let cases = cases.iter().map(|one| case(one)).collect();
    text(&List { schema: SCHEMA, gpu_stream: VERSION, cases })
}

/// Serializes the output of `info`.
///
/// # Errors
/// None are known: every value can be serialized.
pub fn of_availability(available: &[Availability]) -> serde_json::Result<String> {
    let backends = available.iter().map(|item| Backend {
        backend: item.backend.name(),
        default: item.is_default,
        compiled: item.is_compiled(),
        ready: item.is_ready(),
        library_state: match item.library() {
            Library::NotNeeded => "not needed",
            Library::NotLookedFor => "not looked for",
            Library::NotFound(_) => "not found",
            _ => "found",
        },
        info: item.probe.as_ref().ok().map(ready),
        error: item.probe.as_ref().err().map(|error| Problem {
            kind: error.kind().to_string(),
            code: error.code(),
            text: error.to_string(),
        }),
        advice: item.advice(),
    });
    text(&Info {
        schema: SCHEMA,
        gpu_stream: VERSION,
        os: std::env::consts::OS,
        arch: std::env::consts::ARCH,
        machine: machine::facts().into_iter().collect(),
        backends: backends.collect(),
    })
}
