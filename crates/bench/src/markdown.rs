//! Renders a report as Markdown, for a page of measurements.

use crate::report::Report;
use crate::tables::{self, Grid};

/// Renders the whole report as a page.
pub fn draw(report: &Report) -> String {
    let date = report.date.as_ref().map(|date| format!(", {date}")).unwrap_or_default();
    let mut text = format!("# What calls cost{date}\n\n");
    if let Some(command) = &report.command {
        text.push_str(&format!("Made by `{command}`.\n"));
    }
    text.push_str(&format!("gpu-stream {}. {}\n", report.gpu_stream, tables::machine(report)));
    text.push_str(&format!("{}\n", cell(&tables::variables(report))));
    text.push_str(&format!("{}\n", tables::method(report)));
    for backend in &report.backends {
        text.push_str(&format!("\n## {}\n", tables::backend(backend)));
        for grid in tables::of(backend) {
            text.push_str(&table(&grid));
        }
        for grid in tables::environments(report, &backend.backend) {
            text.push_str(&table(&grid));
        }
        let calls =
            backend.operations.iter().filter_map(|row| Some((row, row.bare_calls.as_ref()?)));
        let rows: Vec<_> = calls
            .map(|(row, calls)| {
                let careful = row.careful_calls.as_deref().unwrap_or("the same");
                format!("| {} | {} | {calls} | {careful} |\n", row.job.name(), row.title)
            })
            .collect();
        if !rows.is_empty() {
            text.push_str("\n### What is compared\n\n");
            text.push_str("| operation | description | bare call | careful calls |\n");
            text.push_str("|---|---|---|---|\n");
            text.extend(rows);
        }
        let mut missing = tables::not_measured(backend);
        missing.extend(tables::failed_environments(report, &backend.backend));
        if !missing.is_empty() {
            text.push_str("\n### Not measured\n\n");
            text.extend(missing.iter().map(|line| format!("- {}\n", cell(line))));
        }
    }
    text
}

/// Renders one table with its title and its notes.
fn table(grid: &Grid) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<_> = cells.iter().map(|text| cell(text)).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let mut text = format!("\n### {}\n\n{}", grid.title, line(&grid.header));
    text.push_str("|---|");
    text.push_str(&"---:|".repeat(grid.header.len() - 1));
    text.push('\n');
    text.extend(grid.rows.iter().map(|row| line(row)));
    if !grid.notes.is_empty() {
        text.push('\n');
        text.extend(grid.notes.iter().map(|note| format!("- {}\n", cell(note))));
    }
    text
}

/// Escapes text so that it cannot end a cell or a line.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
