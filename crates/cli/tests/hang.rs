//! Tests that `check` ends its process without destructors if a case hung, because the case's thread is
//! still running.

#![cfg(unix)]

use std::process::Command;

use clap::Parser;
use gpu_stream_cli::args::Arguments;
use gpu_stream_cli::environment::Variables;

/// The variable that is set in the child process.
const CHILD: &str = "GPU_STREAM_CLI_TEST_CHILD";

extern "C" fn at_exit() {
    println!("a function of atexit ran");
}

/// Runs a check with a case that counts as hung. Does nothing unless it runs in the child process.
#[test]
fn hangs() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    // SAFETY: `at_exit` is a static function, and it does not unwind.
    assert_eq!(unsafe { libc::atexit(at_exit) }, 0);
    let line = ["gpu-stream", "check", "--backend", "host", "--case", "thousand_streams"];
    let arguments = Arguments::parse_from(line.into_iter().chain(["--limit", "0.0000001"]));
    let code = gpu_stream_cli::run(arguments, Variables::new());
    println!("the command returned {code:?}");
}

#[test]
fn process_runs_no_destructor_after_a_hang() {
    let program = std::env::current_exe().unwrap();
    let line = ["--exact", "hangs", "--nocapture"];
    let output = Command::new(program).args(line).env(CHILD, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text.contains("0 passed, 1 failed, 0 skipped, 0 do not apply\n"), "{text}");
    assert!(!text.contains("atexit ran") && !text.contains("returned"), "{text}");
}
