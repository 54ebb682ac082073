//! Renders the table as one HTML file, which needs no network.

use super::{Cell, Combined, Outcome, Row, number};

/// Renders the whole page.
pub fn draw(combined: &Combined) -> String {
    let title = combined.title().unwrap_or_else(|| "gpu-stream: what was tested on what".into());
    let title = escaped(&title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n<h1>{title}</h1>\n{}{}{}{}{}</html>\n",
        summary(combined),
        failures(combined),
        not_run(combined),
        cases(combined),
        skips(combined)
    )
}

/// The style. Colors are those of the reader's system, light or dark.
const STYLE: &str = include_str!("page.css");

/// Renders the columns with their counts.
fn summary(combined: &Combined) -> String {
    let mut text = String::from(
        "<div class=scroll><table class=summary>\n<tr><th><th>backend<th>version<th>passed<th>failed\
         <th>skipped<th>does not apply<th>devices<th>machine<th>day\n",
    );
    for (index, column) in combined.columns.iter().enumerate() {
        let counts = combined.counts(index);
        let class = match (counts.failed, counts.passed) {
            (0, 0) => "none",
            (0, _) => "passed",
            _ => "failed",
        };
        text.push_str(&format!(
            "<tr class={class}><th>{}<th title=\"{}\">{}<td>{}<td class=good>{}<td class=bad>{}<td>{}<td>{}\
             <td>{}<td>{}<td class=day>{}\n",
            number(index),
            escaped(&column.file),
            escaped(&column.backend),
            escaped(&column.version),
            counts.passed,
            counts.failed,
            counts.skipped,
            counts.inapplicable,
            escaped(&column.devices),
            escaped(&column.machine),
            escaped(&column.date)
        ));
    }
    text + "</table></div>\n"
}

/// Renders every failure with its reason.
fn failures(combined: &Combined) -> String {
    let failures = combined.failures();
    if failures.is_empty() && combined.nothing_ran.is_empty() {
        return "<p class=passed>No case failed.</p>\n".into();
    }
    let count = failures.len() + combined.nothing_ran.len();
    let mut text = format!("<h2 class=failed>Failed: {count}</h2>\n<ul>\n");
    for (file, reason) in &combined.nothing_ran {
        text.push_str(&format!("<li>{}<p>{}</p>\n", escaped(file), escaped(reason)));
    }
    for (column, row, reason) in failures {
        text.push_str(&format!(
            "<li><b>{}</b> {} <code>{}::{}</code><p>{}</p>\n",
            number(column),
            escaped(&combined.columns[column].backend),
            escaped(&row.area),
            escaped(&row.name),
            escaped(reason)
        ));
    }
    text + "</ul>\n"
}

/// Renders the backends that ran no case.
fn not_run(combined: &Combined) -> String {
    let each = combined.not_run.iter().map(|item| {
        let (file, backend) = (escaped(&item.file), escaped(&item.backend));
        format!("<li>{file}: {backend}<p>{}</p>\n", escaped(&item.reason))
    });
    match each.collect::<String>() {
        none if none.is_empty() => none,
        list => format!("<details><summary>Not run</summary>\n<ul>\n{list}</ul></details>\n"),
    }
}

/// Renders every case, by area.
fn cases(combined: &Combined) -> String {
    let head = combined.columns.iter().enumerate().map(|(index, column)| {
        format!("<th title=\"{}\">{}", escaped(&column.backend), number(index))
    });
    let mut text = format!(
        "<h2>Cases</h2>\n<p>✓ passed, ✗ failed, – skipped, · does not apply, empty: not in this report. \
         The numbers are those of the first table.</p>\n\
         <div class=scroll><table class=cases>\n<thead><tr><th>case{}{}</thead>\n",
        if combined.has_rules() { "<th>rules" } else { "" },
        head.collect::<String>()
    );
    let mut area = None;
    for row in &combined.rows {
        if area != Some(&row.area) {
            area = Some(&row.area);
            text.push_str(&format!(
                "<tr class=area><th colspan={}>{}\n",
                combined.columns.len() + 1 + usize::from(combined.has_rules()),
                escaped(&row.area)
            ));
        }
        text.push_str(&case(row, combined.has_rules()));
    }
    text + "</table></div>\n"
}

/// Renders the row of a case.
fn case(row: &Row, has_rules: bool) -> String {
    let rules = row
        .rules
        .iter()
        .map(|(id, text)| format!("<abbr title=\"{}\">{}</abbr> ", escaped(text), escaped(id)));
    let mut text = format!("<tr><th title=\"{}\">{}", escaped(&row.about), escaped(&row.name));
    if has_rules {
        text.push_str(&format!("<td>{}", rules.collect::<String>()));
    }
    for cell in &row.cells {
        match cell {
            None => text.push_str("<td>"),
            Some(Cell { outcome, reason }) => text.push_str(&format!(
                "<td class={} title=\"{}\">{}",
                class(*outcome),
                escaped(reason),
                outcome.sign()
            )),
        }
    }
    text.push('\n');
    text
}

fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::Skipped => "skipped",
        Outcome::Inapplicable => "none",
    }
}

/// Renders each reason why cases did not run.
fn skips(combined: &Combined) -> String {
    let skips = combined.skips();
    if skips.is_empty() {
        return String::new();
    }
    let mut text = String::from("<h2>Why cases did not run</h2>\n<ul>\n");
    for skip in skips {
        let columns: Vec<_> = skip.columns.iter().copied().map(number).collect();
        let cases = skip.cases.iter().map(|name| format!("<code>{}</code> ", escaped(name)));
        text.push_str(&format!(
            "<li>{}<p>Columns {}: {}</p>\n",
            escaped(skip.reason),
            columns.join(", "),
            cases.collect::<String>()
        ));
    }
    text + "</ul>\n"
}

/// Escapes a text for HTML, also within quotes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}
