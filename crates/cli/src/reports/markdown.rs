//! Renders the table as Markdown, for a page or the summary of a CI run.

use super::{Column, Combined, number};

/// Renders the columns with their counts, the failures, the reasons of skips, and the whole table.
pub fn draw(combined: &Combined) -> String {
    let mut text = match combined.title() {
        Some(title) => format!("## {}\n\n", cell(&title)),
        None => String::new(),
    };
    text.push_str(&summary(combined));
    let failures = combined.failures();
    if !failures.is_empty() || !combined.nothing_ran.is_empty() {
        text.push_str("\n**Failed**\n\n");
        for (file, reason) in &combined.nothing_ran {
            text.push_str(&format!("- {}: {}\n", cell(file), cell(reason)));
        }
        for (column, row, reason) in failures {
            let backend = cell(&combined.columns[column].backend);
            let name = code(&format!("{}::{}", row.area, row.name));
            let (column, reason) = (number(column), cell(reason));
            text.push_str(&format!("- {column} ({backend}) {name}: {reason}\n"));
        }
    }
    if !combined.not_run.is_empty() {
        text.push_str("\n**Not run**\n\n");
        for item in &combined.not_run {
            let [file, backend, reason] =
                [&item.file, &item.backend, &item.reason].map(|one| cell(one));
            text.push_str(&format!("- {file}: {backend}: {reason}\n"));
        }
    }
    text.push_str(&details("Every case", &cases(combined)));
    let skips = combined.skips();
    if !skips.is_empty() {
        let mut lines = String::from("| why | columns | cases |\n|---|---|---|\n");
        for skip in skips {
            let columns: Vec<_> = skip.columns.iter().copied().map(number).collect();
            let (reason, columns) = (cell(skip.reason), columns.join(" "));
            let names: Vec<_> = skip.cases.iter().map(|name| code(name)).collect();
            lines.push_str(&format!("| {reason} | {columns} | {} |\n", names.join(" ")));
        }
        text.push_str(&details("Why cases did not run", &lines));
    }
    text
}

/// Renders the columns with their counts.
fn summary(combined: &Combined) -> String {
    let mut text = String::from(
        "| | backend | version | passed | failed | skipped | does not apply | devices | machine | day |\n\
         |---:|---|---|---:|---:|---:|---:|---|---|---|\n",
    );
    for (index, column) in combined.columns.iter().enumerate() {
        let (counts, number) = (combined.counts(index), number(index));
        let Column { backend, version, devices, machine, date, .. } = column;
        let [backend, version, devices, machine, date] =
            [backend, version, devices, machine, date].map(|one| cell(one));
        let failed = if counts.failed == 0 { "0".into() } else { format!("**{}**", counts.failed) };
        text.push_str(&format!(
            "| {number} | {backend} | {version} | {} | {failed} | {} | {} | {devices} | {machine} | {date} |\n",
            counts.passed, counts.skipped, counts.inapplicable
        ));
    }
    text
}

/// Renders every case, by area.
fn cases(combined: &Combined) -> String {
    let numbers: Vec<_> = (0..combined.columns.len()).map(number).collect();
    let has_rules = combined.has_rules();
    let (head, line, gap) = if has_rules {
        ("| case | rules |", "|---|---|", " | |")
    } else {
        ("| case |", "|---|", " |")
    };
    let mut text = format!("{head} {} |\n{line}", numbers.join(" | "));
    text.push_str(&":-:|".repeat(numbers.len()));
    text.push('\n');
    let mut area = None;
    for row in &combined.rows {
        if area != Some(&row.area) {
            area = Some(&row.area);
            text.push_str(&format!(
                "| **{}**{gap}{}\n",
                cell(&row.area),
                " |".repeat(numbers.len())
            ));
        }
        let rules: Vec<_> = row.rules.iter().map(|(id, _)| id.as_str()).collect();
        let signs = row.cells.iter().map(|one| one.as_ref().map_or("", |one| one.outcome.sign()));
        let signs: Vec<_> = signs.collect();
        let name = cell(&row.name);
        let rules =
            if has_rules { format!(" {} |", cell(&rules.join(" "))) } else { String::new() };
        text.push_str(&format!("| {name} |{rules} {} |\n", signs.join(" | ")));
    }
    text + "\n✓ passed, ✗ failed, – skipped, · does not apply, empty: not in this report\n"
}

/// Renders a part that a reader opens.
fn details(title: &str, text: &str) -> String {
    format!("\n<details><summary>{title}</summary>\n\n{text}\n</details>\n")
}

/// Escapes a text so that it stays within its cell or line, and makes no HTML, link or image.
fn cell(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.trim().chars() {
        match character {
            '\n' => escaped.push(' '),
            '|' | '\\' | '[' => escaped.extend(['\\', character]),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Renders a name as code. A name with other characters than those of a path in Rust is a plain text.
fn code(name: &str) -> String {
    let is_path = |one: char| one.is_alphanumeric() || "_:".contains(one);
    if name.chars().all(is_path) { format!("`{name}`") } else { cell(name) }
}
