//! Streams of `Any` with a check: `GPU_STREAM_CHECK` in the environment. Each program runs in a process of its own.
//!
//! All other tests of this crate also pass with the variable.

mod programs;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const CHECK: &str = "GPU_STREAM_CHECK";
const REPORT: &str = "GPU_STREAM_CHECK_REPORT";

fn main() {
    if let Ok(program) = env::var("CHECKED_PROGRAM") {
        return programs::run(&program);
    }
    for (name, test) in TESTS {
        println!("test {name}");
        test();
    }
    println!("\n{} tests passed", TESTS.len());
}

const TESTS: &[(&str, fn())] = &[
    ("findings_have_the_places_of_the_program", || succeed("places", "1")),
    ("collect_orders_only_the_destructors", || succeed("retained", "1")),
    ("plain_streams_and_events_mix_with_checked_ones", || succeed("mixture", "1")),
    ("no_stream_has_a_check_without_the_variable", || succeed("plain", "0")),
    ("findings_are_printed_and_written_at_exit", findings_are_printed_and_written_at_exit),
    ("warnings_are_left_out", warnings_are_left_out),
    ("unknown_value_is_an_error", || succeed("unknown_value", "maybe")),
    ("unwritable_report_is_reported", unwritable_report_is_reported),
];

/// Runs a program in a process of its own, with `GPU_STREAM_CHECK=value`.
fn run(program: &str, value: &str, report: Option<&Path>) -> Output {
    let this = env::current_exe().expect("the test has a path");
    let mut command = Command::new(this);
    command.env("CHECKED_PROGRAM", program).env(CHECK, value).env_remove(REPORT);
    if let Some(file) = report {
        command.env(REPORT, file);
    }
    command.output().expect("the test runs itself")
}

/// Runs a program that is right, and fails if it does or prints anything.
fn succeed(program: &str, value: &str) {
    let output = run(program, value, None);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {}\n{stderr}", output.status);
}

/// Runs the program with mistakes, and returns what it prints.
fn mistakes(value: &str, report: Option<&Path>) -> String {
    let output = run("mistakes", value, report);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}\n{stderr}", output.status);
    stderr
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()))
}

fn findings_are_printed_and_written_at_exit() {
    for (extension, begin) in [("txt", "error["), ("json", "{"), ("svg", "<svg")] {
        let report = file(&format!("report.{extension}"));
        let stderr = mistakes("1", Some(&report));
        assert!(stderr.contains("error[read-after-write]"), "{stderr}");
        assert!(stderr.contains("programs.rs"), "{stderr}");
        // Decided at exit.
        assert!(stderr.contains("warning[unrecorded-wait]"), "{stderr}");
        let text = fs::read_to_string(&report).expect("the report was written");
        assert!(text.trim_start().starts_with(begin), "{extension}: {text}");
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{extension}: {text}");
        for kind in ["read-after-write", "unrecorded-wait"] {
            assert!(text.contains(kind), "{extension}: {kind}: {text}");
        }
        fs::remove_file(report).expect("the report can be removed");
    }
}

fn warnings_are_left_out() {
    let stderr = mistakes("error", None);
    assert!(stderr.contains("error[read-after-write]"), "{stderr}");
    assert!(!stderr.contains("warning["), "{stderr}");
}

fn unwritable_report_is_reported() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("no such folder/report.txt");
    let stderr = mistakes("1", Some(&folder));
    assert!(stderr.contains("GPU_STREAM_CHECK_REPORT="), "{stderr}");
    assert!(stderr.contains("no such folder"), "{stderr}");
}
