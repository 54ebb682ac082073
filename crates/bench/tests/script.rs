//! Peers in processes of their own, with scripts for `sh`, which understands the same command line.

#![cfg(unix)]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use gpu_stream_bench::Job;
use gpu_stream_bench::script::{self, Missing, Script};

/// A folder of this test's own, with one script in it.
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
fn a_script_takes_its_turn() {
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
fn what_it_lacks_is_told() {
    let missing = start("lacks", r#"echo '{"peer":"toy","missing":"no module toy"}'"#).err();
    let wanted = Missing { name: "toy".into(), reason: "no module toy".into() };
    assert_eq!(missing, Some(wanted));
}

#[test]
fn a_script_that_dies_is_told_with_its_last_words() {
    let missing = start("dies", "echo 'the extension did not compile' >&2; exit 3").err().unwrap();
    let wanted = "it ended; it wrote: the extension did not compile";
    assert_eq!(missing.reason, wanted);
    let text = format!("{HELLO}\nread name calls; echo 'out of memory' >&2");
    let mut script = start("dies_later", &text).ok().unwrap();
    let error = script.contender(Job::Query).unwrap()(10).unwrap_err();
    assert_eq!(error, "it ended; it wrote: out of memory");
}

#[test]
fn an_answer_that_is_none_is_an_error() {
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
        let said = if test == "error" { "cudaErrorInvalidValue" } else { "it answered" };
        assert!(error.contains(said), "{test}: {error}");
    }
    let missing = start("greeting", "echo hello").err().unwrap();
    assert!(missing.reason.contains("it began with \"hello\""), "{missing:?}");
}

#[test]
fn what_does_not_start_is_named() {
    let path = written("start", "");
    let missing = Script::start(OsStr::new("/no/such/python"), &path).err().unwrap();
    assert_eq!(missing.name, "toy");
    assert!(missing.reason.contains("/no/such/python did not start"), "{missing:?}");
}

#[test]
fn a_folder_has_scripts_or_is_refused() {
    let folder = written("folder", HELLO).parent().unwrap().to_path_buf();
    fs::write(folder.join("_shared.py"), "").unwrap();
    fs::write(folder.join("another.py"), "").unwrap();
    fs::write(folder.join("toy.cpp"), "").unwrap();
    let found = script::in_folder(&folder).unwrap();
    let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap()).collect();
    assert_eq!(names, ["another.py", "toy.py"]);
    let empty = folder.join("empty");
    fs::create_dir_all(&empty).unwrap();
    assert!(script::in_folder(&empty).unwrap_err().contains("no script of a peer"));
    assert!(script::in_folder(Path::new("/no/such/folder")).unwrap_err().contains("/no/such"));
    // Those that are kept beside the crate.
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    assert_eq!(script::in_folder(&ours).unwrap().len(), 4);
}
