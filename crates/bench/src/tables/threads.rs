//! The tables of calls from several threads.

use super::{BARE, CAREFUL, Column, Grid, column, grid, measured_peers};
use crate::ContenderKind;
use crate::figures::{quartiles, ratio};
use crate::report::{BackendReport, ThreadRow, result};

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
pub(super) fn threads(report: &BackendReport) -> Grid {
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
pub(super) fn thread_ratios(report: &BackendReport) -> Grid {
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
