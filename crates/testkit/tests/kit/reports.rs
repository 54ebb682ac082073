//! The files for `gpu-stream matrix`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::program::Run;

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Of an earlier run.
    let _ = fs::remove_dir_all(&folder);
    folder
}

fn read(folder: &Path, test: &str) -> Value {
    let path = folder.join(format!("gpu-stream-testkit.kit.samples.{test}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    serde_json::from_str(&text).unwrap()
}

#[test]
fn each_test_leaves_its_outcome() {
    let folder = folder("reports");
    let at = folder.display().to_string();
    for (test, outcome) in [
        ("passes::host", "passed"),
        ("forgets_to_wait::host", "failed"),
        ("skips::host", "skipped"),
        ("does_not_apply::host", "skipped"),
        ("aborts::host", "failed"),
        ("passes::cuda", "skipped"),
    ] {
        Run::of(&format!("samples::{test}"))
            .arg("--exact")
            .env("GPU_STREAM_TESTKIT_REPORT", &at)
            .output();
        let report = read(&folder, &test.replace("::", "."));
        let (name, backend) = test.split_once("::").unwrap();
        let case = &report["cases"][0];
        assert_eq!(report["schema"], 1);
        assert_eq!(case["area"], "gpu-stream-testkit kit::samples", "{report}");
        assert_eq!(case["name"], name, "{report}");
        assert_eq!(case["results"][0]["backend"], backend, "{report}");
        assert_eq!(case["results"][0]["outcome"], outcome, "{report}");
        assert_eq!(case["results"][0]["inapplicable"], name == "does_not_apply", "{report}");
        assert_eq!(case["results"][0]["reason"].is_string(), outcome != "passed", "{report}");
    }
    let crashed = read(&folder, "aborts.host");
    assert_eq!(crashed["backends"][0]["devices"][0]["device"], "host:0", "known from the start");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 6, "no drafts are left");
}
