//! Renders findings as text, in the style of rustc: [`finding`], [`report`].

use std::fmt::Write;

use crate::{Finding, Report, Severity, Site};

use super::names::{self, Names};
use super::paint::Paint;
use super::sources::Sources;
use super::timeline::Timeline;
use super::{drawing, place, words};

/// Renders all findings, and how many there are.
pub(super) fn report(report: &Report, paint: Paint) -> String {
    let sources = Sources::default();
    let mut text = String::new();
    for one in &report.findings {
        text += &finding(one, &sources, paint);
        text.push('\n');
    }
    text + &summary(report, paint)
}

/// Returns how many errors and warnings there are.
pub(super) fn summary(report: &Report, paint: Paint) -> String {
    let errors = report.errors().count();
    let warnings = report.findings.len() - errors;
    let counted = |count: usize, what: &str| match count {
        0 => None,
        1 => Some(format!("1 {what}")),
        count => Some(format!("{count} {what}s")),
    };
    let counts = [counted(errors, "error"), counted(warnings, "warning")];
    let counts = counts.into_iter().flatten().collect::<Vec<_>>().join(" and ");
    match (errors, warnings) {
        (0, 0) => "the check found nothing".into(),
        (0, _) => format!("{}: the check found {counts}", paint.yellow("warning")),
        _ => format!("{}: the check found {counts}", paint.red("error")),
    }
}

/// Renders a finding. The text ends with a newline.
pub(super) fn finding(finding: &Finding, sources: &Sources, paint: Paint) -> String {
    let names = Names::of(finding, sources);
    let title = format!("{}[{}]", severity(finding), finding.kind.name());
    let title = match finding.kind.severity() {
        Severity::Error => paint.red(&title),
        Severity::Warning => paint.yellow(&title),
    };
    let headline = words::headline(finding, &names);
    let mut text = format!("{title}{}\n", paint.bold(&format!(": {headline}")));
    let sites: Vec<_> =
        [Some(&finding.second), finding.first.as_ref()].into_iter().flatten().collect();
    let margin = sites.iter().map(|site| site.place.line()).max().unwrap_or_default();
    let margin = margin.to_string().len();
    // A loop makes both calls at one place.
    let is_one_place =
        finding.first.as_ref().is_some_and(|first| first.place == finding.second.place);
    let quotes =
        if is_one_place { vec![sites] } else { sites.into_iter().map(|site| vec![site]).collect() };
    for sites in &quotes {
        text += &quote(finding, sites, margin, &names, sources, paint);
    }
    let timeline = Timeline::of(finding, &names);
    text += &order(&timeline, margin, &names, paint);
    let mut notes = Vec::new();
    notes.extend(words::overlap(finding).map(|bytes| ("note", bytes)));
    if finding.count > 1 {
        notes.push(("note", format!("found {} times at these places", finding.count)));
    }
    notes.push(("note", words::meaning(finding.kind).into()));
    notes.extend(words::allowed(finding).map(|text| ("note", text)));
    notes.push(("help", words::help(finding, &names, sources)));
    let bar = paint.blue("=");
    for (kind, note) in notes {
        let _ = writeln!(text, "{:margin$} {bar} {}: {note}", "", paint.bold(kind));
    }
    text
}

/// Returns `error` or `warning`.
pub(super) fn severity(finding: &Finding) -> &'static str {
    match finding.kind.severity() {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// Renders the place of calls, with its line if that can be read.
fn quote(
    finding: &Finding,
    sites: &[&Site],
    margin: usize,
    names: &Names,
    sources: &Sources,
    paint: Paint,
) -> String {
    let Some(at) = sites.first().map(|site| site.place) else { return String::new() };
    let mut text = format!("{:margin$}{} {}\n", "", paint.blue("-->"), place(at));
    let bar = paint.blue("|");
    let call = sources.call(at);
    if let Some(call) = &call {
        let number = paint.blue(&format!("{:>margin$}", at.line()));
        let _ = writeln!(text, "{:margin$} {bar}\n{number} {bar} {}", "", call.line);
    }
    for site in sites {
        let label = label(finding, site, names);
        let is_second = std::ptr::eq(*site, &finding.second);
        let label = match &call {
            Some(call) if is_second => format!("{} {label}", "^".repeat(call.width)),
            Some(call) => format!("{} {label}", "-".repeat(call.width)),
            None => label,
        };
        let label = if is_second { paint.red(&label) } else { paint.blue(&label) };
        let start = call.as_ref().map_or(0, |call| call.start);
        let _ = writeln!(text, "{:margin$} {bar} {:start$}{label}", "", "");
    }
    let _ = writeln!(text, "{:margin$} {bar}", "");
    text
}

/// Returns what a call does, with the number of the stream and the bytes.
fn label(finding: &Finding, site: &Site, names: &Names) -> String {
    let name = names.of_stream(site.stream.number);
    let number = format!("stream {}", site.stream.number);
    let stream = names.quoted(site.stream.number);
    let is_plain = name.text == number || site.stream.number == names::HOST;
    let stream = if is_plain { stream } else { format!("{stream} ({number})") };
    format!("{stream} {}", words::site(finding, site))
}

/// Renders the drawing, with what its letters stand for.
fn order(timeline: &Timeline, margin: usize, names: &Names, paint: Paint) -> String {
    if timeline.marks.len() < 2 {
        return String::new(); // It would show no order.
    }
    let bar = paint.blue("=");
    let left_out = match timeline.omitted {
        0 => String::new(),
        1 => ", without 1 other".into(),
        count => format!(", without {count} others"),
    };
    let title = format!("the calls in their order{left_out}:");
    let mut text = format!("{:margin$} {bar} {}: {title}\n", "", paint.bold("note"));
    let indent = margin + 5;
    for line in drawing::lines(timeline, paint) {
        let line = format!("{:indent$}{line}", "");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    for mark in &timeline.marks {
        let Some(letter) = mark.letter else { continue };
        let stream = names.quoted(timeline.rows[mark.row].number());
        let letter = letter.to_string();
        let letter = if mark.is_site { paint.red(&letter) } else { letter };
        let does = words::action(&mark.action);
        let _ = writeln!(text, "{:indent$}{letter}  {stream} {does}, {}", "", place(mark.place));
    }
    if let Some(legend) = drawing::legend(timeline) {
        let _ = writeln!(text, "{:indent$}{legend}", "");
    }
    text
}
