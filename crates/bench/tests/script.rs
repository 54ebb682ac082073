//! Tests peers in separate processes. The scripts are for `sh`, which accepts the same command line as
//! Python.

#![cfg(unix)]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use gpu_stream_bench::Job;
use gpu_stream_bench::script::{self, Missing, Script};

/// Writes a script into a folder of this test's own, and returns its path.
fn written(test: &str, text: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("toy.py");
    fs::write(&path, text).unwrap();
    path
}

fn start(test: &str, text: &str) -> Result<Script, Missing> {
    Script::start(OsStr::new("sh"), &written(test, text))
}

const HELLO: &str =
    r#"echo '{"peer":"toy","versions":"toy 1.2","operations":["query","record","no_such_job"]}'"#;

#[test]
fn script_runs_the_requested_batches() {
    let text =
        format!("{HELLO}\nwhile read name calls; do echo \"{{\\\"ns\\\": $((calls * 3))}}\"; done");
    let mut script = start("turn", &text).ok().unwrap();
    assert_eq!((script.name.as_str(), script.versions.as_str()), ("toy", "toy 1.2"));
    assert!(script.contender(Job::Join).is_none());
    let mut query = script.contender(Job::Query).unwrap();
    for calls in [1, 1_000, 77] {
        assert_eq!(query(calls).unwrap().as_nanos(), u128::from(calls) * 3);
    }
}

#[test]
fn script_that_cannot_run_reports_the_reason() {
    let missing = start("lacks", r#"echo '{"peer":"toy","missing":"no module toy"}'"#).err();
    let expected = Missing { name: "toy".into(), reason: "no module toy".into() };
    assert_eq!(missing, Some(expected));
}

#[test]
fn script_that_exits_is_reported_with_its_stderr() {
    let missing = start("dies", "echo 'the extension did not compile' >&2; exit 3").err().unwrap();
    let expected = "it ended; it wrote: the extension did not compile";
    assert_eq!(missing.reason, expected);
    let text = format!("{HELLO}\nread name calls; echo 'out of memory' >&2");
    let mut script = start("dies_later", &text).ok().unwrap();
    let error = script.contender(Job::Query).unwrap()(10).unwrap_err();
    assert_eq!(error, "it ended; it wrote: out of memory");
}

#[test]
fn invalid_answer_is_an_error() {
    for (test, answer) in [
        ("error", r#"{"error":"cudaErrorInvalidValue"}"#),
        ("empty", "{}"),
        ("negative", r#"{"ns":-1}"#),
        ("endless", r#"{"ns":1e300}"#),
        ("words", "hello"),
    ] {
        let text = format!("{HELLO}\nwhile read name calls; do echo '{answer}'; done");
        let mut script = start(test, &text).ok().unwrap();
        let error = script.contender(Job::Query).unwrap()(10).unwrap_err();
        let text = if test == "error" { "cudaErrorInvalidValue" } else { "it answered" };
        assert!(error.contains(text), "{test}: {error}");
    }
    let missing = start("greeting", "echo hello").err().unwrap();
    assert!(missing.reason.contains("it began with \"hello\""), "{missing:?}");
}

#[test]
fn interpreter_that_does_not_start_is_named() {
    let path = written("start", "");
    let missing = Script::start(OsStr::new("/no/such/python"), &path).err().unwrap();
    assert_eq!(missing.name, "toy");
    assert!(missing.reason.contains("/no/such/python did not start"), "{missing:?}");
}

#[test]
fn folder_without_scripts_is_an_error() {
    let folder = written("folder", HELLO).parent().unwrap().to_path_buf();
    fs::write(folder.join("_shared.py"), "").unwrap();
    fs::write(folder.join("another.py"), "").unwrap();
    fs::write(folder.join("toy.cpp"), "").unwrap();
    let found = script::in_folder(&folder).unwrap();
    let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap()).collect();
    assert_eq!(names, ["another.py", "toy.py"]);
    let empty = folder.join("empty");
    fs::create_dir_all(&empty).unwrap();
    assert!(script::in_folder(&empty).unwrap_err().contains("no peer script"));
    assert!(script::in_folder(Path::new("/no/such/folder")).unwrap_err().contains("/no/such"));
    // The scripts of this crate.
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    assert_eq!(script::in_folder(&ours).unwrap().len(), 4);
}
