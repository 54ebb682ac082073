//! Renders the table for a terminal: the columns with their counts, and the failures.

use super::{Combined, number};
use crate::matrix::{bare_table, bold, text_of};
use crate::notes::wrap;
use crate::output::OutputStyle;
use crate::report::Totals;

/// Renders the columns and the failures. The last line has the totals.
pub fn draw(combined: &Combined, style: &OutputStyle) -> String {
    let mut table = bare_table(style);
    let names =
        ["", "backend", "version", "devices", "passed", "failed", "skipped", "does not apply"];
    table.set_header(names.map(bold));
    let mut totals = Totals::default();
    for (index, column) in combined.columns.iter().enumerate() {
        let counts = combined.counts(index);
        totals.passed += counts.passed;
        totals.failed += counts.failed;
        totals.skipped += counts.skipped;
        totals.inapplicable += counts.inapplicable;
        table.add_row([
            number(index),
            column.backend.clone(),
            column.version.clone(),
            column.devices.clone(),
            counts.passed.to_string(),
            counts.failed.to_string(),
            counts.skipped.to_string(),
            counts.inapplicable.to_string(),
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
    format!("{text}\n{cases} cases on {columns} backends: {totals}\n")
}
