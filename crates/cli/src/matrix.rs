//! Renders the matrix of results: a row for each case, grouped by area, and a column for each backend.

use comfy_table::{Attribute, Cell as Drawn, Color, ContentArrangement, LineStyle, Table, presets};

use gpu_stream::ErrorKind;

use crate::environment;
use crate::notes::{Notes, wrap};
use crate::output::OutputStyle;
use crate::report::{Cell, Column, Report, Row};

/// Renders the whole text output of `check`: the heading, the matrix, the reasons, and the totals as the
/// last line.
pub fn draw(report: &Report, style: &OutputStyle) -> String {
    format!("{}\n{}", head(report, style.width), body(report, style))
}

/// Renders the matrix, the reasons, and the totals as the last line.
pub fn body(report: &Report, style: &OutputStyle) -> String {
    let mut notes = Notes::default();
    let table = table(report, style, &mut notes);
    let (below, totals) = (notes.draw(style), report.totals());
    format!("{}{below}\n{totals}\n", text_of(table))
}

/// Renders the heading: the backends, the environment variables, and the backends that are left out.
pub fn head(report: &Report, width: usize) -> String {
    let (cases, version) = (report.rows.len(), env!("CARGO_PKG_VERSION"));
    let plural = if cases == 1 { "" } else { "s" };
    let times =
        if report.repeat > 1 { format!(", {} times each", report.repeat) } else { "".into() };
    let checked =
        if report.has_order_check { ", with a check of the order of accesses" } else { "" };
    let mut text = format!("gpu-stream {version}: {cases} case{plural}{times}{checked}\n");
    for column in &report.columns {
        text.push_str(&wrap(&title(column), 0, 2, width));
    }
    let environment = [
        ("environment", &report.environment),
        ("set by check, for more hardware queues and signals than by default", &report.set),
    ];
    for (name, variables) in environment.into_iter().filter(|(_, all)| !all.is_empty()) {
        let line = format!("{name}: {}", environment::text(variables));
        text.push_str(&environment::wrap(&line, width));
    }
    let (not_compiled, missing): (Vec<_>, Vec<_>) =
        report.left_out.iter().partition(|item| item.kind == ErrorKind::NotCompiled);
    for item in missing {
        let advice = item.advice.unwrap_or_default();
        let line = format!("{}: not run: {}. {advice}", item.backend, item.reason);
        text.push_str(&wrap(&line, 0, 2, width));
    }
    if !not_compiled.is_empty() {
        let names: Vec<_> = not_compiled.iter().map(|item| item.backend.name()).collect();
        let names = names.join(", ");
        let line = format!("not part of this build: {names} (`gpu-stream info` shows more)");
        text.push_str(&wrap(&line, 0, 2, width));
    }
    text
}

/// Describes a backend in a line.
fn title(column: &Column) -> String {
    let Some(info) = &column.info else { return format!("{}: not ready", column.backend) };
    let named = info.devices.iter().map(|device| format!("{} ({})", device.device, device.name));
    let devices: Vec<_> = named.collect();
    format!("{}: version {}, on {}", column.backend, info.version, devices.join(", "))
}

/// Creates the table of results. Collects long reasons in `notes`.
fn table(report: &Report, style: &OutputStyle, notes: &mut Notes) -> Table {
    let mut table = bare_table(style);
    let mut header = vec![bold("case"), bold("rules")];
    header.extend(report.columns.iter().map(|column| bold(column.backend.name())));
    table.set_header(header);

    let width = outcome_width(report, style.width);
    let mut area = None;
    for (index, row) in report.rows.iter().enumerate() {
        if area != Some(row.case.area) {
            area = Some(row.case.area);
            table.add_row([bold(row.case.area)]);
        }
        let mut cells = vec![Drawn::new(format!("  {}", row.case.name)), Drawn::new(rules(row))];
        let outcomes = row.cells.iter().enumerate();
        cells.extend(
            outcomes.map(|(column, cell)| colored(cell, notes.cell(report, index, column, width))),
        );
        table.add_row(cells);
    }
    table
}

/// Creates an empty table without lines, except one below its header.
pub(crate) fn bare_table(style: &OutputStyle) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(style.width).unwrap_or(u16::MAX));
    if style.lines {
        table.style_mut().header_separator = LineStyle::none().fill('─').junction('─');
    }
    if style.color {
        table.enforce_styling().style_text_only();
    } else {
        table.force_no_tty();
    }
    table
}

/// Renders the table without trailing blanks.
pub(crate) fn text_of(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, PADDING as u16));
    }
    table.trim_fmt() + "\n"
}

/// The number of blanks between two columns.
const PADDING: usize = 2;

/// Creates a bold cell.
pub(crate) fn bold(text: &str) -> Drawn {
    Drawn::new(text).add_attribute(Attribute::Bold)
}

/// Creates the cell of a result, colored by its outcome.
fn colored(cell: &Cell, text: String) -> Drawn {
    let drawn = Drawn::new(text);
    match cell.word() {
        "passed" => drawn.fg(Color::DarkGreen),
        "failed" => drawn.fg(Color::DarkRed).add_attribute(Attribute::Bold),
        _ => drawn.fg(Color::DarkYellow),
    }
}

/// Returns the ids of the rules that a case checks.
fn rules(row: &Row) -> String {
    let ids: Vec<_> = row.case.rules.iter().map(|rule| rule.id).collect();
    ids.join(" ")
}

/// Returns the width that remains for each backend next to the names and the rules.
fn outcome_width(report: &Report, width: usize) -> usize {
    let widest =
        |text: &dyn Fn(&Row) -> usize| report.rows.iter().map(text).max().unwrap_or_default();
    let names = widest(&|row| row.case.name.len() + 2);
    let ids = widest(&|row| rules(row).len());
    let taken = names + ids + PADDING * (2 + report.columns.len());
    width.saturating_sub(taken) / report.columns.len().max(1)
}
