//! Compares the output for a made-up report with golden files.
//!
//! `GPU_STREAM_BENCH_BLESS=1` rewrites the golden files. Review the difference afterwards.

mod made_up;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use gpu_stream_bench::report::Report;
use gpu_stream_bench::{markdown, svg, tables};
use serde_json::Value;

use made_up::report;

/// Returns the path of a golden file.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Asserts that `drawn` equals the golden file `name`.
fn assert_golden(name: &str, drawn: &str) {
    if std::env::var_os("GPU_STREAM_BENCH_BLESS").is_some() {
        fs::write(golden(name), drawn).unwrap();
    }
    let before = fs::read_to_string(golden(name)).unwrap_or_default();
    let lines = before.lines().zip(drawn.lines()).enumerate();
    for (number, (before, now)) in lines {
        assert_eq!(before, now, "{name}, line {}", number + 1);
    }
    assert_eq!(before, drawn, "{name}: the lengths differ");
}

#[test]
fn svg_equals_its_golden_file() {
    assert_golden("report.svg", &svg::draw(&report()));
}

#[test]
fn markdown_equals_its_golden_file() {
    assert_golden("report.md", &markdown::draw(&report()));
}

/// Protects programs that read reports of this schema: no field may be removed or renamed.
#[test]
fn json_schema_equals_its_golden_file() {
    let fields = |report: &Report| {
        let mut fields = BTreeSet::new();
        collect_fields(&serde_json::to_value(report).unwrap(), "", &mut fields);
        fields
    };
    let (written, text) = (fields(&report()), serde_json::to_string(&report()).unwrap());
    let read = fields(&serde_json::from_str(&text).unwrap());
    assert!(read == written, "a report that is read back has other fields");
    let lines: String = written.iter().map(|field| format!("{field}\n")).collect();
    assert_golden("schema.txt", &lines);
}

/// Collects each field with its type, recursively.
///
/// Does not descend into spreads, which are the same everywhere, or into a machine's facts, whose
/// names vary.
fn collect_fields(value: &Value, path: &str, fields: &mut BTreeSet<String>) {
    let mut inside =
        |name: &str, value: &Value| collect_fields(value, &format!("{path}{name}"), fields);
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(items) => {
            items.iter().for_each(|item| inside("[]", item));
            "list"
        }
        Value::Object(map) if map.contains_key("outliers") => {
            let names: Vec<_> = map.keys().map(String::as_str).collect();
            &format!("spread: {}", names.join(" "))
        }
        Value::Object(_) if path.ends_with("machine.facts") || path.ends_with("].set") => {
            "names and texts"
        }
        Value::Object(map) => {
            map.iter().for_each(|(name, value)| inside(&format!(".{name}"), value));
            return;
        }
    };
    fields.insert(format!("{path}: {kind}"));
}

#[test]
fn svg_is_well_formed_and_has_a_dark_mode() {
    let drawn = svg::draw(&report());
    assert!(drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n"));
    assert!(drawn.contains("prefers-color-scheme:dark"));
    for name in ["rect", "text", "title", "svg", "style"] {
        let opened = drawn.matches(&format!("<{name}")).count();
        let closed = drawn.matches(&format!("</{name}>")).count();
        let short = drawn.matches(&format!("<{name} class=\"paper\"")).count();
        assert_eq!(opened, closed + short, "{name}");
    }
    assert!(drawn.contains("a &lt;fast&gt; GPU &amp; more"), "the device's name is text");
    assert!(!drawn.contains("NaN") && !drawn.contains("inf"));
}

#[test]
fn tables_have_no_empty_column() {
    let report = report();
    for backend in &report.backends {
        for grid in tables::of(backend) {
            for column in 0..grid.header.len() {
                let filled = grid.rows.iter().any(|row| !row[column].is_empty());
                assert!(filled, "{}: {}", grid.title, grid.header[column]);
            }
        }
    }
    let host = &report.backends[1];
    let heads = &tables::of(host)[0].header;
    assert!(!heads.iter().any(|head| head == "bare call"), "{heads:?}");
}
