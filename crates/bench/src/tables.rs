//! Lays a report out as tables, for the terminal and for documents: [`Grid`].

use crate::figures::{difference, ns, quartiles, ratio};
use crate::report::{
    BackendReport, FailedOne, Grows, GrowthRow, Measured, Operation, ThreadRow, result,
};
use crate::{Comparison, ContenderKind, Job};

/// A table before it is rendered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grid {
    /// The title.
    pub title: String,
    /// The heading of each column. The first column has names, the others have figures.
    pub header: Vec<String>,
    /// The cells, row by row.
    pub rows: Vec<Vec<String>>,
    /// The notes below the table, one sentence each.
    pub notes: Vec<String>,
}

/// Creates all tables of a backend, except those without rows.
pub fn of(report: &BackendReport) -> Vec<Grid> {
    let mut grids = vec![operations(report), ratios(report), peers(report)];
    grids.extend([threads(report), thread_ratios(report), alive(report), queue(report)]);
    grids.retain(|grid| !grid.rows.is_empty());
    grids
}

/// The text of a cell without a measurement.
const NONE: &str = "";

/// A column: its heading, and a function that returns its cell in a row.
type Column<'a, Row> = (String, Box<dyn Fn(&Row) -> Option<String> + 'a>);

/// Creates a column.
fn column<'a, Row>(head: &str, cell: impl Fn(&Row) -> Option<String> + 'a) -> Column<'a, Row> {
    (head.into(), Box::new(cell))
}

/// Creates a table. Omits each column that has no filled cell.
fn grid<Row>(
    title: &str,
    first: (&str, &dyn Fn(&Row) -> String),
    columns: Vec<Column<'_, Row>>,
    rows: &[&Row],
) -> Grid {
    let is_filled = |(_, cell): &Column<'_, Row>| rows.iter().any(|row| cell(row).is_some());
    let columns: Vec<_> = columns.into_iter().filter(is_filled).collect();
    let header = [first.0.to_owned()].into_iter().chain(columns.iter().map(|one| one.0.clone()));
    let row = |row: &&Row| {
        let cells = columns.iter().map(|(_, cell)| cell(row).unwrap_or(NONE.into()));
        [first.1(row)].into_iter().chain(cells).collect()
    };
    Grid {
        title: title.into(),
        header: header.collect(),
        rows: rows.iter().map(row).collect(),
        notes: Vec::new(),
    }
}

/// Returns the result of one contender in a row.
fn result_of<'a>(row: &'a Operation, kind: &ContenderKind) -> Option<&'a Measured> {
    result(&row.results, kind)
}

/// Creates the table of the times of all operations.
fn operations(report: &BackendReport) -> Grid {
    let median = |kind: ContenderKind| {
        move |row: &Operation| result_of(row, &kind).map(|one| ns(one.ns.median))
    };
    let columns = vec![
        column(BARE, median(ContenderKind::Bare)),
        column("careful calls", median(ContenderKind::Careful)),
        column("gpu-stream", median(ContenderKind::Ours)),
        column("object-safe", |row| {
            let one = result_of(row, &ContenderKind::ObjectSafe)?.to_ours?;
            Some(difference(one.difference.median))
        }),
    ];
    let rows: Vec<_> = report.operations.iter().filter(|row| !row.results.is_empty()).collect();
    let name = |row: &Operation| row.job.name().to_owned();
    let mut grid = grid("Operations, nanoseconds per call", ("operation", &name), columns, &rows);
    if grid.header.iter().any(|head| head == CAREFUL) {
        grid.notes.push(
            "bare call: the fewest calls of the driver that do the job. careful calls: those of a program that gives \
             the guarantees of gpu-stream itself; empty if they are the bare call."
                .into(),
        );
    }
    for row in rows {
        if let Some(one) = result_of(row, &ContenderKind::Kept).and_then(|one| one.to_ours) {
            let more = one.difference.scaled(-1.0);
            let (name, middle) = (row.job.name(), difference(more.median));
            let spread = quartiles(&more, difference);
            grid.notes.push(format!(
                "{name}: {middle} ns ({spread}) compared with a wrapper that is kept."
            ));
        }
    }
    if grid.header.iter().any(|head| head == "object-safe") {
        grid.notes.push("object-safe: the additional time through the object-safe traits.".into());
    }
    grid
}

/// The heading of the bare calls.
const BARE: &str = "bare call";

/// The heading of the careful calls.
const CAREFUL: &str = "careful calls";

/// Creates the table of the ratios of all operations.
fn ratios(report: &BackendReport) -> Grid {
    let ours = |row: &Operation| result_of(row, &ContenderKind::Ours).cloned();
    let to_bare = move |row: &Operation| ours(row)?.to_bare;
    let to_careful = move |row: &Operation| ours(row)?.to_careful;
    let columns = vec![
        column("to bare call", move |row| to_bare(row).map(|one| ratio(one.ratio.median))),
        column("quartiles", move |row| to_bare(row).map(|one| quartiles(&one.ratio, ratio))),
        column("difference", move |row| to_bare(row).map(|one| difference(one.difference.median))),
        column("to careful calls", move |row| to_careful(row).map(|one| ratio(one.ratio.median))),
        column("quartiles", move |row| to_careful(row).map(|one| quartiles(&one.ratio, ratio))),
    ];
    let rows = report.operations.iter();
    // The bare driver does nothing to wrap a handle unchecked, so a ratio to its time has no meaning.
    let rows = rows.filter(|row| row.job != Job::WrapUnchecked && to_bare(row).is_some());
    let rows: Vec<_> = rows.collect();
    let name = |row: &Operation| row.job.name().to_owned();
    let title =
        "gpu-stream's time divided by that of the bare call, and by that of the careful calls";
    grid(title, ("operation", &name), columns, &rows)
}

/// Returns the peers that were measured, in the order of the report.
fn measured_peers(report: &BackendReport) -> impl Iterator<Item = ContenderKind> {
    let here = report.peers.iter().filter(|peer| peer.missing.is_none());
    here.map(|peer| ContenderKind::Peer(peer.name.clone()))
}

/// Creates the table that compares gpu-stream with the peers.
fn peers(report: &BackendReport) -> Grid {
    let mut columns = vec![column("gpu-stream", |row: &Operation| {
        result_of(row, &ContenderKind::Ours).map(|one| ns(one.ns.median))
    })];
    for kind in measured_peers(report) {
        let head = kind.label().to_owned();
        columns.push(column(&head, move |row: &Operation| {
            let one = result_of(row, &kind)?;
            let ours = one.ours_to_it?;
            Some(format!("{} ({})", ns(one.ns.median), ratio(ours.median)))
        }));
    }
    let is_peer = |one: &Measured| matches!(one.contender, ContenderKind::Peer(_));
    let rows: Vec<_> =
        report.operations.iter().filter(|row| row.results.iter().any(is_peer)).collect();
    let name = |row: &Operation| row.job.name().to_owned();
    let mut grid =
        grid("Other libraries, nanoseconds per call", ("operation", &name), columns, &rows);
    grid.notes.push("In brackets: gpu-stream's time divided by theirs, in the same rounds.".into());
    for peer in report.peers.iter().filter(|_| !rows.is_empty()) {
        let process = if peer.own_process { ", in a separate process" } else { "" };
        grid.notes.push(match &peer.missing {
            None => format!("{}: {}{process}.", peer.name, peer.version),
            Some(reason) => format!("{}: not run: {reason}", peer.name),
        });
    }
    grid
}

/// Returns million calls per second of all threads, where each thread makes one call in `ns`.
fn throughput(threads: usize, ns: f64) -> String {
    format!("{:.2}", threads as f64 * 1e3 / ns)
}

/// Returns the rows of the measurements with several threads.
fn thread_rows(report: &BackendReport) -> Vec<&ThreadRow> {
    report.threads.iter().filter(|row| !row.results.is_empty()).collect()
}

/// Creates the column that tells whether the threads share a source.
fn source<'a>() -> Column<'a, ThreadRow> {
    column("source", |row: &ThreadRow| Some(if row.shared { "shared" } else { "own" }.into()))
}

/// Creates the table of calls from several threads.
fn threads(report: &BackendReport) -> Grid {
    let rate = |kind: ContenderKind| {
        move |row: &ThreadRow| {
            let one = result(&row.results, &kind)?;
            Some(throughput(row.threads, one.ns.median))
        }
    };
    let mut columns = vec![
        source(),
        column(BARE, rate(ContenderKind::Bare)),
        column(CAREFUL, rate(ContenderKind::Careful)),
        column("gpu-stream", rate(ContenderKind::Ours)),
    ];
    for kind in measured_peers(report) {
        let head = kind.label().to_owned();
        columns.push(column(&head, rate(kind)));
    }
    let title = "Threads, wait_stream, million calls per second in total";
    let name = |row: &ThreadRow| row.threads.to_string();
    grid(title, ("threads", &name), columns, &thread_rows(report))
}

/// Creates the table of the ratios of calls from several threads.
fn thread_ratios(report: &BackendReport) -> Grid {
    // The ratio of throughputs is the inverse of the ratio of times.
    let to = |kind: ContenderKind| move |row: &ThreadRow| result(&row.results, &kind)?.to_ours;
    let (bare, careful) = (to(ContenderKind::Bare), to(ContenderKind::Careful));
    let (bare_too, careful_too) = (to(ContenderKind::Bare), to(ContenderKind::Careful));
    let columns = vec![
        source(),
        column("to bare call", move |row| bare(row).map(|one| ratio(one.ratio.median))),
        column("quartiles", move |row| bare_too(row).map(|one| quartiles(&one.ratio, ratio))),
        column("to careful calls", move |row| careful(row).map(|one| ratio(one.ratio.median))),
        column("quartiles", move |row| careful_too(row).map(|one| quartiles(&one.ratio, ratio))),
    ];
    let mut rows = thread_rows(report);
    rows.retain(|row| result(&row.results, &ContenderKind::Bare).is_some());
    let title = "Threads, gpu-stream's throughput divided by that of the bare call, and by that of the careful calls";
    let name = |row: &ThreadRow| row.threads.to_string();
    grid(title, ("threads", &name), columns, &rows)
}

/// Creates the table of growth with the number of live streams.
fn alive(report: &BackendReport) -> Grid {
    let mut rows: Vec<_> = report.growth.iter().filter(|row| row.grows == Grows::Alive).collect();
    rows.sort_by_key(|row| (row.job, row.size));
    let median = |kind: ContenderKind| {
        move |row: &GrowthRow| result(&row.results, &kind).map(|one| ns(one.ns.median))
    };
    let columns = vec![
        column("alive", |row: &GrowthRow| Some(format_count(row.size))),
        column(BARE, median(ContenderKind::Bare)),
        column(CAREFUL, median(ContenderKind::Careful)),
        column("gpu-stream", median(ContenderKind::Ours)),
        column("to bare call", |row| to_in_growth(row, |ours| ours.to_bare)),
        column("to careful calls", |row| to_in_growth(row, |ours| ours.to_careful)),
    ];
    let title = "Growth: live streams and events, nanoseconds per call over all of them in a cycle";
    grid(title, ("operation", &|row: &GrowthRow| row.job.name().to_owned()), columns, &rows)
}

/// Returns the median ratio of gpu-stream's time in a comparison.
fn to_in_growth(row: &GrowthRow, compared: fn(&Measured) -> Option<Comparison>) -> Option<String> {
    compared(result(&row.results, &ContenderKind::Ours)?).map(|one| ratio(one.ratio.median))
}

/// Creates the table of growth with the length of the queue.
fn queue(report: &BackendReport) -> Grid {
    let rows: Vec<_> = report.growth.iter().filter(|row| row.grows == Grows::Queue).collect();
    let median = |kind: ContenderKind| {
        move |row: &GrowthRow| result(&row.results, &kind).map(|one| ns(one.ns.median))
    };
    let columns = vec![
        column(BARE, median(ContenderKind::Bare)),
        column(CAREFUL, median(ContenderKind::Careful)),
        column("gpu-stream", median(ContenderKind::Ours)),
        column("to bare call", |row| to_in_growth(row, |ours| ours.to_bare)),
        column("to careful calls", |row| to_in_growth(row, |ours| ours.to_careful)),
    ];
    let title = "Growth: hops submitted in a row, nanoseconds per hop";
    grid(title, ("hops", &|row: &GrowthRow| format_count(row.size)), columns, &rows)
}

/// Formats a count with separators.
fn format_count(count: u64) -> String {
    if count < 100 { count.to_string() } else { ns(count as f64) }
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
    lines
}

/// Describes the method of measurement in a sentence.
pub fn method(report: &crate::report::Report) -> String {
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
pub fn machine(report: &crate::report::Report) -> String {
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
