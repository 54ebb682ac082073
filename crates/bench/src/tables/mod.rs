//! Lays a report out as tables, for the terminal and for documents: [`Grid`].

mod environments;
mod growth;
mod sentences;
mod threads;

pub use self::environments::environments;
pub use self::sentences::{backend, failed_environments, machine, method, not_measured, variables};

use crate::figures::{difference, ns, quartiles, ratio};
use crate::report::{BackendReport, Measured, Operation, result};
use crate::{ContenderKind, Job};

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
    grids.extend([threads::threads(report), threads::thread_ratios(report)]);
    grids.extend([growth::alive(report), growth::queue(report), environments::captures(report)]);
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
