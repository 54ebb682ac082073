//! Renders the table for a terminal: the columns with their counts, and the failures.

use super::{Combined, number};
use crate::matrix::{bare_table, bold, text_of};
use crate::notes::wrap;
use crate::output::OutputStyle;

/// Renders the columns and the failures. The last line has the totals.
pub fn draw(combined: &Combined, style: &OutputStyle) -> String {
    let mut table = bare_table(style);
    let names = ["", "backend", "version", "devices", "passed", "failed", "skipped"];
    table.set_header(names.map(bold));
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (index, column) in combined.columns.iter().enumerate() {
        let counts = combined.counts(index);
        let skips = counts.skipped + counts.inapplicable;
        (passed, failed, skipped) =
            (passed + counts.passed, failed + counts.failed, skipped + skips);
        table.add_row([
            number(index),
            column.backend.clone(),
            column.version.clone(),
            column.devices.clone(),
            counts.passed.to_string(),
            counts.failed.to_string(),
            skips.to_string(),
        ]);
    }
    let mut text = text_of(table);
    for (column, row, reason) in combined.failures() {
        let backend = &combined.columns[column].backend;
        let line =
            format!("failed: {} {backend}: {}::{}: {reason}", number(column), row.area, row.name);
        text.push_str(&wrap(&line, 0, 2, style.width));
    }
    for item in &combined.not_run {
        let line = format!("{}: {}: not run: {}", item.file, item.backend, item.reason);
        text.push_str(&wrap(&line, 0, 2, style.width));
    }
    for (file, reason) in &combined.nothing_ran {
        text.push_str(&wrap(&format!("failed: {file}: {reason}"), 0, 2, style.width));
    }
    let (cases, columns) = (combined.rows.len(), combined.columns.len());
    format!(
        "{text}\n{cases} cases on {columns} backends: {passed} passed, {failed} failed, {skipped} skipped\n"
    )
}
