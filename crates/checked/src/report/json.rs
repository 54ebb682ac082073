//! Renders a report as JSON: [`report`].
//!
//! Written by hand: the shape is small and fixed, and users of the check get no more crates. Tests read it with
//! serde_json.

use std::fmt::Write;
use std::panic::Location;

use gpu_stream_core::Access;

use crate::{Action, Finding, MissingWait, Report, Site, Step, StreamInfo};

use super::names::{self, Names};
use super::sources::Sources;
use super::{text, words};

/// The version of the document's shape.
const VERSION: u32 = 1;

/// Renders all findings.
pub(super) fn report(report: &Report) -> String {
    let sources = Sources::default();
    let errors = report.errors().count();
    object([
        ("version", VERSION.to_string()),
        ("errors", errors.to_string()),
        ("warnings", (report.findings.len() - errors).to_string()),
        ("findings", array(report.findings.iter().map(|one| finding(one, &sources)))),
    ])
}

fn finding(finding: &Finding, sources: &Sources) -> String {
    let names = Names::of(finding, sources);
    object([
        ("kind", string(finding.kind.name())),
        ("severity", string(text::severity(finding))),
        ("message", string(&words::headline(finding, &names))),
        ("help", string(&words::help(finding, &names, sources))),
        ("count", finding.count.to_string()),
        ("second", site(&finding.second)),
        ("first", or_null(finding.first.as_ref().map(site))),
        ("missing", or_null(finding.missing.as_ref().map(|one| missing(one, &names, sources)))),
        ("streams", array(names::streams(finding).iter().map(|one| stream(one, &names)))),
        ("steps", array(finding.steps.iter().map(step))),
    ])
}

fn site(site: &Site) -> String {
    call(site.number, site.place, site.stream.number, &site.action)
}

fn step(step: &Step) -> String {
    call(step.number, step.place, step.stream, &step.action)
}

fn call(number: u64, at: &Location<'_>, stream: u32, action: &Action) -> String {
    let mut fields = vec![
        ("number", number.to_string()),
        ("place", place(at)),
        ("stream", stream.to_string()),
        ("action", string(name(action))),
    ];
    match action {
        Action::Access(_, region) => {
            let addresses = region.addresses();
            let region = object([
                ("name", string(region.name())),
                ("allocation", region.allocation().to_string()),
                ("start", address(addresses.start)),
                ("bytes", addresses.len().to_string()),
            ]);
            fields.push(("region", region));
        }
        Action::Record { event } => fields.push(("event", event.to_string())),
        Action::Wait { record } => fields.push(("record", or_null(record.map(|n| n.to_string())))),
        Action::Submit | Action::HostWait | Action::Drop => {}
    }
    object(fields)
}

fn name(action: &Action) -> &'static str {
    match action {
        Action::Access(Access::Read, _) => "read",
        Action::Access(Access::Write, _) => "write",
        Action::Access(Access::Release, _) => "release",
        Action::Record { .. } => "record",
        Action::Wait { .. } => "wait",
        Action::Submit => "submit",
        Action::HostWait => "host-wait",
        Action::Drop => "drop",
    }
}

fn missing(missing: &MissingWait, names: &Names, sources: &Sources) -> String {
    let waiter = missing.waiter.as_ref().map(|waiter| waiter.number.to_string());
    object([
        ("waiter", or_null(waiter)),
        ("awaited", missing.awaited.number.to_string()),
        ("before", place(missing.before)),
        ("call", string(&words::missing_call(missing, names, sources).0)),
    ])
}

fn stream(stream: &StreamInfo, names: &Names) -> String {
    let name = names.of_stream(stream.number);
    object([
        ("number", stream.number.to_string()),
        ("name", string(&stream.name)),
        ("variable", or_null(name.place.map(|_| string(&name.text)))),
        ("device", string(&stream.device.to_string())),
        ("handle", address(stream.handle)),
        ("created", place(stream.created)),
    ])
}

fn place(place: &Location<'_>) -> String {
    object([
        ("file", string(place.file())),
        ("line", place.line().to_string()),
        ("column", place.column().to_string()),
    ])
}

/// Renders an address as text, because many readers of JSON round numbers of more than 53 bits.
fn address(address: usize) -> String {
    format!("\"{address:#x}\"")
}

fn or_null(value: Option<String>) -> String {
    value.unwrap_or_else(|| "null".into())
}

fn object<'a>(fields: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let fields = fields.into_iter().map(|(name, value)| format!("{}:{value}", string(name)));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

fn array(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

/// Renders text with the escapes of RFC 8259.
fn string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => {
                // Control characters are below U+10000. Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::string;

    proptest! {
        #[test]
        fn any_text_is_read_back(text in "[\\x00-\\x7f\\u{80}-\\u{a0}é日😀]{0,20}") {
            let read: String = serde_json::from_str(&string(&text)).expect("valid JSON");
            prop_assert_eq!(read, text);
        }
    }
}
