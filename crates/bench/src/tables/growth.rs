//! The tables of growing numbers of streams, and of growing queues.

use super::{BARE, CAREFUL, Grid, column, grid};
use crate::figures::{ns, ratio};
use crate::report::{BackendReport, Grows, GrowthRow, Measured, result};
use crate::{Comparison, ContenderKind};

/// Creates the table of growth with the number of live streams.
pub(super) fn alive(report: &BackendReport) -> Grid {
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
pub(super) fn queue(report: &BackendReport) -> Grid {
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
