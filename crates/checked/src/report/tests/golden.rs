//! Reports of the samples are the files in `golden`. `GPU_STREAM_BLESS=1` writes these files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::report::paint::Paint;
use crate::report::sources::Sources;
use crate::report::text;

use super::samples;

#[test]
fn texts_are_those_of_the_golden_files() {
    for (name, finding) in samples::all() {
        compare(&format!("{name}.txt"), &format!("{finding}\n"));
    }
}

#[test]
fn pictures_are_those_of_the_golden_files() {
    for (name, finding) in samples::all() {
        compare(&format!("{name}.svg"), &finding.to_svg());
    }
}

#[test]
fn documents_are_those_of_the_golden_files() {
    let report = samples::report();
    let mut document: serde_json::Value =
        serde_json::from_str(&report.to_json()).expect("valid JSON");
    // The numbers of allocations are those of the process.
    without_allocations(&mut document);
    let document = serde_json::to_string_pretty(&document).expect("a value can be written");
    compare("report.json", &format!("{document}\n"));
    compare("empty.json", &format!("{}\n", crate::Report::default().to_json()));
    compare("empty.svg", &crate::Report::default().to_svg());
}

#[test]
fn colours_change_no_text() {
    let (sources, finding) = (Sources::default(), samples::read_after_write());
    let coloured = text::finding(&finding, &sources, Paint::COLOURED);
    let mut plain = String::new();
    for part in coloured.split('\u{1b}') {
        plain += part
            .strip_prefix('[')
            .and_then(|part| part.split_once('m'))
            .map_or(part, |part| part.1);
    }
    assert!(coloured.contains("\u{1b}[1;31merror[read-after-write]\u{1b}[0m"), "{coloured}");
    assert_eq!(plain, text::finding(&finding, &sources, Paint::PLAIN));
}

fn without_allocations(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            if let Some(number) = fields.get_mut("allocation") {
                assert!(number.is_u64());
                *number = 0.into();
            }
            fields.values_mut().for_each(without_allocations);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(without_allocations),
        _ => {}
    }
}

/// Compares `text` with a golden file, or writes the file if `GPU_STREAM_BLESS` is set.
fn compare(name: &str, text: &str) {
    // The compiler was called in the workspace or in the package.
    let text = text.replace("crates/checked/src/", "src/");
    let path = folder().join(name);
    if std::env::var_os("GPU_STREAM_BLESS").is_some() {
        fs::write(&path, text).expect("the golden file can be written");
        return;
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(golden, text, "{} differs; GPU_STREAM_BLESS=1 writes it", path.display());
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report/golden")
}
