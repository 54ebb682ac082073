//! The files for `gpu-stream matrix`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::program::Run;

/// Returns a folder of this process, which does not exist yet.
fn folder(name: &str) -> PathBuf {
    let folder = format!("{name}-{}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
    // Of an earlier process with the same number.
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
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn test_that_cannot_start_replaces_its_earlier_outcome() {
    let folder = folder("early");
    let at = folder.display().to_string();
    let run = || {
        let run = Run::of("samples::passes::host").arg("--exact");
        run.env("GPU_STREAM_TESTKIT_REPORT", &at)
    };
    run().output().passed(1);
    assert_eq!(read(&folder, "passes.host")["totals"]["passed"], 1);
    for (variable, value) in [("GPU_STREAM_REQUIRE", "cudda"), ("GPU_STREAM_TESTKIT_LIMIT", "1m")] {
        run().env(variable, value).output().failed();
        let report = read(&folder, "passes.host");
        let result = &report["cases"][0]["results"][0];
        assert_eq!(result["outcome"], "failed", "{report}");
        assert!(result["reason"].as_str().unwrap().contains(value), "{report}");
    }
    fs::remove_dir_all(&folder).unwrap();
}
