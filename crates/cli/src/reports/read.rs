//! Parses JSON reports of `check` and of `gpu-stream-testkit`: [`files`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

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
    /// The version of gpu-stream-testkit, in the report of one test.
    testkit: Option<String>,
    /// The package of that test.
    #[serde(default)]
    package: Option<String>,
    #[serde(default)]
    machine: BTreeMap<String, String>,
    backends: Vec<Backend>,
    #[serde(default)]
    not_checked: Vec<NotChecked>,
    /// A text for each backend on which no case ran although it was to be checked.
    #[serde(default)]
    nothing_ran: Vec<String>,
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

/// Reads the reports, and combines them in the order of the files. A folder stands for its files
/// `*.json`, in the order of their names.
///
/// The reports of gpu-stream-testkit, of one test each, share the columns of a backend, version, device
/// and machine.
///
/// # Errors
/// [`CommandError`] with the file's name if a file cannot be read, or is not such a report; or if a folder
/// has no report.
pub fn files(names: &[PathBuf]) -> Result<Combined, CommandError> {
    let mut combined = Combined::default();
    for name in names {
        let cannot_be_read =
            |error| CommandError(format!("{} cannot be read: {error}", name.display()));
        let files = match name.is_dir() {
            true => reports_in(name).map_err(cannot_be_read)?,
            false => vec![name.clone()],
        };
        if files.is_empty() {
            let name = name.display();
            return Err(CommandError(format!("the folder {name} has no report, a file *.json")));
        }
        for name in files {
            let file = name.display().to_string();
            let text = std::fs::read_to_string(&name)
                .map_err(|error| CommandError(format!("{file} cannot be read: {error}")))?;
            add(&mut combined, &file, &text)?;
        }
    }
    let has_run = |index| {
        let counts = combined.counts(index);
        counts.passed + counts.failed > 0
    };
    let columns = combined.columns.iter().enumerate();
    let of_tests: Vec<_> = columns.filter(|(_, column)| column.is_of_tests).collect();
    if let [(_, first), ..] = of_tests[..]
        && !of_tests.iter().any(|&(index, _)| has_run(index))
    {
        combined.nothing_ran.push((first.file.clone(), "no test ran".into()));
    }
    Ok(combined)
}

/// Returns the files `*.json` of a folder, sorted.
fn reports_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let paths = entries.into_iter().map(|entry| entry.path());
    // A file whose name begins with a dot is one that is being written.
    let is_report = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".json") && !name.starts_with('.')
    };
    let mut files: Vec<_> = paths.filter(is_report).collect();
    files.sort();
    Ok(files)
}

/// Adds the report `text` of the file `file`.
///
/// # Errors
/// [`CommandError`] if the text is not such a report.
pub fn add(combined: &mut Combined, file: &str, text: &str) -> Result<(), CommandError> {
    let mut report = parse(text).and_then(checked).map_err(|reason| {
        CommandError(format!(
            "{file} is not a report of `gpu-stream check --json FILE` or of gpu-stream-testkit: {reason}"
        ))
    })?;
    let mut nothing_ran = std::mem::take(&mut report.nothing_ran);
    // Many a test runs on some backends only. `files` looks at all of them together.
    if nothing_ran.is_empty() && report.testkit.is_none() && !report.has_run() {
        nothing_ran.push("no case ran".into());
    }
    combined.nothing_ran.extend(nothing_ran.into_iter().map(|text| (file.to_owned(), text)));
    combined.packages.extend(report.package.take());
    let mut places = HashMap::new();
    for backend in &report.backends {
        let column = column(file, &report, backend);
        places.insert(backend.backend.clone(), place(&mut combined.columns, column));
    }
    // A backend that is not part of the build says nothing about the machine.
    let not_compiled = ErrorKind::NotCompiled.to_string();
    let missing = report.not_checked.into_iter().filter(|item| item.kind != not_compiled);
    combined.not_run.extend(missing.map(|NotChecked { backend, reason, .. }| NotRun {
        file: file.into(),
        backend,
        reason,
    }));
    let name = |row: &Row| (row.area.clone(), row.name.clone());
    let mut known = combined.rows.iter().map(name).zip(0..).collect();
    for case in report.cases {
        add_case(combined, &mut known, &places, case);
    }
    group_by_area(&mut combined.rows);
    let columns = combined.columns.len();
    combined.rows.iter_mut().for_each(|row| row.cells.resize(columns, None));
    Ok(())
}

fn parse(text: &str) -> Result<Report, String> {
    let mut value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    clean(&mut value);
    match value["schema"].as_u64() {
        Some(SCHEMA) => serde_json::from_value(value).map_err(|error| error.to_string()),
        Some(other) => {
            Err(format!("its schema is {other}, and this version reads schema {SCHEMA}"))
        }
        None => Err("it has no field `schema`".into()),
    }
}

/// Replaces the control characters of all texts, which a terminal would obey. Keeps the ends of lines.
fn clean(value: &mut serde_json::Value) {
    use serde_json::Value::{Array, Object, String};
    match value {
        String(text) if text.contains(|one: char| one.is_control() && one != '\n') => {
            *text = text.replace("\r\n", "\n").replace('\t', " ");
            *text = text.replace(|one: char| one.is_control() && one != '\n', "\u{fffd}");
        }
        Array(items) => items.iter_mut().for_each(clean),
        Object(fields) => fields.values_mut().for_each(clean),
        _ => {}
    }
}

/// Returns the report if each of its results has one place in the table.
///
/// # Errors
/// The reason: a backend that the report lists twice, or a result of a backend that it does not list.
fn checked(report: Report) -> Result<Report, String> {
    let mut backends = BTreeSet::new();
    for Backend { backend, .. } in &report.backends {
        if !backends.insert(backend) {
            return Err(format!("it lists the backend {backend:?} twice"));
        }
    }
    let mut results = report.cases.iter().flat_map(|case| &case.results);
    match results.find(|result| !backends.contains(&result.backend)) {
        Some(CaseResult { backend, .. }) => {
            Err(format!("it has a result of {backend:?} and does not list that backend"))
        }
        None => Ok(report),
    }
}

impl Report {
    /// Returns `true` if a case passed or failed.
    fn has_run(&self) -> bool {
        let mut results = self.cases.iter().flat_map(|case| &case.results);
        results.any(|result| result.outcome != "skipped")
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
        is_of_tests: report.testkit.is_some(),
    }
}

/// Adds a column, or finds the one that it is a part of. Returns the index.
fn place(columns: &mut Vec<Column>, column: Column) -> usize {
    // A test that was skipped, or did not begin, knows neither version nor device.
    let is_unknown = |one: &Column| one.version.is_empty() && one.devices.is_empty();
    let is_same = |one: &Column| {
        let here = (&one.backend, &one.machine) == (&column.backend, &column.machine);
        let driver = (&one.version, &one.devices) == (&column.version, &column.devices);
        let both = one.is_of_tests && column.is_of_tests;
        both && here && (driver || is_unknown(one) || is_unknown(&column))
    };
    let Some(index) = columns.iter().position(is_same) else {
        columns.push(column);
        return columns.len() - 1;
    };
    let known = &mut columns[index];
    if is_unknown(known) {
        (known.version, known.devices) = (column.version, column.devices);
    }
    known.date = std::mem::take(&mut known.date).max(column.date);
    index
}

/// Describes the machine of a report in a line.
fn machine(report: &Report) -> String {
    let fact = |name: &str| report.machine.get(name).map(|value| (name.to_owned(), value.clone()));
    let system = fact("system").map(|(_, value)| value);
    let drivers = ["nvidia", "amdgpu"].into_iter().filter_map(fact);
    let drivers = drivers.map(|(name, value)| format!("{name} {value}"));
    system.into_iter().chain(drivers).collect::<Vec<_>>().join("; ")
}

/// Brings the rows of an area together, in the order in which the areas came.
fn group_by_area(rows: &mut [Row]) {
    let mut areas = HashMap::new();
    for row in &*rows {
        let next = areas.len();
        areas.entry(row.area.clone()).or_insert(next);
    }
    // A stable sort: the rows of an area keep their order.
    rows.sort_by_key(|row| areas[&row.area]);
}

/// Adds the results of a case to its row. `known` has the index of each row, by area and name, and `places`
/// that of the column of each backend.
fn add_case(
    combined: &mut Combined,
    known: &mut HashMap<(String, String), usize>,
    places: &HashMap<String, usize>,
    case: Case,
) {
    let Case { area, name, about, rules, results } = case;
    let at = *known.entry((area, name)).or_insert_with_key(|(area, name)| {
        let (area, name, cells) = (area.clone(), name.clone(), Vec::new());
        let rules = rules.into_iter().map(|rule| (rule.id, rule.text)).collect();
        combined.rows.push(Row { area, name, about, rules, cells });
        combined.rows.len() - 1
    });
    let columns = combined.columns.len();
    let cells = &mut combined.rows[at].cells;
    cells.resize(columns, None);
    for result in results {
        let Some(&column) = places.get(&result.backend) else {
            continue; // `checked` has refused such a report.
        };
        let reason = result.reason.unwrap_or_default();
        let (outcome, reason) = match (result.outcome.as_str(), result.inapplicable) {
            ("passed", _) => (Outcome::Passed, reason),
            ("failed", _) => (Outcome::Failed, reason),
            ("skipped", true) => (Outcome::Inapplicable, reason),
            ("skipped", false) => (Outcome::Skipped, reason),
            // An unknown outcome must not look like success.
            (other, _) => (Outcome::Failed, format!("unknown outcome {other:?} {reason}")),
        };
        // A case can have several results. One failure among them must not look like success.
        let cell = &mut cells[column];
        if cell.as_ref().is_none_or(|known| known.outcome < outcome) {
            *cell = Some(Cell { outcome, reason });
        }
    }
}
