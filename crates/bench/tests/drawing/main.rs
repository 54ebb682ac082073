//! A report that is made up, and what is drawn of it. `GPU_STREAM_BENCH_BLESS=1` writes anew what is
//! drawn; look at the difference then.

mod made_up;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use gpu_stream_bench::report::Report;
use gpu_stream_bench::{markdown, svg, tables};
use serde_json::Value;

use made_up::report;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn is_as_before(name: &str, drawn: &str) {
    if std::env::var_os("GPU_STREAM_BENCH_BLESS").is_some() {
        fs::write(golden(name), drawn).unwrap();
    }
    let before = fs::read_to_string(golden(name)).unwrap_or_default();
    let lines = before.lines().zip(drawn.lines()).enumerate();
    for (number, (before, now)) in lines {
        assert_eq!(before, now, "{name}, line {}", number + 1);
    }
    assert_eq!(before, drawn, "{name}: one is longer");
}

#[test]
fn the_picture_is_as_it_was() {
    is_as_before("report.svg", &svg::draw(&report()));
}

#[test]
fn the_document_is_as_it_was() {
    is_as_before("report.md", &markdown::draw(&report()));
}

/// Whoever reads the reports of this schema finds every field where it was.
#[test]
fn the_schema_is_as_it_was() {
    let fields = |report: &Report| {
        let mut fields = BTreeSet::new();
        note(&serde_json::to_value(report).unwrap(), "", &mut fields);
        fields
    };
    let (written, text) = (fields(&report()), serde_json::to_string(&report()).unwrap());
    let read = fields(&serde_json::from_str(&text).unwrap());
    assert!(read == written, "what is read again has other fields");
    let lines: String = written.iter().map(|field| format!("{field}\n")).collect();
    is_as_before("schema.txt", &lines);
}

/// Each field with its type, and that of what is in it. A spread is the same everywhere, and a
/// machine's facts have names of their own: their inside is left out.
fn note(value: &Value, path: &str, fields: &mut BTreeSet<String>) {
    let mut inside = |name: &str, value: &Value| note(value, &format!("{path}{name}"), fields);
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
        Value::Object(_) if path.ends_with("machine.facts") => "names and texts",
        Value::Object(map) => {
            map.iter().for_each(|(name, value)| inside(&format!(".{name}"), value));
            return;
        }
    };
    fields.insert(format!("{path}: {kind}"));
}

#[test]
fn the_picture_is_sound_and_for_light_and_dark() {
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
fn a_table_has_no_column_without_a_figure() {
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
    assert!(!heads.iter().any(|head| head == "bare driver"), "{heads:?}");
}
